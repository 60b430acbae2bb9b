#pragma once

#include <string>
#include <vector>

#include "mil/program.h"

namespace pome::mil {

/// What verify() found besides breaks of the rules (which throw).
struct Verification {
    std::vector<std::string>
        unknown_ops;  ///< ops without a schema, sorted, once each: their results are believed
    int operations = 0;
};

/// Checks every rule of the language: names defined once and before use, outputs defined, const ops
/// well formed, and for every op that has a schema its arguments and the declared types of its
/// results. Throws Error{malformed_program} naming the operation, its line and the rule.
Verification verify(const Program& program);

}  // namespace pome::mil
