#include "device/process.h"

namespace pome::device {

std::int64_t Process::compiles(const std::string& route) const {
    const std::lock_guard lock(mutex_);
    const auto found = routes_.find(route);
    return found == routes_.end() ? 0 : found->second.compiles;
}

std::int64_t Process::loaded(const std::string& route) const {
    const std::lock_guard lock(mutex_);
    const auto found = routes_.find(route);
    return found == routes_.end() ? 0 : found->second.loaded;
}

std::shared_ptr<void> Process::load(const std::shared_ptr<Process>& process,
                                    const std::string& route, bool reclaimed) {
    const std::lock_guard lock(process->mutex_);
    Usage& usage = process->routes_[route];
    std::shared_ptr<void> token(nullptr, [process, route, reclaimed](void*) {
        const std::lock_guard later(process->mutex_);
        Usage& now = process->routes_[route];
        --now.loaded;
        now.compiles -= reclaimed ? 1 : 0;
    });
    ++usage.compiles;
    ++usage.loaded;
    return token;
}

bool Process::poisoned() const {
    const std::lock_guard lock(mutex_);
    return poisoned_;
}

void Process::poison() {
    const std::lock_guard lock(mutex_);
    poisoned_ = true;
}

}  // namespace pome::device
