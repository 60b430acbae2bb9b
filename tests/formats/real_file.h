#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pome::test {

/// Where a file of the real test data lies; empty when POME_TEST_DATA is unset or lacks it.
inline std::filesystem::path real_file(std::string_view name) {
    const char* root = std::getenv("POME_TEST_DATA");
    if (root == nullptr) {
        return {};
    }
    const auto path = std::filesystem::path(root) / name;
    return std::filesystem::exists(path) ? path : std::filesystem::path();
}

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

/// Declares `variable`, the path of a file of the real test data, or skips the test aloud.
#define POME_REAL_FILE(variable, name)                                                        \
    const auto variable = ::pome::test::real_file(name);                                      \
    if (variable.empty()) {                                                                   \
        GTEST_SKIP() << "NOT TESTED: set POME_TEST_DATA to the folder that holds " << (name); \
    }
