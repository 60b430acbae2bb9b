#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pome {

/// Little-endian reads from bytes that came from outside. Every read is checked; a read past the
/// end throws Error{malformed_file} naming the source, the offset and what was wanted. The bytes
/// stay the caller's and must outlive the reader.
class ByteReader {
  public:
    /// `where` is the error's place ("formats.weight_blob"), `source` the file's name.
    ByteReader(std::span<const std::byte> bytes, std::string_view where, std::string_view source)
        : bytes_(bytes), where_(where), source_(source) {}

    std::uint64_t size() const { return bytes_.size(); }
    const std::string& source() const { return source_; }

    std::uint8_t u8(std::uint64_t at) const { return read<std::uint8_t>(at); }
    std::uint16_t u16(std::uint64_t at) const { return read<std::uint16_t>(at); }
    std::uint32_t u32(std::uint64_t at) const { return read<std::uint32_t>(at); }
    std::uint64_t u64(std::uint64_t at) const { return read<std::uint64_t>(at); }
    std::int32_t i32(std::uint64_t at) const { return read<std::int32_t>(at); }
    float f32(std::uint64_t at) const { return read<float>(at); }
    std::span<const std::byte> bytes(std::uint64_t at, std::uint64_t count) const {
        check(at, count);
        return bytes_.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count));
    }

    /// Throws Error{malformed_file}: "FILE: MESSAGE (at byte AT)".
    template <typename... Args>
    [[noreturn]] void fail_at(std::uint64_t at, fmt::format_string<Args...> format,
                              Args&&... args) const {
        pome::fail(Code::malformed_file, where_, "{}: {} (at byte {})", source_,
                   fmt::format(format, std::forward<Args>(args)...), at);
    }

  private:
    void check(std::uint64_t at, std::uint64_t count) const {
        if (at > bytes_.size() || count > bytes_.size() - at) {
            fail_at(at, "{} bytes wanted, but the file ends at byte {}; truncated?", count,
                    bytes_.size());
        }
    }
    template <typename T>
    T read(std::uint64_t at) const {
        check(at, sizeof(T));
        T value;
        std::memcpy(&value, bytes_.data() + at, sizeof(T));
        return value;
    }

    std::span<const std::byte> bytes_;
    std::string where_;
    std::string source_;
};

/// Little-endian writes into a growing buffer.
class ByteWriter {
  public:
    template <typename T>
    void put(T value) {
        static_assert(std::is_trivially_copyable_v<T>);
        const std::size_t at = bytes_.size();
        bytes_.resize(at + sizeof(T));
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
    }
    void put_bytes(std::span<const std::byte> more) {
        bytes_.insert(bytes_.end(), more.begin(), more.end());
    }
    void pad_to(std::size_t multiple) {
        bytes_.resize((bytes_.size() + multiple - 1) / multiple * multiple);
    }
    std::size_t size() const { return bytes_.size(); }
    const std::vector<std::byte>& bytes() const { return bytes_; }
    std::vector<std::byte> take() { return std::move(bytes_); }

  private:
    std::vector<std::byte> bytes_;
};

}  // namespace pome
