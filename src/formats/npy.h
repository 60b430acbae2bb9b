#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace pome::formats {

/// A NumPy array: dense, row-major, little-endian. `bytes` has shape.elements() times
/// size_in_memory(dtype) bytes.
struct Array {
    DType dtype = DType::fp32;
    Shape shape;
    std::vector<std::byte> bytes;
};

/// Reads a .npy file, versions 1 to 3: fp16, fp32, fp64, signed and unsigned integers of 8 to 64
/// bits and bool. Throws Error{malformed_file}; Fortran order and big-endian arrays are refused
/// with the NumPy call that converts them.
Array parse_npy(std::span<const std::byte> bytes, std::string_view source);
Array read_npy(const std::filesystem::path& path);

/// Writes version 1.0, atomically. Throws Error{unsupported} for a dtype that NumPy lacks,
/// Error{invalid_argument} when the bytes do not fill the shape, Error{io}.
void write_npy(const std::filesystem::path& path, const Array& array);

}  // namespace pome::formats
