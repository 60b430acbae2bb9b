#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"

namespace pome {
namespace {

constexpr std::string_view here = "base.file";
constexpr std::string_view temporary_mark = ".tmp-";  ///< six letters follow

std::string reason(int error) {
    return std::generic_category().message(error);
}

[[noreturn]] void fail_io(const std::filesystem::path& path, std::string_view doing, int error) {
    fail(Code::io, here, "{}: cannot {}: {}", path.string(), doing, reason(error));
}

class Descriptor {
  public:
    explicit Descriptor(const std::filesystem::path& path)
        : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (value_ < 0) {
            fail_io(path, "open", errno);
        }
    }
    ~Descriptor() { ::close(value_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return value_; }

  private:
    int value_;
};

std::uint64_t regular_size(const Descriptor& file, const std::filesystem::path& path) {
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) {
        fail_io(path, "inspect", errno);
    }
    if (S_ISDIR(status.st_mode)) {
        fail(Code::io, here, "{}: is a directory, a file was expected", path.string());
    }
    return static_cast<std::uint64_t>(status.st_size);
}

template <typename Container>
Container read_whole(const std::filesystem::path& path, std::uint64_t limit) {
    const Descriptor file(path);
    const std::uint64_t size = regular_size(file, path);
    if (size > limit) {
        fail(Code::io, here, "{}: {} bytes, more than the {} that such a file may have",
             path.string(), size, limit);
    }
    Container content;
    content.resize(size);
    std::size_t done = 0;
    for (;;) {  // pipes and /proc files report size 0: read until the end, whatever fstat said
        if (done == content.size()) {
            char probe = 0;
            const ssize_t n = ::read(file.get(), &probe, 1);
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n < 0) {
                fail_io(path, "read", errno);
            }
            if (n == 0) {
                return content;
            }
            if (content.size() >= limit) {
                fail(Code::io, here, "{}: more than the {} bytes that such a file may have",
                     path.string(), limit);
            }
            content.push_back(static_cast<typename Container::value_type>(probe));
            ++done;
            continue;
        }
        const ssize_t n = ::read(file.get(), content.data() + done, content.size() - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            fail_io(path, "read", errno);
        }
        if (n == 0) {
            content.resize(done);
            return content;
        }
        done += static_cast<std::size_t>(n);
    }
}

}  // namespace

std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t limit) {
    return read_whole<std::vector<std::byte>>(path, limit);
}

std::string read_text(const std::filesystem::path& path, std::uint64_t limit) {
    return read_whole<std::string>(path, limit);
}

MappedFile::MappedFile(const std::filesystem::path& path) {
    const Descriptor file(path);
    size_ = regular_size(file, path);
    if (size_ == 0) {
        return;
    }
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) {
        fail_io(path, "map", errno);
    }
    data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) {
        ::munmap(const_cast<std::byte*>(data_), size_);
    }
}

void MappedFile::forget(std::span<const std::byte> part) const {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = (reinterpret_cast<std::uintptr_t>(part.data()) + page - 1) / page * page,
               end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) / page * page;
    if (begin < end) {  // whole pages; a system that refuses keeps them
        static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
    }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
    std::string name = path_.string() + std::string(temporary_mark) + "XXXXXX";
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) {
        fail_io(path_, "write", errno);
    }
    temporary_ = name;
    ::fchmod(descriptor_, 0644);
    crash_point("file.created");
}

AtomicFile::~AtomicFile() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
    if (!temporary_.empty()) {
        ::unlink(temporary_.c_str());
    }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    crash_point("file.write");
    while (!bytes.empty()) {
        const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            fail_io(path_, "write", errno);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
}

void AtomicFile::write(std::string_view text) {
    write(std::as_bytes(std::span(text)));
}

void AtomicFile::commit() {
    crash_point("file.flush");
    if (::fsync(descriptor_) != 0) {
        fail_io(path_, "flush to the disk", errno);
    }
    if (::close(std::exchange(descriptor_, -1)) != 0) {
        fail_io(path_, "close", errno);
    }
    crash_point("file.flushed");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
        fail_io(path_, "replace", errno);
    }
    temporary_.clear();
    crash_point("file.renamed");
    sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
    crash_point("file.done");
}

void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    AtomicFile file(path);
    file.write(bytes);
    file.commit();
}

void write_file_atomic(const std::filesystem::path& path, std::string_view text) {
    write_file_atomic(path, std::as_bytes(std::span(text)));
}

void sweep_temporary_files(const std::filesystem::path& folder) {
    constexpr std::size_t letters = 6;
    std::error_code error;
    std::vector<std::filesystem::path> left;  // the folder changes while it is swept
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename().string();
        const auto mark = name.rfind(temporary_mark);
        // One that begins with the mark is no AtomicFile's: its file would have no name.
        if (mark != std::string::npos && mark > 0 &&
            name.size() == mark + temporary_mark.size() + letters && entry.is_regular_file(error)) {
            left.push_back(entry.path());
        }
    }
    for (const auto& path : left) {
        std::filesystem::remove(path, error);
    }
}

void sync_directory(const std::filesystem::path& path) {
    const Descriptor directory(path);
    if (::fsync(directory.get()) != 0 && errno != EINVAL) {
        fail_io(path, "flush to the disk", errno);
    }
}

TemporaryDirectory::TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "pome-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
        fail_io(name, "create", errno);
    }
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace pome
