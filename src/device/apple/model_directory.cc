#include "device/apple/model_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace pome::device::apple {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view here = "device.apple";
constexpr std::string_view root_prefix = "pome-engine-";
constexpr std::string_view copy_prefix = "program-";
constexpr std::size_t copies_kept = 16;

[[noreturn]] void fail_io(const fs::path& path, std::string_view doing, int error) {
    fail(Code::io, here, "{}: cannot {}: {}", path.string(), doing,
         std::generic_category().message(error));
}

bool is_own_directory(const fs::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == ::geteuid();
}

/// The framework's names are hashes; a name from a file that someone else wrote may be anything.
bool is_identifier(const std::string& name) {
    return name.size() >= 8 && name.size() <= 256 &&
           std::all_of(name.begin(), name.end(), [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '_' || c == '-';
           });
}

/// All of `bytes` to a descriptor, which is closed.
void write_and_close(int file, const fs::path& path, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(file, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            const int error = errno;
            ::close(file);
            fail_io(path, "write", error);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    if (::close(file) != 0) {
        fail_io(path, "close", errno);
    }
}

/// A file of a program, there as a whole or not at all: another process or thread may be compiling
/// an equal program from the same directory. What lay there, be it a link, is replaced.
void put_file(const fs::path& path, std::span<const std::byte> bytes) {
    std::string partial = path.string() + ".XXXXXX";
    const int file = ::mkostemp(partial.data(), O_CLOEXEC);  // mode 0600
    if (file < 0) {
        fail_io(path, "write", errno);
    }
    write_and_close(file, path, bytes);
    if (::rename(partial.c_str(), path.c_str()) != 0) {
        const int error = errno;
        ::unlink(partial.c_str());
        fail_io(path, "write", error);
    }
}

void append_line(const fs::path& path, const std::string& line) {
    const int file =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_APPEND, 0600);
    if (file < 0) {
        fail_io(path, "write", errno);
    }
    write_and_close(file, path, std::as_bytes(std::span(line)));
}

void make_directory(const fs::path& path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        fail_io(path, "create the directory", errno);
    }
    if (!is_own_directory(path)) {
        fail(Code::io, here,
             "{}: something that is no directory of this user lies where the program's files must "
             "go; remove it",
             path.string());
    }
}

void populate(const fs::path& directory, const ProgramFiles& files) {
    put_file(directory / "model.mil", std::as_bytes(std::span(files.text)));
    for (const auto& [name, bytes] : files.weights) {
        fs::path folder = directory;
        for (const auto& part : fs::path(name).parent_path()) {
            folder /= part;
            make_directory(folder);
        }
        put_file(directory / name, *bytes);
    }
}

/// The directory, made when it is missing, and a descriptor that keeps others from removing it.
int open_locked(const fs::path& path) {
    for (;;) {
        make_directory(path);
        const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (directory < 0 && errno == ENOENT) {
            continue;  // removed meanwhile
        }
        if (directory < 0) {
            fail_io(path, "open", errno);
        }
        ::fchmod(directory, 0700);
        ::flock(directory, LOCK_SH);
        struct stat held {
        }, there{};
        if (::fstat(directory, &held) == 0 && ::lstat(path.c_str(), &there) == 0 &&
            held.st_ino == there.st_ino && held.st_dev == there.st_dev) {
            return directory;
        }
        ::close(directory);
    }
}

/// Removes a directory that no process is about to load a program from.
void remove_unlocked(const fs::path& path) {
    if (!is_own_directory(path)) {
        return;
    }
    const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) {
        return;
    }
    if (::flock(directory, LOCK_EX | LOCK_NB) == 0) {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    ::close(directory);
}

void make_private_directory(std::string& name) {
    if (::mkdtemp(name.data()) == nullptr) {
        fail_io(name, "create the directory", errno);
    }
}

}  // namespace

std::shared_ptr<ModelDirectories> ModelDirectories::make(const fs::path& temporary) {
    return std::shared_ptr<ModelDirectories>(new ModelDirectories(temporary));
}

ModelDirectories::ModelDirectories(const fs::path& temporary) : temporary_(temporary) {
    sweep();
    std::string name = (temporary_ / (std::string(root_prefix) + "XXXXXX")).string();
    make_private_directory(name);
    root_ = name;
    const fs::path lock = root_ / "lock";
    lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (lock_ < 0 || ::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
        fail_io(lock, "lock", errno);
    }
}

ModelDirectories::~ModelDirectories() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
    ::close(lock_);
}

void ModelDirectories::sweep() const {
    std::error_code error;
    std::vector<fs::path> roots;
    for (fs::directory_iterator entry(temporary_, error), end; !error && entry != end;
         entry.increment(error)) {
        if (entry->path().filename().string().starts_with(root_prefix) &&
            is_own_directory(entry->path())) {
            roots.push_back(entry->path());
        }
    }
    for (const fs::path& root : roots) {
        const int lock = ::open((root / "lock").c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        if (lock < 0) {  // its process is between two lines of the constructor, or was killed there
            const auto age = fs::file_time_type::clock::now() - fs::last_write_time(root, error);
            if (!error && age > std::chrono::minutes(10)) {
                fs::remove_all(root, error);
            }
            continue;
        }
        if (::flock(lock, LOCK_EX | LOCK_NB) == 0) {  // its process is gone
            std::string names;
            try {
                names = read_text(root / "names", 1 << 24);
            } catch (const Error&) {  // it noted none
            }
            for (std::size_t at = 0; at < names.size();) {
                const std::size_t line = std::min(names.find('\n', at), names.size());
                if (const std::string name = names.substr(at, line - at); is_identifier(name)) {
                    remove_unlocked(temporary_ / name);
                }
                at = line + 1;
            }
            fs::remove_all(root, error);
        }
        ::close(lock);
    }
}

std::shared_ptr<ModelDirectory> ModelDirectories::named(const std::string& name,
                                                        const ProgramFiles& files) {
    if (!is_identifier(name)) {
        fail(Code::io, here, "the framework calls the program '{}', which is no file name of ours",
             name);
    }
    const fs::path path = temporary_ / name;
    std::shared_ptr<ModelDirectory> made;
    {
        const std::lock_guard guard(mutex_);
        append_line(root_ / "names", name + "\n");
        const int lock = open_locked(path);
        ++users_[path];
        made.reset(new ModelDirectory(shared_from_this(), path, lock));
    }
    populate(path, files);
    return made;
}

std::shared_ptr<ModelDirectory> ModelDirectories::unnamed(const ProgramFiles& files) {
    std::string name = (root_ / "program-XXXXXX").string();
    make_private_directory(name);
    {
        const std::lock_guard guard(mutex_);
        ++users_[name];
    }
    std::shared_ptr<ModelDirectory> made(new ModelDirectory(shared_from_this(), name, -1));
    populate(name, files);
    return made;
}

void ModelDirectories::release(const fs::path& path) {
    const std::lock_guard guard(mutex_);
    if (--users_[path] == 0) {
        users_.erase(path);
        remove_unlocked(path);
    }
}

void ModelDirectory::loaded() {
    if (lock_ >= 0) {
        ::close(std::exchange(lock_, -1));
    }
}

ModelDirectory::~ModelDirectory() {
    loaded();
    owner_->release(path_);
}

fs::path failed_programs_place() {
    return fs::temp_directory_path() / fmt::format("pome-failed-programs-{}", ::geteuid());
}

fs::path keep_failed_program(const fs::path& directory, const fs::path& place) {
    make_directory(place);
    std::vector<std::pair<fs::file_time_type, fs::path>> kept;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(place)) {
        if (entry.path().filename().string().starts_with(copy_prefix)) {
            kept.emplace_back(entry.last_write_time(error), entry.path());
        }
    }
    std::sort(kept.begin(), kept.end());
    for (std::size_t i = 0; i + copies_kept <= kept.size(); ++i) {
        fs::remove_all(kept[i].second, error);
    }
    std::string name = (place / (std::string(copy_prefix) + "XXXXXX")).string();
    make_private_directory(name);
    fs::copy(directory, name, fs::copy_options::recursive | fs::copy_options::overwrite_existing,
             error);
    if (error) {
        fail(Code::io, here, "{}: cannot copy to {}: {}", directory.string(), name,
             error.message());
    }
    return name;
}

}  // namespace pome::device::apple
