#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "formats/tensors.h"

namespace pome::formats {

/// A llama2.c model: sizes and fp32 weights by our names. With head size hs = width / heads and
/// KV = kv_heads * hs:
///   embedding.weight [vocabulary, width], norm.weight [width],
///   layers.N.{attention_norm, ffn_norm}.weight [width],
///   layers.N.attention.{wq, wo}.weight [width, width], .{wk, wv}.weight [KV, width],
///   layers.N.feed_forward.{w1, w3}.weight [hidden, width], .w2.weight [width, hidden],
///   head.weight [vocabulary, width] only when the classifier is not the embedding.
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

/// Writes version 0, atomically, with the RoPE tables (base 10000) that llama2.c reads past. Throws
/// Error{invalid_argument} naming what is wrong: a size, a tensor that is missing, has another
/// shape or no place in the format, a weight that is not finite. Error{io} leaves the old file.
void write_llama2c(const std::filesystem::path& path, const Llama2cModel& model);

}  // namespace pome::formats
