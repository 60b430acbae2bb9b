#include "device/apple/child_trial.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "base/error.h"

#ifdef __APPLE__
#include <crt_externs.h>  // a shared library has no `environ` there
#else
extern char** environ;
#endif

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";
constexpr std::size_t output_limit = 64 << 10;

/// The reading end; the writing one is the child's alone once it runs.
struct Pipe {
    std::array<int, 2> ends{-1, -1};
    Pipe() {
        if (::pipe(ends.data()) != 0) {
            fail(Code::io, here, "cannot make a pipe: {}", std::generic_category().message(errno));
        }
        for (const int end : ends) {
            ::fcntl(end, F_SETFD, FD_CLOEXEC);
        }
    }
    ~Pipe() {
        close_writer();
        ::close(ends[0]);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    void close_writer() {
        if (ends[1] >= 0) {
            ::close(ends[1]);
            ends[1] = -1;
        }
    }
};

char** environment() {
#ifdef __APPLE__
    return *_NSGetEnviron();
#else
    return environ;
#endif
}

pid_t start(const std::vector<std::string>& command, int error_end) {
    std::vector<std::string> words = command;
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, error_end, 2);
    pid_t child = 0;
    const int error = ::posix_spawn(&child, words.front().c_str(), &actions, nullptr,
                                    arguments.data(), environment());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        fail(Code::io, here, "{}: cannot start: {}", words.front(),
             std::generic_category().message(error));
    }
    return child;
}

}  // namespace

ChildResult run_child(const std::vector<std::string>& command, double seconds) {
    if (command.empty()) {
        fail(Code::invalid_argument, here, "no program was given for trials");
    }
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(seconds));
    Pipe pipe;
    const pid_t child = start(command, pipe.ends[1]);
    pipe.close_writer();
    ChildResult result;
    bool open = true;
    int status = 0;
    for (;;) {
        const pid_t ended = ::waitpid(child, &status, WNOHANG);
        const bool over = Clock::now() >= end;
        if (ended == 0 && over) {
            ::kill(child, SIGKILL);
            ::waitpid(child, &status, 0);
            result.kind = ChildResult::Kind::time_over;
        }
        pollfd ready{pipe.ends[0], POLLIN, 0};
        while (open && ::poll(&ready, 1, ended == 0 && !over ? 10 : 0) > 0) {
            std::array<char, 4096> bytes;
            const ssize_t n = ::read(pipe.ends[0], bytes.data(), bytes.size());
            if (n <= 0) {
                open = false;
                break;
            }
            result.output.append(bytes.data(), std::min(static_cast<std::size_t>(n),
                                                        output_limit - result.output.size()));
        }
        if (ended != 0 || over) {
            break;
        }
        if (!open) {  // nothing more to wait for but the end
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }
    if (result.kind != ChildResult::Kind::time_over) {
        const bool killed = WIFSIGNALED(status);
        result.kind = killed ? ChildResult::Kind::killed : ChildResult::Kind::exited;
        result.status = killed ? WTERMSIG(status) : WEXITSTATUS(status);
    }
    return result;
}

}  // namespace pome::device::apple
