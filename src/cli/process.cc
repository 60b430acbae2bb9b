#include "cli/process.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/crash_point.h"
#include "base/error.h"

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

namespace pome::cli {

// Never argv[0], which may be relative to a directory that has changed.
std::string program_path() {
#ifdef __APPLE__
    std::uint32_t size = 0;
    _NSGetExecutablePath(nullptr, &size);
    std::string path(size, '\0');
    _NSGetExecutablePath(path.data(), &size);
    return path.c_str();
#else
    return std::filesystem::read_symlink("/proc/self/exe").string();
#endif
}

void start_again(const std::vector<std::string>& arguments) {
    std::string path = program_path();
    std::vector<std::string> words{path};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    std::fflush(nullptr);
    crash_point("process.exec");
    execv(path.c_str(), pointers.data());
    fail(Code::io, "cli.process", "{}: cannot start again: {}; go on with: pome train --resume DIR",
         path, std::strerror(errno));
}

}  // namespace pome::cli
