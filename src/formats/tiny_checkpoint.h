#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace pome::formats {

/// The checkpoint of the published two-layer program tiny_train (ane_train_ckpt.bin): a header of
/// 64 bytes without magic, then both matrices.
struct TinyCheckpoint {
    std::int64_t step = 0;  ///< the next one to run
    float loss = 0.0F;
    std::int64_t width = 0, hidden = 0, positions = 0, total_steps = 0;
    float learning_rate = 0.0F;
    std::vector<float> w1;  ///< [hidden, width], row-major
    std::vector<float> w2;  ///< [width, hidden]
};

/// Throws Error{malformed_file} for sizes that are not positive or do not match the file's length,
/// a negative step, and weights that are not finite.
TinyCheckpoint parse_tiny_checkpoint(std::span<const std::byte> bytes, std::string_view source);
TinyCheckpoint read_tiny_checkpoint(const std::filesystem::path& path);

/// Writes one, whole or not at all. The published program's times, which a TinyCheckpoint has no
/// place for, are 0. Throws Error{invalid_argument} for values that the format cannot hold or whose
/// sizes do not fit each other, Error{io}.
void write_tiny_checkpoint(const std::filesystem::path& path, const TinyCheckpoint& checkpoint);

}  // namespace pome::formats
