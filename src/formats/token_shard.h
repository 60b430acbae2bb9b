#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace pome::formats {

/// Token ids over bytes that stay the caller's, in one of two forms:
///   flat  little-endian uint16 without header (llama2.c);
///   ours  32 bytes of header, then the ids: magic "POMETOK\0", u32 version 1, u32 bits an id (16
///   or
///         32), u64 count, u64 vocabulary (1 to 2^31 - 1; to 65536 with 16 bits).
/// A flat file that begins with the ids of the magic would be taken for ours; no tokenizer makes
/// them.
class TokenIds {
  public:
    /// Throws Error{malformed_file} for empty files, odd lengths and headers that do not match the
    /// file. The ids themselves are not looked at: see check_vocabulary.
    TokenIds(std::span<const std::byte> bytes, std::string_view source);

    std::int64_t size() const { return count_; }
    /// The vocabulary that the header states; 0 for flat files, which state none.
    std::int64_t vocabulary() const { return vocabulary_; }
    /// The caller guarantees 0 <= index < size(). Ids from 2^31 on, which no vocabulary has, come
    /// as 2^31 - 1.
    std::int32_t operator[](std::int64_t index) const;
    /// Reads every id once. Throws Error{malformed_file} naming the first position and id that is
    /// not below `vocabulary`.
    void check_vocabulary(std::int64_t vocabulary) const;

  private:
    void read_header(std::span<const std::byte> bytes);
    std::uint32_t id(std::int64_t index) const;

    std::string source_;
    std::span<const std::byte> ids_;
    std::int64_t count_ = 0;
    std::int64_t vocabulary_ = 0;
    int bytes_per_id_ = 2;
};

/// A file of token ids, mapped.
class TokenShard {
  public:
    explicit TokenShard(const std::filesystem::path& path)
        : file_(path), ids_(file_.bytes(), path.string()) {}

    std::int64_t size() const { return ids_.size(); }
    std::int64_t vocabulary() const { return ids_.vocabulary(); }
    std::int32_t operator[](std::int64_t index) const { return ids_[index]; }
    void check_vocabulary(std::int64_t vocabulary) const { ids_.check_vocabulary(vocabulary); }

  private:
    MappedFile file_;
    TokenIds ids_;  ///< over the mapping, which keeps its address when the shard is moved
};

/// Writes ids atomically: flat uint16 when the vocabulary allows it, our format with 32 bits
/// otherwise. Throws Error{invalid_argument} naming an id outside [0, vocabulary) or a vocabulary
/// outside [1, 2^31 - 1], Error{io}; then the old file stays.
void write_tokens(const std::filesystem::path& path, std::span<const std::int32_t> ids,
                  std::int64_t vocabulary);

}  // namespace pome::formats
