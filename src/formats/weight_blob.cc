#include "formats/weight_blob.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.weight_blob";
constexpr std::string_view headerless =
    "64-byte header: the container needs 128 bytes before the data";
constexpr std::uint32_t sentinel = 0xDEADBEEF;
constexpr std::uint32_t version = 2;
constexpr std::uint64_t line = 64;

// By the code in the file, from 1.
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

std::uint64_t next_line(std::uint64_t at) {
    return (at + line - 1) / line * line;
}

ByteReader open(std::span<const std::byte> file, std::string_view source) {
    ByteReader in(file, here, source);
    if (in.size() < line) {
        in.fail_at(0, "{} bytes are too few for a weight blob, whose header has 64", in.size());
    }
    if (in.u32(0) == sentinel) {
        in.fail_at(0, "the file begins with a record: {}", headerless);
    }
    const std::uint32_t found = in.u32(4);
    if (found != version) {
        in.fail_at(4, "Storage Reader expects file format version 2., found {}; {}", found,
                   found == 0 ? headerless : "is this a weight blob?");
    }
    return in;
}

bool is_record(const ByteReader& in, std::uint64_t at) {
    return at <= in.size() && in.size() - at >= line && in.u32(at) == sentinel;
}

[[noreturn]] void fail_sentinel(const ByteReader& in, std::uint64_t offset) {
    std::string cause = "does BLOBFILE's offset name a record?";
    if (in.u32(offset) == 0xEFBEADDE) {
        cause = "the bytes are reversed";
    } else if (offset >= 2 * line && is_record(in, offset - line)) {
        cause =
            fmt::format("BLOBFILE's offset names the record, at {}, not its data", offset - line);
    } else if (offset == line) {
        cause = headerless;
    }
    in.fail_at(offset, "Invalid sentinel in blob_metadata: {:#010x}, not 0xdeadbeef; {}",
               in.u32(offset), cause);
}

void check_data_range(const ByteReader& in, const BlobRecord& record) {
    const std::uint64_t at = record.data_offset, unit = size_in_memory(record.dtype);
    if (at < record.offset + line) {
        in.fail_at(record.offset + 16, "data offset {} lies before the end {} of its own record",
                   at, record.offset + line);
    }
    if (at % unit != 0) {
        in.fail_at(record.offset + 16, "data offset {} is no multiple of {}, the size of {}", at,
                   unit, name(record.dtype));
    }
    if (at > in.size() || record.bytes > in.size() - at) {
        in.fail_at(record.offset + 8,
                   "{} bytes of data at {} do not lie in a file of {}; truncated?", record.bytes,
                   at, in.size());
    }
    if (record.bytes % unit != 0) {
        in.fail_at(record.offset + 8, "{} bytes are no whole number of {}", record.bytes,
                   name(record.dtype));
    }
}

void check_padding(const ByteReader& in, const BlobRecord& record) {
    const std::uint64_t width = bits(record.dtype), padding = record.padding_bits;
    if (padding >= 8) {
        in.fail_at(record.offset + 24, "padding of {} bits is a byte or more", padding);
    }
    if (padding > record.bytes * 8 || (record.bytes * 8 - padding) % width != 0) {
        in.fail_at(record.offset + 24, "{} bytes less {} bits of padding are no whole number of {}",
                   record.bytes, padding, name(record.dtype));
    }
}

/// Sub-byte elements lie lowest bit first; those of 3 and 6 bits cross into the next byte.
std::vector<std::byte> unpack(std::span<const std::byte> data, DType dtype, std::uint64_t count) {
    const std::uint64_t width = bits(dtype);
    std::vector<std::byte> unpacked(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t at = i * width / 8, shift = i * width % 8;
        unsigned pair = std::to_integer<unsigned>(data[at]);
        if (shift + width > 8) {
            pair |= std::to_integer<unsigned>(data[at + 1]) << 8;
        }
        unsigned value = pair >> shift & ((1U << width) - 1);
        if (dtype == DType::int4 && value >= 8) {
            value |= 0xF0;
        }
        unpacked[i] = static_cast<std::byte>(value);
    }
    return unpacked;
}

std::vector<std::byte> pack(std::span<const std::byte> data, DType dtype) {
    const std::uint64_t width = bits(dtype);
    const int low = dtype == DType::int4 ? -8 : 0,
              high = dtype == DType::int4 ? 7 : (1 << width) - 1;
    std::vector<std::byte> packed((data.size() * width + 7) / 8);
    for (std::size_t i = 0; i < data.size(); ++i) {
        const auto element = std::to_integer<std::uint8_t>(data[i]);
        const int value = dtype == DType::int4 ? static_cast<std::int8_t>(element) : element;
        if (value < low || value > high) {
            fail(Code::invalid_argument, here, "element {} is {}: {} holds {} to {}", i, value,
                 name(dtype), low, high);
        }
        const std::uint64_t at = i * width / 8, shift = i * width % 8;
        const unsigned pair = (element & ((1U << width) - 1)) << shift;
        packed[at] |= static_cast<std::byte>(pair & 0xFF);
        if (shift + width > 8) {
            packed[at + 1] |= static_cast<std::byte>(pair >> 8);
        }
    }
    return packed;
}

}  // namespace

BlobRecord read_blob_record(std::span<const std::byte> file, std::string_view source,
                            std::uint64_t offset) {
    const ByteReader in = open(file, source);
    if (offset < line) {
        in.fail_at(offset,
                   "records start behind the header, at byte 64; BLOBFILE's offset names "
                   "the record, not the data");
    }
    if (offset > in.size() || in.size() - offset < line) {
        in.fail_at(offset, "no room for a record of 64 bytes in a file of {}; {}", in.size(),
                   offset == line ? headerless : "truncated?");
    }
    if (in.u32(offset) != sentinel) {
        fail_sentinel(in, offset);
    }
    BlobRecord record;
    record.offset = offset;
    const std::uint32_t code = in.u32(offset + 4);
    if (code < 1 || code > codes.size()) {
        in.fail_at(offset + 4, "data type {} is unknown; 1 to {} are read", code, codes.size());
    }
    record.dtype = codes[code - 1];
    record.bytes = in.u64(offset + 8);
    record.data_offset = in.u64(offset + 16);
    check_data_range(in, record);
    if (bits(record.dtype) < 8) {  // other types have no padding; old writers left garbage there
        record.padding_bits = in.u64(offset + 24);
        check_padding(in, record);
    }
    return record;
}

std::vector<std::byte> read_blob(std::span<const std::byte> file, std::string_view source,
                                 std::uint64_t offset, DType dtype, std::int64_t elements) {
    const BlobRecord record = read_blob_record(file, source, offset);
    const ByteReader in(file, here, source);
    if (record.dtype != dtype) {
        in.fail_at(offset + 4,
                   "Metadata data type does not match requested type.: the record says {}, the "
                   "program {}",
                   name(record.dtype), name(dtype));
    }
    const std::uint64_t width = bits(dtype);
    const std::uint64_t held = (record.bytes * 8 - record.padding_bits) / width;
    const auto declared = static_cast<std::uint64_t>(elements);
    if (elements < 0 || declared > std::uint64_t{1} << 56) {  // the product below must not wrap
        in.fail_at(offset + 8, "the record has {} bytes, no file holds {} elements", record.bytes,
                   elements);
    }
    if (record.bytes != (declared * width + 7) / 8) {
        in.fail_at(offset + 8, "the record has {} bytes, {} elements of {} have {}", record.bytes,
                   elements, name(dtype), (declared * width + 7) / 8);
    }
    if (declared != held) {
        in.fail_at(offset + 24, "the record has {} bits of padding, so {} elements of {}, not {}",
                   record.padding_bits, held, name(dtype), elements);
    }
    const auto data = in.bytes(record.data_offset, record.bytes);
    if (bits(dtype) >= 8) {
        return {data.begin(), data.end()};
    }
    return unpack(data, dtype, declared);
}

std::vector<std::byte> read_blob(std::span<const std::byte> file, std::string_view source,
                                 std::uint64_t offset, DType dtype, std::int64_t elements,
                                 const BlobRules& rules) {
    if (rules == BlobRules{}) {
        return read_blob(file, source, offset, dtype, elements);
    }
    const ByteReader in = open(file, source);
    if (offset < line || offset > in.size() || in.size() - offset < line) {
        read_blob_record(file, source, offset);  // says what is wrong
    }
    if (elements < 0 || static_cast<std::uint64_t>(elements) > std::uint64_t{1} << 56) {
        in.fail_at(offset + 8, "no file holds {} elements", elements);
    }
    const auto declared = static_cast<std::uint64_t>(elements);
    const std::uint64_t wanted = (declared * bits(dtype) + 7) / 8;
    std::uint64_t data = offset + line;
    if (in.u32(offset) != sentinel) {
        if (rules.record) {
            fail_sentinel(in, offset);
        }
    } else {
        if (rules.size && in.u64(offset + 8) != wanted) {
            in.fail_at(offset + 8, "the record has {} bytes, {} elements of {} have {}",
                       in.u64(offset + 8), elements, name(dtype), wanted);
        }
        if (rules.dtype && in.u32(offset + 4) != code_of(dtype)) {
            in.fail_at(offset + 4,
                       "Metadata data type does not match requested type.: the record has code {}, "
                       "the program asks for {}",
                       in.u32(offset + 4), name(dtype));
        }
        if (rules.data_offset) {
            data = read_blob_record(file, source, offset).data_offset;
        } else if (rules.zero_is_file_start && in.u64(offset + 16) == 0) {
            data = 0;
        }
    }
    const std::uint64_t there = data < in.size() ? std::min(wanted, in.size() - data) : 0;
    std::vector<std::byte> bytes(wanted);
    if (there > 0) {
        const auto held = in.bytes(data, there);
        std::copy(held.begin(), held.end(), bytes.begin());
    }
    return bits(dtype) >= 8 ? bytes : unpack(bytes, dtype, declared);
}

std::vector<BlobRecord> list_blob_records(std::span<const std::byte> file,
                                          std::string_view source) {
    const ByteReader in = open(file, source);
    std::vector<BlobRecord> records;
    for (std::uint64_t at = line; at < in.size();) {
        records.push_back(read_blob_record(file, source, at));
        const std::uint64_t end = records.back().data_offset + records.back().bytes;
        at = !is_record(in, next_line(end)) && is_record(in, end) ? end : next_line(end);
    }
    return records;
}

BlobWriter::BlobWriter() : bytes_(line) {}

std::uint64_t BlobWriter::add(DType dtype, std::span<const std::byte> data) {
    const std::uint32_t code = code_of(dtype);
    const std::uint64_t offset = next_line(last_end_), unit = size_in_memory(dtype);
    if (data.size() % unit != 0) {
        fail(Code::invalid_argument, here, "{} bytes are no whole number of {}", data.size(),
             name(dtype));
    }
    std::vector<std::byte> packed;
    std::uint64_t padding = 0;
    if (bits(dtype) < 8) {
        packed = pack(data, dtype);
        padding = packed.size() * 8 - data.size() * bits(dtype);
        data = packed;
    }
    ByteWriter record;
    record.put(sentinel);
    record.put(code);
    record.put<std::uint64_t>(data.size());
    record.put<std::uint64_t>(offset + line);
    record.put<std::uint64_t>(padding);
    record.pad_to(line);
    bytes_.resize(offset);
    bytes_.insert(bytes_.end(), record.bytes().begin(), record.bytes().end());
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    last_end_ = bytes_.size();
    ++count_;
    return offset;
}

std::vector<std::byte> BlobWriter::take() {
    std::memcpy(bytes_.data(), &count_, sizeof count_);
    std::memcpy(bytes_.data() + sizeof count_, &version, sizeof version);
    std::vector<std::byte> file = std::move(bytes_);
    *this = BlobWriter();
    return file;
}

}  // namespace pome::formats
