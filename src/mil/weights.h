#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "formats/weight_blob.h"
#include "mil/program.h"

namespace pome::mil {

/// What is checked of a record in a weight file.
using BlobRules = formats::BlobRules;

/// The weight files that a program's BLOBFILE literals refer to, by path
/// ("@model_path/weights/w.bin"). Copies share the bytes.
class WeightFiles {
  public:
    /// Files below `directory`: "@model_path/" is the directory itself; when it has no folder
    /// "weights", the directory may also be that folder. Only files that `program` names are read.
    /// Throws Error{io} naming the missing file, Error{invalid_argument} for a path with ".." or
    /// outside "@model_path/".
    static WeightFiles load(const Program& program, const std::filesystem::path& directory);

    void add(std::string path, std::vector<std::byte> bytes);
    /// Makes a one-record weight file of a tensor (each value rounded to nearest even) and returns
    /// the literal that refers to it. `path` begins with "@model_path/".
    Literal store(std::string path, DType dtype, const Shape& shape,
                  const std::vector<double>& values);
    const std::map<std::string, std::shared_ptr<const std::vector<std::byte>>>& files() const {
        return files_;
    }

    /// The elements of a literal, blob or not, as `Literal::Bytes` lays them out. Throws
    /// Error{malformed_file} when the blob's record does not fit `literal.type`,
    /// Error{invalid_argument} when its file is missing.
    Literal::Bytes resolve(const Literal& literal) const;
    /// From now on resolve() checks only this much, as a compiler of some system does.
    void set_rules(const BlobRules& rules) { rules_ = rules; }

  private:
    std::map<std::string, std::shared_ptr<const std::vector<std::byte>>> files_;
    BlobRules rules_;
};

/// The weight files that a program's literals name.
std::set<std::string> blob_paths(const Program& program);

/// What a device compiles: a program and its weight files.
struct Package {
    Program program;
    WeightFiles weights;
};

/// Writes a package as the directory that `pome run` and `pome lint` read: model.mil, and the
/// weight files beside it. Throws Error{io}.
void write_package(const Package& package, const std::filesystem::path& directory);

}  // namespace pome::mil
