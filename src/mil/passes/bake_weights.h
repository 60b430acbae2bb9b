#pragma once

#include <string>
#include <vector>

#include "mil/program.h"

namespace pome::mil::passes {

/// A weight that a function holds as a constant: a matrix in conv's layout [out, in, 1, 1], a
/// vector in its own shape; dense, in the weight's own dtype.
struct BakedWeight {
    std::string parameter;    ///< the input that it was, a matrix of `rows` x `columns`; a vector
                              ///< has one column
    bool transposed = false;  ///< the constant is [columns, rows, 1, 1]
    std::int64_t rows = 0, columns = 0;
    std::string path;  ///< of its file in the package: one record, at offset 64
    DType dtype = DType::fp16;
};

struct Baked {
    Function function;
    std::vector<BakedWeight> weights;  ///< a parameter used both ways comes twice
};

/// The same function with `parameters` as constants instead of inputs, and every matrix product
/// with one of them on the left as a 1x1 convolution: on the engine that is the faster form, and
/// the same sums of the same products. A parameter may only be reshaped (size-1 axes added or
/// taken) and be the left operand of matmul, or, a vector such as a norm's gain [1, C, 1, 1], be an
/// operand of mul; anything else throws Error{unsupported} naming the operation. All other inputs
/// and the outputs keep their names. The text does not depend on the weights' values: equal layers
/// share it and differ in their weight files only.
Baked bake_weights(const Function& function, const std::vector<std::string>& parameters);

}  // namespace pome::mil::passes
