#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/error.h"

namespace pome::capi {

/// What a handle stands for.
struct Object {
    virtual ~Object() = default;
};

/// Error{invalid_argument} that the C interface reports as an invalid handle.
class InvalidHandle : public Error {
  public:
    using Error::Error;
};

/// The objects behind the handles of a process. A handle is a number that is never used again, in
/// the clothes of a pointer that is never followed: whatever a caller hands in, a freed handle or
/// garbage, is known or refused. The one place of the library that a process shares. THREADS: safe.
class Handles {
  public:
    static Handles& all();

    void* add(std::shared_ptr<Object> object);
    /// `kind` is for the error: "pome_surface".
    template <typename T>
    std::shared_ptr<T> find(const void* handle, std::string_view kind) const {
        auto found = std::dynamic_pointer_cast<T>(lookup(handle, kind));
        if (!found) {
            refuse(handle, kind, "is a handle of another kind");
        }
        return found;
    }
    /// What it stood for; nothing when it was none.
    std::shared_ptr<Object> remove(const void* handle);

  private:
    std::shared_ptr<Object> lookup(const void* handle, std::string_view kind) const;
    [[noreturn]] static void refuse(const void* handle, std::string_view kind,
                                    std::string_view why);

    mutable std::mutex mutex_;
    std::unordered_map<std::uintptr_t, std::shared_ptr<Object>> objects_;
    std::uintptr_t next_ = 0;
};

}  // namespace pome::capi
