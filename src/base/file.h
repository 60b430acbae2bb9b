#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pome {

/// The whole file. Throws Error{io} with the system's reason; refuses directories and files larger
/// than `limit` bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path,
                                 std::uint64_t limit = std::uint64_t{1} << 40);
std::string read_text(const std::filesystem::path& path,
                      std::uint64_t limit = std::uint64_t{1} << 32);

/// A read-only mapping of a file, for files that are larger than what is read of them.
class MappedFile {
  public:
    explicit MappedFile(const std::filesystem::path& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;

    std::span<const std::byte> bytes() const { return {data_, size_}; }
    /// Says that a part of bytes() is not needed for now: its memory may be used for something
    /// else, and whoever reads it again reads the file again.
    void forget(std::span<const std::byte> part) const;

  private:
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// A file that appears whole or not at all: written beside `path` under a temporary name, flushed
/// to the disk, then renamed. Without commit() the destructor removes the temporary file; what was
/// at `path` stays. Every failure (full disk, no permission) throws Error{io} naming the path and
/// the reason.
class AtomicFile {
  public:
    explicit AtomicFile(std::filesystem::path path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);
    /// fsync, rename over `path`, fsync of the directory.
    void commit();

  private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
    int descriptor_ = -1;
};

void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomic(const std::filesystem::path& path, std::string_view text);

/// Removes what AtomicFiles of processes that were killed left in `folder`. No process may be
/// writing there.
void sweep_temporary_files(const std::filesystem::path& folder);

/// fsync of a directory, so that renames in it survive a crash.
void sync_directory(const std::filesystem::path& path);

/// A private directory (mode 0700, unpredictable name) that is removed with everything in it.
class TemporaryDirectory {
  public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

}  // namespace pome
