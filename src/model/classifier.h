#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mil/builder.h"

namespace pome::model {

/// A matrix that a classifier learns.
struct ClassifierWeight {
    std::string name;
    std::int64_t rows = 0, columns = 0;
    Shape surface;           ///< of the input: [1, rows, 1, columns rounded up to 32]
    double deviation = 0.0;  ///< starts normal with this standard deviation; 0: zeros
};

/// A picture classifier for a fixed number of pictures: input x [1, pixels, 1, N] and weights;
/// output y [1, classes, 1, N], the logits.
struct Classifier {
    mil::Function function;
    std::vector<ClassifierWeight> weights;
};

/// y = w2 relu(w1 x + b1) + b2.
Classifier mlp_classifier(std::int64_t pixels, std::int64_t hidden, std::int64_t classes,
                          std::int64_t pictures, DType dtype);

/// 5x5 convolution without padding, relu, means of 2x2 pixels, linear. The convolution is a matrix
/// product over patches: the engine's convolutions take no weights as inputs for more than one
/// picture. side - 4 must be even.
Classifier conv_classifier(std::int64_t side, std::int64_t channels, std::int64_t classes,
                           std::int64_t pictures, DType dtype);

}  // namespace pome::model
