#pragma once

#include <memory>

#include "device/device.h"

namespace pome::device {

/// The device "reference": runs any program by the double-precision meaning of its ops, slowly and
/// without intermediate rounding; the oracle of every test. Programs for it are written in fp32;
/// results are rounded once, to the dtype of the output surface.
std::unique_ptr<Device> make_reference_device();

}  // namespace pome::device
