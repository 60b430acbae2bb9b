#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

/// Real files to test with, in the folder that POME_TEST_DATA names; skips aloud without it.
#define POME_REQUIRE_TEST_DATA(variable, relative)                                                 \
    const char* variable##_root = std::getenv("POME_TEST_DATA");                                   \
    if (variable##_root == nullptr ||                                                              \
        !std::filesystem::exists(std::filesystem::path(variable##_root) / (relative))) {           \
        GTEST_SKIP() << "needs real data: set POME_TEST_DATA to a folder that has " << (relative); \
    }                                                                                              \
    const std::filesystem::path variable = std::filesystem::path(variable##_root) / (relative)

/// The text of the pome::Error that `action` throws; "nothing was thrown" otherwise.
template <typename Action>
std::string error_text(Action action) {
    try {
        action();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "nothing was thrown";
}
