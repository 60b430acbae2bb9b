#pragma once

#include <cstdint>

#include "mil/program.h"

namespace pome::mil::passes {

/// The most bytes that values of a verified function with static shapes take at one moment: while
/// an operation runs, its operands, its results and everything that a later operation or the caller
/// still reads. Inputs, constants and outputs count from the first operation to the last, as their
/// memory is the caller's or the program's; other shapes of the same elements (reshape, squeeze,
/// expand_dims, identity) take nothing of their own.
std::int64_t live_bytes(const Function& function);

}  // namespace pome::mil::passes
