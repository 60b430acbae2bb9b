#pragma once

#include <cstdint>
#include <vector>

#include "model/stage.h"

namespace pome::model {

// Attention in two stages around a cache of keys and values, for generating text: S new positions
// against the T of a cache. Between the two the host puts the new keys and values into the cache,
// so that position j is the j-th of every sum and the results are those of attention_stage() over
// the whole text. Values of S positions have the surfaces of Stage: [1, C, 1, S], or [1, 1, 1, C]
// for one.

/// Size of a query or key head with the zeros that fill it up to form.head_multiple.
std::int64_t padded_head(const ModelConfig& config, const Form& form);

/// From x: q [heads * padded], k [kv_heads * padded] and v [kv_heads * size] of the new positions.
/// Weights: wq and wk, whose heads have padded_head() rows, wv. Further inputs, where the model
/// rotates: "cosine" and "sine" [heads * padded], as rotation_angles() gives them for the
/// positions.
Stage query_key_value_stage(const ModelConfig& config, const Form& form);

/// From q: y, the new positions' attention over the cache. Weight: wo. Further inputs:
///   "keys"    [1, kv_heads * padded, 1, T]
///   "values"  [1, kv_heads, 1, T * size], size neighbours for every position
///   "mask"    [1, S, 1, T], added to the scores: 0 where a query may look, masked where not
Stage cached_attention_stage(const ModelConfig& config, const Form& form, std::int64_t cache);

/// What hides a key: a score added to -65504 could overflow, and a fully masked row would be
/// indeterminate.
constexpr double masked = -30000.0;

/// Cosine and signed sine of the rotation of every query channel at `position`: channels 2i and 2i
/// + 1 of a head turn by position * base^(-2i / size), which is x * cosine + (the pair's other) *
/// sine.
struct RotationAngles {
    std::vector<double> cosine, sine;  ///< [heads * padded]
};
RotationAngles rotation_angles(const ModelConfig& config, const Form& form, std::int64_t position);

}  // namespace pome::model
