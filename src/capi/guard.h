#pragma once

#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "capi/handles.h"
#include "pome/pome.h"

namespace pome::capi {

/// Keeps an error for pome_last_error() of this thread; returns its status.
pome_status keep_error(pome_status status, std::string_view text) noexcept;
const char* last_error() noexcept;
pome_status last_status() noexcept;
pome_status status_of(Code code) noexcept;

/// The one way in: no exception leaves a function of the C interface.
template <typename Body>
pome_status guarded(Body&& body) noexcept {
    try {
        body();
        return POME_OK;
    } catch (const InvalidHandle& error) {
        return keep_error(POME_INVALID_HANDLE, error.text());
    } catch (const Error& error) {
        return keep_error(status_of(error.code()), error.text());
    } catch (const std::bad_alloc&) {
        return keep_error(POME_OUT_OF_MEMORY, "[capi] not enough memory");
    } catch (const std::exception& error) {
        return keep_error(POME_INTERNAL, error.what());
    } catch (...) {
        return keep_error(POME_INTERNAL, "[capi] an exception of an unknown type");
    }
}

/// The same for functions that return something: `otherwise` after an error.
template <typename Result, typename Body>
Result guarded_or(Result otherwise, Body&& body) noexcept {
    Result result = otherwise;
    return guarded([&] { result = body(); }) == POME_OK ? result : otherwise;
}

/// Throws Error{invalid_argument} for a NULL that must be none; returns it.
template <typename T>
T* given(T* pointer, std::string_view what) {
    if (pointer == nullptr) {
        fail(Code::invalid_argument, "capi", "{} is NULL", what);
    }
    return pointer;
}

}  // namespace pome::capi
