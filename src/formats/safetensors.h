#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "base/shape.h"

namespace pome::formats {

/// A tensor to be written; the bytes stay the caller's.
struct TensorView {
    std::string name;
    DType dtype = DType::fp32;
    Shape shape;
    std::span<const std::byte> bytes;
};

/// A safetensors file, mapped. Opening checks the whole header: lengths, JSON, dtypes, that each
/// tensor's bytes fit its shape, that ranges neither overlap nor leave holes and end at the end of
/// the file. Throws Error{malformed_file}.
class SafetensorsFile {
  public:
    struct Tensor {
        DType dtype = DType::fp32;
        Shape shape;
        std::span<const std::byte> bytes;  ///< lives as long as the file; may be unaligned
    };
    explicit SafetensorsFile(const std::filesystem::path& path);

    const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
    const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }
    /// Says that a tensor was read: its bytes need no memory until they are read again.
    void forget(const Tensor& tensor) const { file_.forget(tensor.bytes); }

  private:
    MappedFile file_;
    std::map<std::string, Tensor, std::less<>> tensors_;
    std::map<std::string, std::string, std::less<>> metadata_;
};

/// The header's tensors over `bytes`: what SafetensorsFile does, for bytes at hand. `metadata` may
/// be null.
std::map<std::string, SafetensorsFile::Tensor, std::less<>> parse_safetensors(
    std::span<const std::byte> bytes, std::string_view source,
    std::map<std::string, std::string, std::less<>>* metadata);

/// Writes tensors in the given order, atomically and without another copy of them. Throws
/// Error{invalid_argument} for a name twice, bytes that do not fill the shape and text that is no
/// UTF-8, Error{unsupported} for dtypes the format lacks, Error{io}; then the old file stays.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string, std::less<>>& metadata);

}  // namespace pome::formats
