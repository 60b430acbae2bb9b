#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "device/probe/trial.h"

namespace pome::device::probe {

/// How the child process that ran trials ended.
struct ChildEnd {
    bool came_back = true;  ///< false: it was killed, or took too long and was stopped
    int status = 0;         ///< exit status of one that came back
    std::string said;       ///< what it wrote to its standard error, or why it was stopped
};

/// Runs each call's trials in a child process, which a hang or a crash ends instead of this one:
/// what it had answered until then counts. A child that ends without an answer because it refuses
/// its orders (a program that is no MIL, a device that does not open) is Error{unsupported} with
/// its words. Orders and answers are files of a directory; the child's half is run_child_trials().
class ChildRunner final : public Runner {
  public:
    struct Options {
        /// Runs the child's program on a directory and stops it after so many seconds.
        std::function<ChildEnd(const std::filesystem::path& directory, double seconds)> start;
        std::filesystem::path directory;  ///< of this runner alone; must exist, is not removed
        /// Left to the compiler's service after a program that was refused (ane-guide ch. 19).
        std::chrono::milliseconds rest{15000};
        std::chrono::milliseconds opening{60000};  ///< allowed for opening the device
        std::chrono::milliseconds trial{0};  ///< what the child itself allows a trial, if longer
    };
    explicit ChildRunner(Options options) : options_(std::move(options)) {}
    std::vector<Outcome> run(std::span<const Trial> trials) override;
    Exhaustion exhaust(const mil::Package& package, bool hold, std::int64_t most) override;

  private:
    std::filesystem::path next_directory();
    Options options_;
    int calls_ = 0;
};

/// The child's half: does what the directory orders on devices that `open` makes, and writes each
/// answer as soon as there is one. Throws Error{malformed_file} for orders that are none, and what
/// opening the device throws.
void run_child_trials(const std::filesystem::path& directory,
                      const std::function<std::unique_ptr<Device>()>& open);

}  // namespace pome::device::probe
