#include "formats/weight_blob.h"

#include <array>
#include <cstring>

#include "base/bytes.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.weight_blob";
constexpr std::uint32_t sentinel = 0xDEADBEEF;
constexpr std::uint64_t line = 64;

// By the code in the file.
constexpr std::array<DType, 17> codes{
    DType::fp16,   DType::fp32,  DType::uint8,  DType::int8,       DType::bf16,    DType::int16,
    DType::uint16, DType::int4,  DType::uint1,  DType::uint2,      DType::uint4,   DType::uint3,
    DType::uint6,  DType::int32, DType::uint32, DType::fp8_e4m3fn, DType::fp8_e5m2};

std::uint32_t code_of(DType dtype) {
    for (std::size_t i = 0; i < codes.size(); ++i) {
        if (codes[i] == dtype) {
            return static_cast<std::uint32_t>(i + 1);
        }
    }
    fail(Code::unsupported, here, "{} cannot be stored in a weight blob", name(dtype));
}

ByteReader open(std::span<const std::byte> file, std::string_view source) {
    ByteReader in(file, here, source);
    if (in.size() < line) {
        in.fail_at(0, "{} bytes are too few for a weight blob, whose header has 64", in.size());
    }
    if (in.u32(4) != 2) {
        in.fail_at(
            4, "Storage Reader expects file format version 2., found {}; is this a weight blob?",
            in.u32(4));
    }
    return in;
}

}  // namespace

BlobRecord read_blob_record(std::span<const std::byte> file, std::string_view source,
                            std::uint64_t offset) {
    const ByteReader in = open(file, source);
    if (offset % line != 0 || offset < line) {
        in.fail_at(offset,
                   "a record starts at a multiple of 64 after the header; BLOBFILE's offset names "
                   "the record, not the data");
    }
    if (in.size() < offset || in.size() - offset < line) {
        in.fail_at(offset,
                   "no room for a record of 64 bytes: 64-byte header? the container needs 128 "
                   "bytes before the data");
    }
    const std::uint32_t magic = in.u32(offset);
    if (magic != sentinel) {
        in.fail_at(offset, "Invalid sentinel in blob_metadata: {:#010x}, not 0xdeadbeef{}", magic,
                   magic == 0xEFBEADDE ? "; the bytes are reversed"
                                       : "; does BLOBFILE's offset name a record?");
    }
    BlobRecord record;
    record.offset = offset;
    const std::uint32_t code = in.u32(offset + 4);
    if (code < 1 || code > codes.size()) {
        in.fail_at(offset + 4, "data type {} is unknown", code);
    }
    record.dtype = codes[code - 1];
    record.bytes = in.u64(offset + 8);
    record.data_offset = in.u64(offset + 16);
    // Whole-byte types have no padding; old writers left garbage in its place.
    record.padding_bits = bits(record.dtype) < 8 ? in.u64(offset + 24) : 0;
    if (record.data_offset % line != 0 || record.data_offset < offset + line) {
        in.fail_at(offset + 16, "data offset {} is not a multiple of 64 after its record",
                   record.data_offset);
    }
    if (record.data_offset > in.size() || record.bytes > in.size() - record.data_offset) {
        in.fail_at(offset + 8, "{} bytes of data at {} do not lie in a file of {}; truncated?",
                   record.bytes, record.data_offset, in.size());
    }
    if (record.padding_bits >= 8) {
        in.fail_at(offset + 24, "padding of {} bits is a byte or more", record.padding_bits);
    }
    return record;
}

std::vector<std::byte> read_blob(std::span<const std::byte> file, std::string_view source,
                                 std::uint64_t offset, DType dtype, std::int64_t elements) {
    const BlobRecord record = read_blob_record(file, source, offset);
    const ByteReader in(file, here, source);
    if (record.dtype != dtype) {
        in.fail_at(
            offset + 4,
            "Metadata data type does not match requested type.: the record says {}, the program {}",
            name(record.dtype), name(dtype));
    }
    const std::uint64_t width = bits(dtype);
    const auto count = static_cast<std::uint64_t>(elements);
    if (elements < 0 || count > (std::uint64_t{1} << 56) ||
        record.bytes != (count * width + 7) / 8) {
        in.fail_at(offset + 8, "the record has {} bytes, {} elements of {} have {}", record.bytes,
                   elements, name(dtype), (count * width + 7) / 8);
    }
    const auto data = file.subspan(record.data_offset, record.bytes);
    if (width >= 8) {
        return {data.begin(), data.end()};
    }
    std::vector<std::byte> unpacked(count);
    for (std::uint64_t i = 0; i < count;
         ++i) {  // lowest bit of a byte first; 3 and 6 bits cross bytes
        unsigned value = 0;
        for (std::uint64_t bit = 0; bit < width; ++bit) {
            const std::uint64_t at = i * width + bit;
            value |= (std::to_integer<unsigned>(data[at / 8]) >> (at % 8) & 1U) << bit;
        }
        if (dtype == DType::int4 && value >= 8) {
            value |= 0xF0;
        }
        unpacked[i] = static_cast<std::byte>(value);
    }
    return unpacked;
}

std::vector<BlobRecord> list_blob_records(std::span<const std::byte> file,
                                          std::string_view source) {
    const ByteReader in = open(file, source);
    std::vector<BlobRecord> records;
    for (std::uint64_t at = line; at < in.size();) {
        records.push_back(read_blob_record(file, source, at));
        at = (records.back().data_offset + records.back().bytes + line - 1) / line * line;
    }
    return records;
}

BlobWriter::BlobWriter() : bytes_(line) {
    const std::uint32_t version = 2;
    std::memcpy(bytes_.data() + 4, &version, sizeof version);
}

std::uint64_t BlobWriter::add(DType dtype, std::span<const std::byte> data) {
    ByteWriter record;
    const std::uint64_t offset = bytes_.size(), width = bits(dtype);
    std::vector<std::byte> packed(data.begin(), data.end());
    std::uint64_t padding = 0;
    if (width < 8) {
        const std::uint64_t count = data.size();
        packed.assign((count * width + 7) / 8, std::byte{0});
        padding = packed.size() * 8 - count * width;
        for (std::uint64_t i = 0; i < count * width; ++i) {
            const unsigned bit = std::to_integer<unsigned>(data[i / width]) >> (i % width) & 1U;
            packed[i / 8] |= static_cast<std::byte>(bit << (i % 8));
        }
    }
    record.put(sentinel);
    record.put(code_of(dtype));
    record.put<std::uint64_t>(packed.size());
    record.put<std::uint64_t>(offset + line);
    record.put<std::uint64_t>(padding);
    record.pad_to(line);
    bytes_.insert(bytes_.end(), record.bytes().begin(), record.bytes().end());
    bytes_.insert(bytes_.end(), packed.begin(), packed.end());
    last_end_ = bytes_.size();
    bytes_.resize((bytes_.size() + line - 1) / line * line);
    ++count_;
    return offset;
}

std::vector<std::byte> BlobWriter::take() {
    bytes_.resize(last_end_);
    std::memcpy(bytes_.data(), &count_, sizeof count_);
    return std::move(bytes_);
}

}  // namespace pome::formats
