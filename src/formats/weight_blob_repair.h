#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace pome::formats {

/// How a weight blob is damaged: the malformed variants that published programs write.
enum class BlobFault : std::uint8_t {
    none,                  ///< a sound container
    no_record,             ///< 64-byte header: zeros or a header, then the data; no record
    record_first,          ///< 64-byte header that is a record: the storage header is missing
    reversed_sentinel,     ///< the record's magic has its bytes in reversed order
    reversed_magic_first,  ///< both of the last
    record_numbers,  ///< header and magic are sound, size or data offset are not (benchmark blobs)
    unknown,         ///< no weight blob, or nothing that is known to be one
};

struct BlobDiagnosis {
    BlobFault fault = BlobFault::unknown;
    std::string explanation;  ///< what is wrong, where, what it does on which system; a sentence
    bool repairable = false;
    std::uint64_t data_offset = 0;  ///< where the data begins in the damaged file
    std::uint64_t data_bytes = 0;
};

/// Looks at a blob of one tensor, as damaged ones are.
BlobDiagnosis diagnose_blob(std::span<const std::byte> file);

/// The sound container of a damaged one-tensor blob, or of a sound one the same bytes. The element
/// type is the caller's knowledge: damaged headers do not hold it, or hold it wrongly. Throws
/// Error{malformed_file} with the explanation when nothing is known to help,
/// Error{invalid_argument} when the data is no whole number of elements.
std::vector<std::byte> repair_blob(std::span<const std::byte> file, std::string_view source,
                                   DType dtype);

}  // namespace pome::formats
