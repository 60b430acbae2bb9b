#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mil/corpus.h"
#include "mil/interpreter.h"
#include "mil/text.h"
#include "mil/verifier.h"

namespace pome::mil {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::Pointwise;

/// A program whose function takes `parameters` and returns `outputs` of the statements `body`, all
/// on line 1.
inline Program program_text(const std::string& parameters, const std::string& body,
                            const std::string& outputs = "y") {
    return read("program(1.3)[buildInfo = dict<string, string>({})]{func main<ios18>(" +
                parameters + "){" + body + "} -> (" + outputs + ");}");
}

/// The outputs of such a program. Its declared types were verified.
inline Tensors run_text(const std::string& parameters, const std::string& body,
                        const Tensors& inputs, const std::string& outputs = "y") {
    return interpret({program_text(parameters, body, outputs), {}}, inputs);
}

/// y's elements, given the elements of x, which is the only parameter.
inline std::vector<double> y_of(const std::string& x_type, const std::vector<double>& x,
                                const std::string& statement) {
    const Program program = program_text(x_type + " x", statement);
    const Shape shape = program.functions.front().parameters.front().type.shape;
    return interpret({program, {}}, {{"x", reference::Tensor(shape, x)}}).at("y").data;
}

/// The words in which verify() refuses such a program.
inline std::string refusal_of(const std::string& parameters, const std::string& body) {
    return refusal([&] { verify(program_text(parameters, body)); });
}

/// 1, 2, ..., count.
inline std::vector<double> counting(int count) {
    std::vector<double> values;
    for (int i = 1; i <= count; ++i) {
        values.push_back(i);
    }
    return values;
}

}  // namespace pome::mil
