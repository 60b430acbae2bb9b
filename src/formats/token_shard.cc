#include "formats/token_shard.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/bytes.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.tokens";
constexpr std::uint64_t magic = 0x004B4F54454D4F50;  // "POMETOK\0"
constexpr std::uint32_t version = 1;
constexpr std::uint64_t header_bytes = 32;
constexpr std::int64_t largest_vocabulary = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t largest_flat_vocabulary = 65536;

}  // namespace

TokenIds::TokenIds(std::span<const std::byte> bytes, std::string_view source) : source_(source) {
    const ByteReader in(bytes, here, source_);
    if (in.size() == 0) {
        in.fail_at(0, "the file is empty; make token files with `pome data prepare`");
    }
    if (in.size() >= 8 && in.u64(0) == magic) {
        read_header(bytes);
        return;
    }
    if (in.size() % 2 != 0) {
        in.fail_at(in.size(), "{} bytes is no whole number of uint16 ids; truncated?", in.size());
    }
    ids_ = bytes;
    count_ = static_cast<std::int64_t>(in.size() / 2);
}

void TokenIds::read_header(std::span<const std::byte> bytes) {
    const ByteReader in(bytes, here, source_);
    in.bytes(0, header_bytes);
    if (in.u32(8) != version) {
        in.fail_at(8, "version {} is unknown; 1 is read", in.u32(8));
    }
    const std::uint32_t bits = in.u32(12);
    if (bits != 16 && bits != 32) {
        in.fail_at(12, "{} bits an id; 16 and 32 are read", bits);
    }
    bytes_per_id_ = static_cast<int>(bits / 8);
    const std::uint64_t count = in.u64(16), room = in.size() - header_bytes;
    if (count > room || count * bits / 8 != room) {
        in.fail_at(16, "{} ids of {} bits do not fill {} bytes; truncated?", count, bits, room);
    }
    if (count == 0) {
        in.fail_at(16, "the file has no ids");
    }
    const std::uint64_t vocabulary = in.u64(24);
    const auto most =
        static_cast<std::uint64_t>(bits == 16 ? largest_flat_vocabulary : largest_vocabulary);
    if (vocabulary < 1 || vocabulary > most) {
        in.fail_at(24, "a vocabulary of {}, it must be 1 to {} with {} bits an id", vocabulary,
                   most, bits);
    }
    vocabulary_ = static_cast<std::int64_t>(vocabulary);
    count_ = static_cast<std::int64_t>(count);
    ids_ = bytes.subspan(header_bytes);
}

std::uint32_t TokenIds::id(std::int64_t index) const {
    const std::byte* at = ids_.data() + index * bytes_per_id_;
    if (bytes_per_id_ == 2) {
        std::uint16_t narrow = 0;
        std::memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    std::uint32_t wide = 0;
    std::memcpy(&wide, at, sizeof wide);
    return wide;
}

std::int32_t TokenIds::operator[](std::int64_t index) const {
    return static_cast<std::int32_t>(
        std::min<std::uint32_t>(id(index), static_cast<std::uint32_t>(largest_vocabulary)));
}

void TokenIds::check_vocabulary(std::int64_t vocabulary) const {
    for (std::int64_t i = 0; i < count_; ++i) {
        if (id(i) >= vocabulary) {
            fail(Code::malformed_file, here,
                 "{}: token {} has id {}, the vocabulary has {}; prepare the data with the model's "
                 "tokenizer",
                 source_, i, id(i), vocabulary);
        }
    }
}

void write_tokens(const std::filesystem::path& path, std::span<const std::int32_t> ids,
                  std::int64_t vocabulary) {
    if (vocabulary < 1 || vocabulary > largest_vocabulary) {
        fail(Code::invalid_argument, here, "{}: a vocabulary of {}, it must be 1 to {}",
             path.string(), vocabulary, largest_vocabulary);
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] < 0 || ids[i] >= vocabulary) {
            fail(Code::invalid_argument, here, "{}: token {} has id {}, the vocabulary has {}",
                 path.string(), i, ids[i], vocabulary);
        }
    }
    AtomicFile file(path);
    if (vocabulary > largest_flat_vocabulary) {
        ByteWriter header;
        header.put(magic);
        header.put(version);
        header.put<std::uint32_t>(32);
        header.put<std::uint64_t>(ids.size());
        header.put(static_cast<std::uint64_t>(vocabulary));
        file.write(header.bytes());
        file.write(std::as_bytes(ids));
    } else {
        const std::vector<std::uint16_t> narrow(ids.begin(), ids.end());
        file.write(std::as_bytes(std::span(narrow)));
    }
    file.commit();
}

}  // namespace pome::formats
