#include "base/crash_point.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

namespace pome {
namespace {

struct Plan {
    std::string name;
    std::atomic<long> left{0};  ///< passings of the point until the end
};

/// nullptr: nobody asks for it.
std::unique_ptr<Plan> plan_of_environment() {
    const char* const asked = std::getenv("POME_CRASH_POINT");
    const std::string_view text = asked == nullptr ? "" : asked;
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) {
        return nullptr;
    }
    auto plan = std::make_unique<Plan>();
    plan->name = text.substr(0, colon);
    plan->left = std::strtol(asked + colon + 1, nullptr, 10);
    return plan;
}

}  // namespace

void crash_point(std::string_view name) {
    // Of the process, like its end.
    static const std::unique_ptr<Plan> plan = plan_of_environment();
    if (plan == nullptr || plan->name != name || --plan->left != 0) {
        return;
    }
    ::kill(::getpid(), SIGKILL);
    for (;;) {
        ::pause();  // the signal may need a moment to come
    }
}

}  // namespace pome
