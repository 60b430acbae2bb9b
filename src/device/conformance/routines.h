#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "device/device.h"

namespace pome::device::conformance {

/// What a routine works with.
struct RoutineCall {
    const std::function<std::unique_ptr<Device>()>& open;
    std::span<const double> arguments;
    std::string_view statement;  ///< a call on x, such as "sigmoid(x = x)"
};

/// A figure from a device: an error, or the number of elements that differ.
using Routine = double (*)(const RoutineCall&);

/// Routines by name: product_error, convolution_error, attention_error, permuted_product,
/// batched_rows, repeated, largest_error, normal_error. nullptr for an unknown one.
Routine find_routine(std::string_view name);

}  // namespace pome::device::conformance
