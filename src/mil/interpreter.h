#pragma once

#include <map>
#include <string>

#include "mil/weights.h"
#include "reference/tensor.h"

namespace pome::mil {

using Tensors = std::map<std::string, reference::Tensor, std::less<>>;

/// Runs a function of a program by the reference meaning of its ops, in double precision and without any
/// intermediate rounding (casts to fp16 included: dtypes name storage, not arithmetic; casts to integers
/// truncate). `inputs` holds a tensor for every parameter. Returns the function's outputs by name.
/// Throws Error{malformed_program} for programs that do not verify, Error{unsupported} naming the ops that
/// have no meaning here, Error{binding_missing, surface_mismatch} for inputs.
Tensors interpret(const Package& package, const Tensors& inputs, std::string_view function = "main");

}  // namespace pome::mil
