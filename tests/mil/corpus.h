#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace pome::mil {

/// Real programs: every *.mil below "mil" in the folder that POME_TEST_DATA names, sorted; none
/// when the variable is unset.
inline std::vector<std::filesystem::path> corpus() {
    std::vector<std::filesystem::path> files;
    const char* root = std::getenv("POME_TEST_DATA");
    if (root == nullptr) {
        return files;
    }
    const auto folder = std::filesystem::path(root) / "mil";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.path().extension() == ".mil") {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

inline constexpr const char* corpus_missing =
    "NOT TESTED on real programs: set POME_TEST_DATA to the folder that holds mil/";

/// The whole text of the Error that `action` throws, or "accepted".
template <typename Action>
std::string refusal(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.text();
    }
    return "accepted";
}

}  // namespace pome::mil
