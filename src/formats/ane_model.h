#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace pome::formats {

/// A `.ane` model: a MIL program and its weights in one weight blob container (docs/model-file.md).
/// The first record is a table of contents, the others are the weights in the table's order, so
/// every reader of weight blobs reads the numbers.
struct AneModel {
    struct Weight {
        std::string name;           ///< the program's input, or the file of its BLOBFILE literal
        DType dtype = DType::fp16;  ///< fp16 or fp32
        Shape shape;
        /// Trained: an input of the program. Otherwise a constant that the program reads from
        /// "@model_path/weights/NAME.bin".
        bool trained = true;
        std::vector<float> values;  ///< row-major
    };
    std::string program;  ///< MIL text; this format does not read it
    std::string loss;     ///< "mean_squared_error" or "cross_entropy"
    std::vector<Weight> weights;
};

/// Whether bytes begin as a `.ane` model does: a weight blob whose first record is a table of
/// contents.
bool is_ane_model(std::span<const std::byte> bytes);

/// Every count, offset and size is checked. Throws Error{malformed_file} naming the field or the
/// weight.
AneModel parse_ane_model(std::span<const std::byte> bytes, std::string_view source);

/// The file. Values are rounded to nearest even for fp16. Throws Error{invalid_argument} for
/// weights whose values do not fill their shape, names twice, other dtypes and an unknown loss.
std::vector<std::byte> ane_model_bytes(const AneModel& model);

/// ane_model_bytes() as a file, which appears whole or not at all.
void write_ane_model(const std::filesystem::path& path, const AneModel& model);

}  // namespace pome::formats
