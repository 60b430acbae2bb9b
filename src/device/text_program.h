#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "mil/weights.h"

namespace pome::device {

/// An input of a small program that is written as text, and what is put in.
struct TextInput {
    std::string name;
    Shape shape;
    DType dtype = DType::fp16;
    std::vector<double> values;  ///< each rounded to nearest even; empty: zeros
    std::size_t allocation = 0;  ///< of its surface, in bytes; 0: whatever the device asks for
};

/// A constant of such a program: a weight file of its own, @model_path/weights/NAME.bin.
struct TextConstant {
    std::string name;
    Shape shape;
    DType dtype = DType::fp16;
    std::vector<double> values;
};

/// A program around statements that define `y` from inputs (in this order) and constants, in a
/// dialect: terse for ios18, canonical for ios16. Literals among the arguments become named
/// constants, which is how every program that is known to have run on an engine spells them. Throws
/// Error{malformed_program} for statements that are no MIL.
mil::Package text_program(const std::vector<TextInput>& inputs, std::string_view body,
                          mil::Dialect dialect, const std::vector<TextConstant>& constants = {});

/// Evaluates a program whose output is y, fp16 or fp32; the elements of y. `allocation`: of y's
/// surface, as in TextInput.
std::vector<double> evaluate(Executable& executable, const std::vector<TextInput>& inputs,
                             std::size_t allocation = 0);

}  // namespace pome::device
