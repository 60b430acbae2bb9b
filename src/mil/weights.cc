#include "mil/weights.h"

#include <set>

#include "base/error.h"
#include "base/file.h"
#include "formats/weight_blob.h"

namespace pome::mil {
namespace {

constexpr std::string_view here = "mil.weights";
constexpr std::string_view prefix = "@model_path/";

/// The part after "@model_path/", refused when it could leave the directory.
std::filesystem::path relative_path(const std::string& path) {
    const std::filesystem::path inside = path.substr(path.starts_with(prefix) ? prefix.size() : 0);
    bool climbs = inside.is_absolute() || inside.empty();
    for (const auto& part : inside) {
        climbs = climbs || part == "..";
    }
    if (!path.starts_with(prefix) || climbs) {
        fail(Code::invalid_argument, here,
             "weight path '{}' must begin with '@model_path/' and stay below it", path);
    }
    return inside;
}

void collect(const Literal& literal, std::set<std::string>& paths) {
    if (const auto* blob = std::get_if<Blob>(&literal.payload)) {
        paths.insert(blob->path);
    }
}

std::set<std::string> blob_paths(const Program& program) {
    std::set<std::string> paths;
    for (const auto& function : program.functions) {
        for (const auto& operation : function.operations) {
            for (const auto& attribute : operation.attributes) {
                collect(attribute.value, paths);
            }
            for (const auto& argument : operation.arguments) {
                for (const auto& operand : argument.operands) {
                    if (const auto* literal = std::get_if<Literal>(&operand)) {
                        collect(*literal, paths);
                    }
                }
            }
        }
    }
    return paths;
}

}  // namespace

WeightFiles WeightFiles::load(const Program& program, const std::filesystem::path& directory) {
    WeightFiles weights;
    for (const auto& path : blob_paths(program)) {
        const auto inside = relative_path(path);
        auto file = directory / inside;
        if (!std::filesystem::exists(file)) {
            file = directory / inside.filename();
        }
        if (!std::filesystem::exists(file)) {
            fail(Code::io, here,
                 "the program's weights '{}' are not in '{}': neither '{}' nor '{}' exists there",
                 path, directory.string(), inside.string(), inside.filename().string());
        }
        weights.add(path, read_file(file));
    }
    return weights;
}

void WeightFiles::add(std::string path, std::vector<std::byte> bytes) {
    relative_path(path);
    files_[std::move(path)] = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

Literal WeightFiles::store(std::string path, DType dtype, const Shape& shape,
                           const std::vector<double>& values) {
    const Literal literal = Literal::tensor(dtype, shape, values);
    formats::BlobWriter writer;
    const std::uint64_t offset = writer.add(dtype, std::get<Literal::Bytes>(literal.payload));
    add(path, writer.take());
    return Literal::blob(literal.type, {std::move(path), offset});
}

Literal::Bytes WeightFiles::resolve(const Literal& literal) const {
    if (const auto* bytes = std::get_if<Literal::Bytes>(&literal.payload)) {
        return *bytes;
    }
    const auto* blob = std::get_if<Blob>(&literal.payload);
    if (blob == nullptr) {
        fail(Code::malformed_program, here, "{} has no elements", literal.type.text());
    }
    const auto found = files_.find(blob->path);
    if (found == files_.end()) {
        fail(Code::invalid_argument, here,
             "the weight file '{}' was not given; name its directory with --weights", blob->path);
    }
    return formats::read_blob(*found->second, blob->path, blob->offset, literal.type.dtype,
                              literal.type.shape.elements());
}

}  // namespace pome::mil
