#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"

namespace pome::device::apple {

// The engine has failures that report success: outputs that nobody wrote, zeros, inputs or outputs
// bound in another order than thought. A canary evaluates with values whose answer is known.

/// Known programs whose answers are exact on every chip: a convolution that reads a weight file,
/// and one of two inputs and two outputs. `compile` is given each; a refusal of the second is a
/// remark, as there are chips and routes that take one input only. Returns remarks. Throws
/// Error{evaluation_failed} saying what is wrong, and whatever the first program is refused with.
using Compile = std::function<std::unique_ptr<Executable>(const mil::Package&)>;
std::vector<std::string> check_known_answers(const Profile& profile, const Compile& compile);

/// What one program's first evaluations tell.
struct Verdict {
    bool compared = false;  ///< its answers were compared with the meaning of its ops
    bool matches = false;
    std::string remark;  ///< why it was not compared, or that it differs in a way of no known fault
};

/// Evaluates `executable`, which must be the package's function, with random values. Throws
/// Error{evaluation_failed} for outputs that keep what was in them before, for zeros where the
/// meaning of the ops says otherwise, and for inputs or outputs that are exchanged. Programs of
/// more than `work_limit` multiplications are not compared, only checked for what they leave
/// unwritten.
Verdict check_program(const mil::Package& package, std::string_view function,
                      Executable& executable, std::int64_t work_limit = std::int64_t{1} << 24);

}  // namespace pome::device::apple
