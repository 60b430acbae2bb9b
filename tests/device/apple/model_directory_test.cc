#include "device/apple/model_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "support/test_data.h"

namespace pome::device::apple {
namespace {

namespace fs = std::filesystem;

ProgramFiles program() {
    ProgramFiles files;
    files.text = "program text";
    files.weights["weights/deep/w.bin"] =
        std::make_shared<const std::vector<std::byte>>(3, std::byte{7});
    return files;
}

unsigned mode(const fs::path& path) {
    struct stat status {};
    ::stat(path.c_str(), &status);
    return status.st_mode & 0777;
}

std::size_t entries(const fs::path& directory) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

TEST(ModelDirectory, FilesArePrivateAndGo) {
    const TemporaryDirectory temporary;
    auto directories = ModelDirectories::make(temporary.path());
    EXPECT_EQ(mode(directories->root()), 0700);
    {
        const auto named = directories->named("0123456789ABCDEF_0", program());
        EXPECT_EQ(named->path(), temporary.path() / "0123456789ABCDEF_0");
        EXPECT_EQ(mode(named->path()), 0700);
        EXPECT_EQ(mode(named->path() / "weights"), 0700);
        EXPECT_EQ(mode(named->path() / "model.mil"), 0600);
        EXPECT_EQ(read_text(named->path() / "model.mil"), "program text");
        EXPECT_EQ(read_text(named->path() / "weights/deep/w.bin"), "\7\7\7");
        const auto unnamed = directories->unnamed(program());
        EXPECT_EQ(unnamed->path().parent_path(), directories->root());
        EXPECT_NE(unnamed->path(), directories->unnamed(program())->path());
        // Two equal programs share a directory: it goes with the last.
        const auto other = directories->named("0123456789ABCDEF_0", program());
        other->loaded();
        EXPECT_TRUE(fs::exists(named->path()));
    }
    EXPECT_EQ(entries(temporary.path()), 1U);
    directories.reset();
    EXPECT_EQ(entries(temporary.path()), 0U);
}

TEST(ModelDirectory, RefusesWhatIsNotItsOwn) {
    const TemporaryDirectory temporary, elsewhere;
    const auto directories = ModelDirectories::make(temporary.path());
    const std::string name = "0123456789ABCDEF";
    fs::create_directory_symlink(elsewhere.path(), temporary.path() / name);
    EXPECT_EQ(error_text([&] { directories->named(name, program()); }),
              "[device.apple] " + (temporary.path() / name).string() +
                  ": something that is no directory of this user lies where the program's files "
                  "must go; remove it");
    EXPECT_TRUE(fs::is_empty(elsewhere.path()));
    for (const char* bad : {"../0123456789", "", "short", "0123456789/x", "0123456789."}) {
        EXPECT_NE(error_text([&] { directories->named(bad, program()); }).find("no file name"),
                  std::string::npos)
            << bad;
    }
    // A link in a directory that was there before is replaced, not followed.
    const fs::path before = temporary.path() / "FEDCBA9876543210";
    fs::create_directory(before);
    fs::create_symlink(elsewhere.path() / "stolen", before / "model.mil");
    const auto made = directories->named("FEDCBA9876543210", program());
    EXPECT_TRUE(fs::is_empty(elsewhere.path()));
    EXPECT_FALSE(fs::is_symlink(before / "model.mil"));
    EXPECT_EQ(read_text(before / "model.mil"), "program text");
}

TEST(ModelDirectory, WhoReadsAFileReadsAllOfIt) {
    // Two processes that compile equal programs have one directory, and the first reads from it
    // while the second writes.
    const TemporaryDirectory temporary;
    const auto first = ModelDirectories::make(temporary.path()),
               second = ModelDirectories::make(temporary.path());
    const auto mine = first->named("0123456789ABCDEF", program());
    std::atomic<bool> done = false;
    std::thread other([&] {
        for (int i = 0; i < 2000; ++i) {
            second->named("0123456789ABCDEF", program());
        }
        done = true;
    });
    int parts = 0;
    while (!done) {
        parts += read_text(mine->path() / "model.mil") != "program text";
        parts += read_text(mine->path() / "weights/deep/w.bin") != "\7\7\7";
    }
    other.join();
    EXPECT_EQ(parts, 0);
}

TEST(ModelDirectory, WhatACrashLeavesTheNextStartRemoves) {
    const TemporaryDirectory temporary;
    fs::create_directory(temporary.path() / "somebody-elses");
    const pid_t child = ::fork();
    if (child == 0) {
        const auto directories = ModelDirectories::make(temporary.path());
        const auto a = directories->named("0123456789ABCDEF", program());
        const auto b = directories->unnamed(program());
        std::ofstream(directories->root() / "names", std::ios::app)
            << "../../etc\nsomebody-elses/../..\n\n\n";
        ::_exit(0);  // no destructor runs
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(entries(temporary.path()), 3U);
    auto alive = ModelDirectories::make(temporary.path());
    EXPECT_EQ(entries(temporary.path()), 2U) << "the dead process's are gone";
    // What lives is left alone.
    const auto kept = alive->named("0123456789ABCDEF", program());
    auto later = ModelDirectories::make(temporary.path());
    EXPECT_TRUE(fs::exists(kept->path()));
    EXPECT_TRUE(fs::exists(alive->root()));
}

TEST(ModelDirectory, NobodyRemovesAProgramThatIsAboutToBeLoaded) {
    const TemporaryDirectory temporary;
    const auto first = ModelDirectories::make(temporary.path()),
               second = ModelDirectories::make(temporary.path());
    auto mine = first->named("0123456789ABCDEF", program());
    auto theirs = second->named("0123456789ABCDEF", program());
    mine.reset();
    EXPECT_TRUE(fs::exists(theirs->path() / "model.mil"));
    theirs.reset();
    EXPECT_FALSE(fs::exists(temporary.path() / "0123456789ABCDEF"));
}

TEST(ModelDirectory, FailedProgramsAreKeptTheNewestSixteen) {
    const TemporaryDirectory temporary, source;
    std::ofstream(source.path() / "model.mil") << "text";
    const auto place = temporary.path() / "failed";
    for (int i = 0; i < 20; ++i) {
        const auto copy = keep_failed_program(source.path(), place);
        EXPECT_EQ(read_text(copy / "model.mil"), "text");
        EXPECT_EQ(mode(copy), 0700);
    }
    EXPECT_EQ(entries(place), 16U);
}

}  // namespace
}  // namespace pome::device::apple
