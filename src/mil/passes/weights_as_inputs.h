#pragma once

#include <string>
#include <vector>

#include "mil/passes/bake_weights.h"
#include "mil/program.h"

namespace pome::mil::passes {

/// The floating-point constants of a function that lie in weight files, in the order of the text.
/// `type` is the constant's, `blob` where its elements are.
struct BlobConstant {
    std::string name;
    Type type;
    Blob blob;
};
std::vector<BlobConstant> blob_constants(const Function& function);

/// The same function with these constants as inputs of their names, after the others. Throws
/// Error{invalid_argument} for a name that is no constant in a weight file.
Function constants_to_inputs(const Function& function, const std::vector<std::string>& constants);

/// The way back: `parameters` as constants, each in a weight file of its own; those that
/// bake_weights() takes become convolutions and vectors as it makes them, all others stay what they
/// were used as, in their own shape. No use is refused.
Baked inputs_to_constants(const Function& function, const std::vector<std::string>& parameters);

}  // namespace pome::mil::passes
