#include "mil/weights.h"

#include <fmt/format.h>

#include <set>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "mil/text.h"

namespace pome::mil {
namespace {

constexpr std::string_view here = "mil.weights";
constexpr std::string_view prefix = "@model_path/";

/// The part after "@model_path/", refused when it could leave the directory.
std::filesystem::path relative_path(const std::string& path) {
    const std::filesystem::path inside = path.substr(path.starts_with(prefix) ? prefix.size() : 0);
    // A NUL would end the name early for the operating system, after the checks here.
    bool leaves = inside.is_absolute() || !inside.has_filename() ||
                  path.find('\0') != std::string::npos || !path.starts_with(prefix);
    for (const auto& part : inside) {
        leaves = leaves || part == "..";
    }
    if (leaves) {
        fail(Code::invalid_argument, here,
             "weight path '{}' must begin with '@model_path/' and stay below it", path);
    }
    return inside;
}

using Paths = std::set<std::string>;

void collect(const Literal& literal, Paths& paths) {
    if (const auto* blob = std::get_if<Blob>(&literal.payload)) {
        paths.insert(blob->path);
    } else if (const auto* items = std::get_if<Literal::Items>(&literal.payload)) {
        for (const auto& item : *items) {
            collect(item, paths);
        }
    } else if (const auto* entries = std::get_if<Literal::Entries>(&literal.payload)) {
        for (const auto& [key, value] : *entries) {
            collect(key, paths);
            collect(value, paths);
        }
    }
}

void collect(const std::vector<Attribute>& attributes, Paths& paths) {
    for (const auto& attribute : attributes) {
        collect(attribute.value, paths);
    }
}

/// For the message about a missing file: what the directory holds instead.
std::string listing(const std::filesystem::path& directory) {
    constexpr std::size_t most = 8;
    Paths names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        const bool folder = entry.is_directory(ignored);
        names.insert(entry.path().filename().string() + (folder ? "/" : ""));
        if (names.size() > most) {
            break;
        }
    }
    if (names.empty()) {
        return "nothing";
    }
    const bool more = names.size() > most;
    return fmt::format("{}{}", fmt::join(names, ", "), more ? ", ..." : "");
}

/// `directory` stands for "@model_path/" or, when it has no folder "weights", for that folder.
std::filesystem::path locate(const std::string& path, const std::filesystem::path& directory) {
    std::error_code ignored;
    const auto exists = [&](const auto& place) { return std::filesystem::exists(place, ignored); };
    const auto inside = relative_path(path);
    const auto file = directory / inside;
    if (exists(file)) {
        return file;
    }
    const auto below_weights = inside.lexically_relative("weights");
    const bool may_be_weights = *inside.begin() == "weights" && !exists(directory / "weights");
    if (may_be_weights && exists(directory / below_weights)) {
        return directory / below_weights;
    }
    if (!std::filesystem::is_directory(directory, ignored)) {
        fail(Code::io, here, "the program's weights '{}': '{}' is not a directory", path,
             directory.string());
    }
    fail(Code::io, here,
         "the program's weights '{}' are missing: '{}' has no {}{}; it holds {}. Name the "
         "directory that stands for @model_path, or its weights folder",
         path, directory.string(), inside.string(),
         may_be_weights ? " and no " + below_weights.string() : "", listing(directory));
}

}  // namespace

std::set<std::string> blob_paths(const Program& program) {
    Paths paths;
    collect(program.attributes, paths);
    for (const auto& function : program.functions) {
        collect(function.attributes, paths);
        for (const auto& operation : function.operations) {
            collect(operation.attributes, paths);
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

WeightFiles WeightFiles::load(const Program& program, const std::filesystem::path& directory) {
    WeightFiles weights;
    for (const auto& path : blob_paths(program)) {
        weights.add(path, read_file(locate(path, directory)));
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
                              literal.type.shape.elements(), rules_);
}

void write_package(const Package& package, const std::filesystem::path& directory) {
    constexpr std::string_view root = "@model_path/";
    const auto place = [&](const std::filesystem::path& file) {
        std::error_code error;
        std::filesystem::create_directories(file.parent_path(), error);
        if (error) {
            fail(Code::io, "mil.weights", "{}: cannot create: {}", file.parent_path().string(),
                 error.message());
        }
        return file;
    };
    write_file_atomic(place(directory / "model.mil"), write(package.program));
    for (const auto& [path, bytes] : package.weights.files()) {
        write_file_atomic(place(directory / path.substr(root.size())), *bytes);
    }
}

}  // namespace pome::mil
