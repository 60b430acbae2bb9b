#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "device/apple/program_files.h"

namespace pome::device::apple {

class ModelDirectories;

/// A program's files where the framework looks for them. Removed with the object, unless another
/// one of the process stands for the same directory.
class ModelDirectory {
  public:
    ~ModelDirectory();
    ModelDirectory(const ModelDirectory&) = delete;
    ModelDirectory& operator=(const ModelDirectory&) = delete;

    const std::filesystem::path& path() const { return path_; }
    /// From now on the files may go: the program is loaded. (Until then no other process removes
    /// them.)
    void loaded();

  private:
    friend class ModelDirectories;
    ModelDirectory(std::shared_ptr<ModelDirectories> owner, std::filesystem::path path, int lock)
        : owner_(std::move(owner)), path_(std::move(path)), lock_(lock) {}

    std::shared_ptr<ModelDirectories> owner_;
    std::filesystem::path path_;
    int lock_ = -1;  ///< descriptor of the directory, locked while its program is not loaded
};

/// The temporary files of one device. They lie below the system's temporary directory: in a private
/// directory of an unpredictable name, and, where the framework wants a certain name, beside it;
/// those are noted first, so that whatever a crash leaves behind is removed by the next start.
/// THREADS: safe.
class ModelDirectories : public std::enable_shared_from_this<ModelDirectories> {
  public:
    /// Removes what processes that are gone left in `temporary`, then makes a private directory
    /// there. Throws Error{io}.
    static std::shared_ptr<ModelDirectories> make(const std::filesystem::path& temporary);
    ~ModelDirectories();
    ModelDirectories(const ModelDirectories&) = delete;
    ModelDirectories& operator=(const ModelDirectories&) = delete;

    /// TEMPORARY/NAME with the program's files. `name` is what the framework calls the program: the
    /// letters and digits of a hash, nothing else is accepted. A directory that is there must be
    /// the user's own and no symbolic link. Throws Error{io}.
    std::shared_ptr<ModelDirectory> named(const std::string& name, const ProgramFiles& files);
    /// The program's files in a new private directory.
    std::shared_ptr<ModelDirectory> unnamed(const ProgramFiles& files);

    const std::filesystem::path& root() const { return root_; }

  private:
    friend class ModelDirectory;
    explicit ModelDirectories(const std::filesystem::path& temporary);
    void sweep() const;
    void release(const std::filesystem::path& path);

    std::filesystem::path temporary_, root_;
    int lock_ = -1;
    std::mutex mutex_;
    std::map<std::filesystem::path, int> users_;  ///< by directory
};

/// Copies a program's directory (its text and weights) to a new one below `place`, which is made
/// when it is missing, keeping the newest sixteen. Returns the copy.
std::filesystem::path keep_failed_program(const std::filesystem::path& directory,
                                          const std::filesystem::path& place);

/// The default `place`: below the temporary directory, the user's own.
std::filesystem::path failed_programs_place();

}  // namespace pome::device::apple
