#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "formats/tensors.h"

namespace pome::formats {

/// A llama2.c model: sizes and fp32 weights by our names: embedding.weight [V,D],
/// layers.N.{attention_norm,ffn_norm}.weight [D], layers.N.attention.{wq [D,D], wk, wv [KV,D], wo
/// [D,D]}.weight, layers.N.feed_forward.{w1, w3 [H,D], w2 [D,H]}.weight, norm.weight [D],
/// head.weight [V,D] only when the classifier is not the embedding.
struct Llama2cModel {
    std::int64_t width = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, vocabulary = 0,
                 sequence = 0;
    bool tied_head = true;
    NamedTensors tensors;
};

/// Reads versions 0 (no magic) and 1 ("ak42"). Throws Error{malformed_file} for sizes that are not
/// positive, do not divide or do not match the file's length, and for weights that are not finite;
/// Error{unsupported} for the int8 version 2.
Llama2cModel parse_llama2c(std::span<const std::byte> bytes, std::string_view source);
Llama2cModel read_llama2c(const std::filesystem::path& path);

/// Writes version 0, atomically. Throws Error{invalid_argument} naming a tensor that is missing or
/// has another shape.
void write_llama2c(const std::filesystem::path& path, const Llama2cModel& model);

}  // namespace pome::formats
