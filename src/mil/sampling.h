#pragma once

#include "mil/schema.h"
#include "reference/ops.h"

namespace pome::mil {

// What the arguments of ops that take samples of an image say. Each throws
// Error{malformed_program, "mil.OP"} for a value that the op does not have.

reference::Sampling sampling_mode(const Arguments& in);
reference::ResampleRules resample_rules(const Arguments& in);
/// Of `affine`, which has one way only.
reference::Sampler affine_sampler(const Arguments& in);
reference::CropRules crop_rules(const Arguments& in);
/// box_indices where they are not given: 0, 1, 2, ...
reference::Tensor default_box_indices(const Arguments& in);

}  // namespace pome::mil
