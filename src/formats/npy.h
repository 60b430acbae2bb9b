#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace pome::formats {

/// A NumPy array: dense, row-major, little-endian.
struct Array {
    DType dtype = DType::fp32;
    Shape shape;
    std::vector<std::byte> bytes;
};

/// Reads a .npy file, versions 1 to 3. Throws Error{malformed_file}; Fortran order and big-endian
/// arrays are refused with the NumPy call that converts them.
Array parse_npy(std::span<const std::byte> bytes, std::string_view source);
Array read_npy(const std::filesystem::path& path);
/// Writes version 1.0, atomically.
void write_npy(const std::filesystem::path& path, const Array& array);

}  // namespace pome::formats
