#pragma once

#include <string>
#include <vector>

namespace pome::cli {

/// The file of this program, wherever it was started from.
std::string program_path();

/// Replaces this process by a new one of the same program with other arguments, for what only a new
/// process can do: the engine's compiler stops working after some hundred programs. Buffered output
/// is written first. Returns only by throwing Error{io}, when the system refuses.
[[noreturn]] void start_again(const std::vector<std::string>& arguments);

}  // namespace pome::cli
