#include "formats/token_shard.h"

#include <cstring>

#include "base/bytes.h"

namespace pome::formats {
namespace {

constexpr std::string_view here = "formats.tokens";
constexpr std::uint64_t magic = 0x534B4F54454D4F50;  // "POMETOKS"
constexpr std::uint64_t header_bytes = 32;

}  // namespace

TokenShard::TokenShard(const std::filesystem::path& path) : file_(path), source_(path.string()) {
    const ByteReader in(file_.bytes(), here, source_);
    if (in.size() == 0) {
        in.fail_at(0, "the file is empty; make token files with `pome data prepare`");
    }
    if (in.size() < 8 || in.u64(0) != magic) {
        if (in.size() % 2 != 0) {
            in.fail_at(in.size(), "{} bytes is no whole number of uint16 ids; truncated?",
                       in.size());
        }
        ids_ = file_.bytes();
        count_ = static_cast<std::int64_t>(in.size() / 2);
        return;
    }
    if (in.u32(8) != 1) {
        in.fail_at(8, "version {} is unknown; 1 is read", in.u32(8));
    }
    const std::uint32_t bits = in.u32(12);
    if (bits != 16 && bits != 32) {
        in.fail_at(12, "{} bits an id; 16 and 32 are read", bits);
    }
    bytes_per_id_ = static_cast<int>(bits / 8);
    const std::uint64_t count = in.u64(16),
                        room = in.size() >= header_bytes ? in.size() - header_bytes : 0;
    if (count > room || count * bits / 8 != room) {
        in.fail_at(16, "{} ids of {} bits do not fill {} bytes; truncated?", count, bits, room);
    }
    ids_ = file_.bytes().subspan(header_bytes);
    count_ = static_cast<std::int64_t>(count);
}

std::int32_t TokenShard::operator[](std::int64_t index) const {
    const std::byte* at = ids_.data() + index * bytes_per_id_;
    if (bytes_per_id_ == 2) {
        std::uint16_t id = 0;
        std::memcpy(&id, at, sizeof id);
        return id;
    }
    std::uint32_t id = 0;
    std::memcpy(&id, at, sizeof id);
    return static_cast<std::int32_t>(id & 0x7FFFFFFF) | (id > 0x7FFFFFFF ? 0x40000000 : 0);
}

void TokenShard::check_vocabulary(std::int64_t vocabulary) const {
    for (std::int64_t i = 0; i < count_; ++i) {
        if ((*this)[i] >= vocabulary) {
            fail(Code::malformed_file, here,
                 "{}: token {} has id {}, the vocabulary has {}; prepare the data with the model's "
                 "tokenizer",
                 source_, i, (*this)[i], vocabulary);
        }
    }
}

void write_tokens(const std::filesystem::path& path, std::span<const std::int32_t> ids,
                  std::int64_t vocabulary) {
    ByteWriter out;
    const bool small = vocabulary <= 65536;
    if (!small) {
        out.put(magic);
        out.put<std::uint32_t>(1);
        out.put<std::uint32_t>(32);
        out.put<std::uint64_t>(ids.size());
        out.put<std::uint64_t>(static_cast<std::uint64_t>(vocabulary));
    }
    for (const std::int32_t id : ids) {
        if (small) {
            out.put(static_cast<std::uint16_t>(id));
        } else {
            out.put(static_cast<std::uint32_t>(id));
        }
    }
    write_file_atomic(path, out.bytes());
}

}  // namespace pome::formats
