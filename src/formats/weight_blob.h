#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace pome::formats {

/// One tensor's record in a weight blob (MILBlob container, version 2): 64 bytes, then the data.
struct BlobRecord {
    std::uint64_t offset = 0;  ///< of the record: what BLOBFILE(offset) names
    DType dtype = DType::fp16;
    std::uint64_t bytes = 0;  ///< of the data as it lies in the file, sub-byte padding included
    std::uint64_t data_offset = 0;   ///< absolute
    std::uint64_t padding_bits = 0;  ///< unused high bits of the last byte; sub-byte types only
};

/// What is checked of a record before its data is believed. The default checks everything; the
/// compilers of real systems check less (device profiles, [blobs]).
struct BlobRules {
    bool size = true;         ///< its size must be the tensor's
    bool dtype = true;        ///< its dtype must be the tensor's
    bool record = true;       ///< there must be one; else whatever lies 64 bytes on is the data
    bool data_offset = true;  ///< where its data lies; else the data follows the record
    bool zero_is_file_start = false;  ///< else, where it says 0, the data begins with the file
    friend bool operator==(const BlobRules&, const BlobRules&) = default;
};

/// The record at byte `offset`. Every number is checked; throws Error{malformed_file} with the
/// place and the likely cause. Offsets that are no multiple of 64 are read: programs that hardware
/// accepted name such records (their blobs put each record right behind the data before it).
BlobRecord read_blob_record(std::span<const std::byte> file, std::string_view source,
                            std::uint64_t offset);

/// The elements of the record at `offset`, which must be `elements` of `dtype`; sub-byte types come
/// one element a byte, int4 sign-extended. Throws Error{malformed_file}.
std::vector<std::byte> read_blob(std::span<const std::byte> file, std::string_view source,
                                 std::uint64_t offset, DType dtype, std::int64_t elements);

/// The same as a compiler reads it that checks only what `rules` say: a missing part of the data is
/// zeros. Throws Error{malformed_file} for what breaks the rules that are left.
std::vector<std::byte> read_blob(std::span<const std::byte> file, std::string_view source,
                                 std::uint64_t offset, DType dtype, std::int64_t elements,
                                 const BlobRules& rules);

/// Records that follow each other from byte 64 to the end of the file, at the next multiple of 64
/// or right behind the data. The count in the header is not believed (trainers write 1 for
/// several).
std::vector<BlobRecord> list_blob_records(std::span<const std::byte> file, std::string_view source);

/// Builds a container strictly: records and data at multiples of 64, the true count, no garbage.
class BlobWriter {
  public:
    BlobWriter();
    /// Appends a tensor; `data` holds one element a byte for sub-byte types. Returns the record's
    /// offset. Throws Error{unsupported} for dtypes the container lacks, Error{invalid_argument}
    /// for part of an element or a sub-byte value out of range.
    std::uint64_t add(DType dtype, std::span<const std::byte> data);
    /// The file. The writer is empty afterwards and ready for the next file.
    std::vector<std::byte> take();

  private:
    std::vector<std::byte> bytes_;
    std::uint32_t count_ = 0;
    std::size_t last_end_ = 64;  ///< of the last data: the file is not padded after it
};

}  // namespace pome::formats
