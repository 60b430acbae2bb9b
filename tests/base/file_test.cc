#include "base/file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "support/expect_error.h"
#include "support/full_disk.h"

namespace pome {
namespace {

using test::expect_error;

std::size_t entries_in(const std::filesystem::path& folder) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(Files, AppearWholeAndReplaceWhatWasThere) {
    const TemporaryDirectory work;
    const auto path = work.path() / "file";
    write_file_atomic(path, std::string_view("old"));
    {
        AtomicFile file(path);
        file.write(std::string_view("new"));
        EXPECT_EQ(read_text(path), "old") << "before commit() nothing changes";
        file.commit();
    }
    EXPECT_EQ(read_text(path), "new");
    EXPECT_EQ(entries_in(work.path()), 1U);
}

TEST(Files, WithoutCommitTheOldOneStays) {
    const TemporaryDirectory work;
    const auto path = work.path() / "file";
    write_file_atomic(path, std::string_view("old"));
    { AtomicFile(path).write(std::string_view("half")); }
    EXPECT_EQ(read_text(path), "old");
    EXPECT_EQ(entries_in(work.path()), 1U) << "the temporary file is gone";
}

TEST(Files, OnAFullDiskTheOldOneStays) {
    const TemporaryDirectory work;
    const auto path = work.path() / "file";
    write_file_atomic(path, std::string_view("old"));
    {
        const test::FullDisk full(1000);
        expect_error(Code::io, "[base.file] " + path.string() + ": cannot write: File too large",
                     [&] { write_file_atomic(path, std::string(1001, 'x')); });
    }
    EXPECT_EQ(read_text(path), "old");
    EXPECT_EQ(entries_in(work.path()), 1U);
    write_file_atomic(path, std::string(1001, 'x'));
    EXPECT_EQ(std::filesystem::file_size(path), 1001U);
}

TEST(Files, AMissingFolderIsNamed) {
    const TemporaryDirectory work;
    const auto path = work.path() / "no" / "file";
    expect_error(Code::io,
                 "[base.file] " + path.string() + ": cannot write: No such file or directory",
                 [&] { write_file_atomic(path, std::string_view("x")); });
}

TEST(Files, AFolderInTheWayIsNotReplaced) {
    const TemporaryDirectory work;
    const auto path = work.path() / "folder";
    std::filesystem::create_directory(path);
    expect_error(Code::io, "[base.file] " + path.string() + ": cannot replace: Is a directory",
                 [&] { write_file_atomic(path, std::string_view("x")); });
    EXPECT_EQ(entries_in(work.path()), 1U);
}

TEST(Files, ReadingNamesWhatIsWrong) {
    const TemporaryDirectory work;
    const auto path = work.path() / "file";
    expect_error(Code::io,
                 "[base.file] " + path.string() + ": cannot open: No such file or directory",
                 [&] { read_file(path); });
    expect_error(Code::io,
                 "[base.file] " + work.path().string() + ": is a directory, a file was expected",
                 [&] { read_text(work.path()); });
    expect_error(Code::io,
                 "[base.file] " + work.path().string() + ": is a directory, a file was expected",
                 [&] { MappedFile{work.path()}; });
    write_file_atomic(path, std::string_view("12345"));
    EXPECT_EQ(read_file(path, 5).size(), 5U);
    expect_error(
        Code::io,
        "[base.file] " + path.string() + ": 5 bytes, more than the 4 that such a file may have",
        [&] { read_file(path, 4); });
}

TEST(Files, WithoutAKnownSizeAreReadToTheirEnd) {
    if (!std::filesystem::exists("/proc/self/status")) {
        GTEST_SKIP() << "needs /proc";
    }
    EXPECT_NE(read_text("/proc/self/status").find("VmRSS"), std::string::npos);
    expect_error(Code::io,
                 "[base.file] /proc/self/status: more than the 3 bytes that such a file may have",
                 [] { read_text("/proc/self/status", 3); });
}

TEST(Files, MappingsMoveAndMayBeEmpty) {
    const TemporaryDirectory work;
    write_file_atomic(work.path() / "a", std::string_view("abc"));
    write_file_atomic(work.path() / "empty", std::string_view(""));
    EXPECT_TRUE(MappedFile(work.path() / "empty").bytes().empty());
    MappedFile first(work.path() / "a");
    const auto* address = first.bytes().data();
    MappedFile second(std::move(first));
    EXPECT_EQ(second.bytes().data(), address);
    EXPECT_EQ(second.bytes()[2], std::byte{'c'});
    second = MappedFile(work.path() / "empty");
    EXPECT_TRUE(second.bytes().empty());
}

TEST(Files, ATemporaryDirectoryIsPrivateAndRemoved) {
    std::filesystem::path path;
    {
        const TemporaryDirectory work;
        path = work.path();
        EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms::owner_all);
        write_file_atomic(path / "inside", std::string_view("x"));
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Files, SweepingRemovesWhatKilledWritersLeft) {
    const TemporaryDirectory work;
    for (const char* name : {"config.toml.tmp-AbC123", "config.toml", ".tmp-AbC123",
                             "a.tmp-long-name", "metrics.jsonl.tmp-xyz"}) {
        write_file_atomic(work.path() / name, std::string_view("x"));
    }
    std::filesystem::create_directory(work.path() / "d.tmp-AbC123");
    sweep_temporary_files(work.path());
    EXPECT_FALSE(std::filesystem::exists(work.path() / "config.toml.tmp-AbC123"));
    EXPECT_EQ(entries_in(work.path()), 5U) << "only what bears an AtomicFile's name";
    EXPECT_NO_THROW(sweep_temporary_files(work.path() / "missing"));
}

}  // namespace
}  // namespace pome
