#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace pome::test {

inline std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

inline std::vector<std::byte> to_bytes(std::string_view text) {
    const auto bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

/// A copy of `file` with the bytes of `value` from byte `at` on.
template <typename T>
std::vector<std::byte> with(std::vector<std::byte> file, std::size_t at, T value) {
    if (at + sizeof value > file.size()) {
        ADD_FAILURE() << "byte " << at << " is not in a file of " << file.size();
        return file;
    }
    std::memcpy(file.data() + at, &value, sizeof value);
    return file;
}

}  // namespace pome::test
