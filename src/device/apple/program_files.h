#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mil/weights.h"

namespace pome::device::apple {

/// A program as the engine's compiler reads it.
struct ProgramFiles {
    std::string text;
    /// By path after "@model_path/": "weights/w.bin".
    std::map<std::string, std::shared_ptr<const std::vector<std::byte>>> weights;
    std::string title;  ///< for people: "main (12 operations, text 1f2e3d4c)"
    std::uint64_t text_hash = 0;
};

/// One function of a package, named "main" as the compiler wants it, with the weight files that it
/// names. Throws Error{invalid_argument} for a weight path that leaves the program's directory or
/// that has no file.
ProgramFiles program_files(const mil::Package& package, std::string_view function);

}  // namespace pome::device::apple
