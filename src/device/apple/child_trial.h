#pragma once

#include <string>
#include <vector>

namespace pome::device::apple {

/// How a child process ended.
struct ChildResult {
    enum class Kind { exited, killed, time_over };
    Kind kind = Kind::exited;
    int status = 0;      ///< exit status, or the signal
    std::string output;  ///< what it wrote to its standard error, up to 64 KiB
};

/// Runs a program, not through a shell, and kills it after `seconds`. Its standard output is
/// dropped. Throws Error{io} when it does not start.
ChildResult run_child(const std::vector<std::string>& command, double seconds);

}  // namespace pome::device::apple
