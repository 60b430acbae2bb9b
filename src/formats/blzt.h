#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "formats/tensors.h"

namespace pome::formats {

/// A checkpoint of the published trainers of this engine ("BLZT"): version 2 is written by the ones
/// that bake weights into programs, version 4 by the one whose weights are inputs. Sizes and fp32
/// weights by our names; with Q = query_width and KV = kv_heads * head_size:
///   embedding.weight [vocabulary, width], norm.weight [width],
///   layers.N.{attention_norm, ffn_norm}.weight [width],
///   layers.N.attention.wq.weight [Q, width], .{wk, wv}.weight [KV, width], .wo.weight [width, Q],
///   layers.N.feed_forward.{w1, w3}.weight [hidden, width], .w2.weight [width, hidden].
/// Adam's moments lie beside them in the file and are not read.
struct BlztCheckpoint {
    int version = 0;
    std::int64_t width = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_size = 0,
                 query_width = 0, vocabulary = 0, sequence = 0;
    std::int64_t step = 0;  ///< the next one to run
    std::int64_t total_steps = 0;
    std::int64_t adam_updates = 0;
    float learning_rate = 0.0F;
    float loss = 0.0F;  ///< of one sequence, the newest or the best
    NamedTensors tensors;
};

/// Whether a file begins as one.
bool is_blzt(std::span<const std::byte> bytes);

/// Reads versions 2 and 4. Throws Error{malformed_file} for another version, sizes that are not
/// positive, do not divide or do not match the file's length, counts that are negative, and weights
/// that are not finite.
BlztCheckpoint parse_blzt(std::span<const std::byte> bytes, std::string_view source);
BlztCheckpoint read_blzt(const std::filesystem::path& path);

}  // namespace pome::formats
