#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"

namespace pome::train {

/// The next token from logits: the largest (the first of equals) at temperature 0, otherwise drawn
/// from softmax(logits / temperature). Throws Error{diverged} when no logit is finite.
std::int32_t sample_token(std::span<const float> logits, double temperature, Random& random);

}  // namespace pome::train
