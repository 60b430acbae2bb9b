#include "capi/handles.h"

namespace pome::capi {

Handles& Handles::all() {
    // Never destroyed: other threads, and destructors of the caller's, may use it to the end.
    static Handles* const handles = new Handles;
    return *handles;
}

void* Handles::add(std::shared_ptr<Object> object) {
    constexpr std::uintptr_t step = 16, first = 0x1000;  // as unlike a small number as like one
    const std::lock_guard lock(mutex_);
    next_ = next_ == 0 ? first : next_ + step;
    objects_.emplace(next_, std::move(object));
    return reinterpret_cast<void*>(next_);
}

std::shared_ptr<Object> Handles::lookup(const void* handle, std::string_view kind) const {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<std::uintptr_t>(handle));
    if (found == objects_.end()) {
        refuse(handle, kind,
               handle == nullptr
                   ? "is NULL: the call that should have made it failed, or was never made"
                   : "is no handle: it was destroyed, or never made");
    }
    return found->second;
}

std::shared_ptr<Object> Handles::remove(const void* handle) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<std::uintptr_t>(handle));
    if (found == objects_.end()) {
        return nullptr;
    }
    auto object = std::move(found->second);
    objects_.erase(found);
    return object;  // destroyed by the caller, outside the lock
}

void Handles::refuse(const void* handle, std::string_view kind, std::string_view why) {
    throw InvalidHandle(Code::invalid_argument, "capi",
                        fmt::format("{} {} {}", kind, fmt::ptr(handle), why));
}

}  // namespace pome::capi
