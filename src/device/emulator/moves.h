#pragma once

#include <cstdint>

#include "device/emulator/plan.h"

namespace pome::device::emulator {

/// Moves the elements of argument x as the op's meaning says.
void add_move_of_x(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments);

/// What moving a slice that begins at `width_begin` of the last axis does to its elements on chips
/// with `width_gain` (reference/chip/slice.h): in place.
void add_width_gain(Plan& plan, const Place& slice, std::int64_t width_begin);

}  // namespace pome::device::emulator
