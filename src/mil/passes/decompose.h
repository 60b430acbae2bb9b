#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "mil/program.h"
#include "mil/weights.h"

namespace pome::mil::passes {

/// What the target of a decomposition does.
struct Decomposing {
    bool attention_mask = true;  ///< false: scaled_dot_product_attention ignores attn_mask
    bool fold = true;            ///< batch_norm of constants becomes a gain and an offset
};

/// How an op that the engine's compiler builds from simpler ones is built: "reduce_mean, sub, ..."
/// (src/mil/passes/decompose.cc names the source of each). nullopt for every other op.
/// l2_norm's form has max(norm, sqrt(epsilon)) for sqrt(norm^2 + epsilon), as on the engine; all
/// others are what their op means.
std::optional<std::string_view> decomposition_of(std::string_view op);

/// The function with every operation that has a decomposition, and that `wanted` accepts, written
/// out; everything else keeps its names and places. Constant operands of batch_norm are read from
/// `weights` and folded.
Function decompose(const Function& function, const WeightFiles& weights,
                   const Decomposing& target = {},
                   const std::function<bool(const Operation&)>& wanted = {});

}  // namespace pome::mil::passes
