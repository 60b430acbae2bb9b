#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/file.h"

namespace pome::formats {

/// A file of token ids, mapped: flat little-endian uint16 without header (llama2.c), or ours: 32
/// bytes of header, magic "POMETOKS", version 1, bits an id (16 or 32), count and vocabulary, then
/// the ids.
class TokenShard {
  public:
    /// Throws Error{malformed_file} for odd lengths and headers that do not match the file.
    explicit TokenShard(const std::filesystem::path& path);

    std::int64_t size() const { return count_; }
    std::int32_t operator[](std::int64_t index) const;
    /// Reads every id once. Throws Error{malformed_file} naming the first position and id that is
    /// not below `vocabulary`.
    void check_vocabulary(std::int64_t vocabulary) const;

  private:
    MappedFile file_;
    std::string source_;
    std::span<const std::byte> ids_;
    std::int64_t count_ = 0;
    int bytes_per_id_ = 2;
};

/// Writes ids atomically: flat uint16 when the vocabulary allows it, our format with 32 bits
/// otherwise.
void write_tokens(const std::filesystem::path& path, std::span<const std::int32_t> ids,
                  std::int64_t vocabulary);

}  // namespace pome::formats
