#include "formats/weight_blob_repair.h"

#include <algorithm>

#include "base/bytes.h"
#include "formats/weight_blob.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.weight_blob";
constexpr std::uint64_t line = 64;
constexpr std::uint32_t sentinel = 0xDEADBEEF, reversed = 0xEFBEADDE;
constexpr std::uint32_t version = 2;

BlobDiagnosis damaged(BlobFault fault, std::uint64_t file, std::uint64_t data, std::string why) {
    return {fault, std::move(why), file > data, data, file - std::min(file, data)};
}

/// What stands in a file that begins with a record: nobody has shown that an engine reads it.
BlobDiagnosis record_at_start(const ByteReader& in, bool is_reversed) {
    return damaged(
        is_reversed ? BlobFault::reversed_magic_first : BlobFault::record_first, in.size(), line,
        fmt::format(
            "64-byte header: the file begins with a record{}, and the data follows at byte 64; a "
            "container has a storage header of 64 bytes before the record, so the data belongs at "
            "byte 128. BLOBFILE(offset = 64) names no record here",
            is_reversed ? " whose magic has its bytes reversed" : ""));
}

BlobDiagnosis without_record(const ByteReader& in) {
    return damaged(
        BlobFault::no_record, in.size(), line,
        "64-byte header: no record with the magic EF BE AD DE at byte 64, so the data seems to "
        "begin there; the container needs 128 bytes before the data. Compilers answer "
        "InvalidMILProgram (M1 Max, macOS 26.4)");
}

}  // namespace

BlobDiagnosis diagnose_blob(std::span<const std::byte> file) {
    const ByteReader in(file, here, "");
    if (in.size() < line) {
        return {BlobFault::unknown,
                fmt::format("{} bytes are too few for a weight blob", in.size()), false, 0, 0};
    }
    if (in.u32(0) == sentinel || in.u32(0) == reversed) {
        return record_at_start(in, in.u32(0) == reversed);
    }
    const bool is_zero = std::all_of(file.begin(), file.begin() + line,
                                     [](std::byte b) { return b == std::byte{0}; });
    const bool is_header = in.u32(4) == version;
    if (!is_header && !is_zero) {
        return {BlobFault::unknown, "no storage header (version 2 at byte 4): no weight blob",
                false, 0, 0};
    }
    if (in.size() >= 2 * line && in.u32(line) == reversed) {
        return damaged(
            BlobFault::reversed_sentinel, in.size(), 2 * line,
            "the magic at byte 64 has its bytes reversed: a container has EF BE AD DE there, which "
            "is 0xDEADBEEF in little-endian order. Published text that asks for \"little-endian "
            "0xEFBEADDE\" puts DE AD BE EF on the disk");
    }
    if (in.size() < 2 * line || in.u32(line) != sentinel) {
        // Other formats have a 2 there too (BLZT checkpoints); a storage header has zeros behind
        // it.
        const bool is_rest_zero = std::all_of(file.begin() + 8, file.begin() + line,
                                              [](std::byte b) { return b == std::byte{0}; });
        if (!is_rest_zero) {
            return {BlobFault::unknown,
                    "no record at byte 64, and no storage header: no weight blob", false, 0, 0};
        }
        return without_record(in);
    }
    if (!is_header) {
        return damaged(BlobFault::record_numbers, in.size(), 2 * line,
                       "the storage header is empty: version 2 is missing at byte 4");
    }
    try {
        const auto records = list_blob_records(file, "");
        return {BlobFault::none, "a sound container", false, records.front().data_offset,
                records.front().bytes};
    } catch (const Error& error) {
        const std::uint64_t size = in.u64(line + 8), offset = in.u64(line + 16);
        const std::uint64_t held = in.size() - 2 * line;
        if (offset == 2 * line && size == held) {
            return {BlobFault::unknown, error.message(), false, 0, 0};
        }
        return damaged(
            BlobFault::record_numbers, in.size(), 2 * line,
            fmt::format("the record at byte 64 says {} bytes of data at {}, the file holds {} at "
                        "128; compilers of macOS 15 compare the size with the tensor and refuse "
                        "all but those that it happens to fit, macOS 26 ignores it",
                        size, offset, held));
    }
}

std::vector<std::byte> repair_blob(std::span<const std::byte> file, std::string_view source,
                                   DType dtype) {
    const BlobDiagnosis found = diagnose_blob(file);
    if (found.fault == BlobFault::none) {
        return {file.begin(), file.end()};
    }
    if (!found.repairable) {
        fail(Code::malformed_file, here, "{}: cannot be repaired: {}", source, found.explanation);
    }
    const std::uint64_t unit = size_in_memory(dtype);
    if (bits(dtype) < 8 || unit == 0 || found.data_bytes % unit != 0) {
        fail(Code::invalid_argument, here,
             "{}: {} bytes of data are no whole number of {}; give the element type that the "
             "program declares, or is the file truncated?",
             source, found.data_bytes, name(dtype));
    }
    BlobWriter writer;
    writer.add(dtype, file.subspan(static_cast<std::size_t>(found.data_offset),
                                   static_cast<std::size_t>(found.data_bytes)));
    return writer.take();
}

}  // namespace pome::formats
