#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "device/apple/private_api.h"

#if defined(__clang__)
#define POME_CALLS_UNTYPED __attribute__((no_sanitize("function")))
#else
#define POME_CALLS_UNTYPED
#endif

namespace pome::device::apple {

/// What one start found of one row of the list in private_api.h.
struct ApiCheck {
    enum class State : std::uint8_t { present, class_missing, missing, changed };
    State state = State::missing;
    Need need = Need::always;
    std::string what;    ///< "+[_ANEModel modelAtURL:key:]", "IOSurfaceCreate"
    std::string wanted;  ///< the encoding of a method
    std::string found;
    /// One line: "+[_ANEModel modelAtURL:key:] (route client) is encoded as '...', not '...'".
    std::string text() const;
};

/// The Objective-C runtime, Foundation, CoreFoundation, IOSurface and the private framework, opened
/// with dlopen and never closed. Nothing is sent before its presence and type were checked.
/// THREADS: safe.
class Runtime {
  public:
    /// Opens the system's libraries, or, when `replacement` is not empty, one library that stands
    /// for all of them; then looks for everything in the list. Throws Error{unsupported} when a
    /// library does not open or is not an Objective-C runtime at all.
    static std::shared_ptr<const Runtime> load(const std::string& replacement);

    /// Every row of the list with its state.
    const std::vector<ApiCheck>& checks() const { return checks_; }
    /// The rows that are missing or changed and that `need` (and everything) cannot do without.
    std::vector<ApiCheck> faults(Need need) const;
    /// Throws Error{unsupported} listing faults(need).
    void require(Need need) const;
    bool is_replacement() const { return replaced_; }

    /// Sends a message to an object. A class method is sent to its class, which `receiver` is not
    /// given for: see send_class. Throws Error{unsupported} when start-up did not find the method,
    /// and Error{evaluation_failed} for nil.
    template <typename R, typename... A>
    POME_CALLS_UNTYPED R send(Method<R(A...)> method, Id receiver,
                              std::type_identity_t<A>... arguments) const {
        const Target target = this->target(method.row, receiver);
        return reinterpret_cast<R (*)(Id, Selector, A...)>(target.function)(
            receiver, target.selector, arguments...);
    }
    template <typename R, typename... A>
    R send_class(Method<R(A...)> method, std::type_identity_t<A>... arguments) const {
        return send(method, methods_[method.row].owner, arguments...);
    }
    template <typename R, typename... A>
    POME_CALLS_UNTYPED R call(Function<R(A...)> function,
                              std::type_identity_t<A>... arguments) const {
        return reinterpret_cast<R (*)(A...)>(function_at(function.row))(arguments...);
    }
    template <typename R, typename... A>
    bool has(Function<R(A...)> function) const {
        return functions_[function.row] != nullptr;
    }
    template <typename R, typename... A>
    bool has(Method<R(A...)> method) const {
        return methods_[method.row].usable;
    }
    /// The NSString that a constant holds.
    Id constant(Constant constant) const;

  private:
    struct Target {
        void (*function)();
        Selector selector;
    };
    struct Known {
        Id owner = nullptr;  ///< the class
        Selector selector = nullptr;
        bool usable = false;
    };
    Runtime() = default;
    void open(const std::string& replacement);
    void find_methods();
    ApiCheck check_method(std::size_t row);
    Target target(std::size_t row, Id receiver) const;
    void (*function_at(std::size_t row) const)();

    std::vector<Known> methods_;
    std::vector<void (*)()> functions_;
    std::vector<void*> constants_;
    std::vector<ApiCheck> checks_;
    bool replaced_ = false;
};

/// Objects that were autoreleased since then are released at the end of its scope.
class AutoreleasePool {
  public:
    explicit AutoreleasePool(const Runtime& runtime);
    ~AutoreleasePool();
    AutoreleasePool(const AutoreleasePool&) = delete;
    AutoreleasePool& operator=(const AutoreleasePool&) = delete;

  private:
    const Runtime& runtime_;
    void* token_ = nullptr;
    Id object_ = nullptr;
};

/// An object that is kept alive.
class Reference {
  public:
    Reference() = default;
    /// Retains; nil stays nil.
    Reference(std::shared_ptr<const Runtime> runtime, Id object);
    ~Reference() { reset(); }
    Reference(Reference&& other) noexcept;
    Reference& operator=(Reference&& other) noexcept;
    Id get() const { return object_; }
    void reset();
    /// Never releases it.
    void leak() { object_ = nullptr; }

  private:
    std::shared_ptr<const Runtime> runtime_;
    Id object_ = nullptr;
};

}  // namespace pome::device::apple
