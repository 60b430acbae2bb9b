#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <numeric>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/shape.h"
#include "base/thread_pool.h"
#include "support/test_data.h"

namespace pome {
namespace {

TEST(AtomicFile, AFullDiskLeavesTheOldFileAndSaysWhy) {
    const TemporaryDirectory work;
    const auto path = work.path() / "state";
    write_file_atomic(path, std::string_view("old"));
    // The size limit of a process stands for a full disk: write() fails in the same way.
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{4096, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const std::string text =
        error_text([&] { write_file_atomic(path, std::string_view(std::string(100000, 'x'))); });
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(text, "[base.file] " + path.string() + ": cannot write: File too large");
    EXPECT_EQ(read_text(path), "old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(work.path()), {}), 1)
        << "the temporary file stayed";
}

TEST(AtomicFile, ADirectoryThatIsNotThereIsNamed) {
    EXPECT_EQ(error_text([] { write_file_atomic("/nonexistent/file", std::string_view("x")); }),
              "[base.file] /nonexistent/file: cannot write: No such file or directory");
}

TEST(ReadFile, RefusesDirectoriesAndMissingFiles) {
    EXPECT_EQ(error_text([] { read_file("/"); }),
              "[base.file] /: is a directory, a file was expected");
    EXPECT_EQ(error_text([] { read_file("/nonexistent"); }),
              "[base.file] /nonexistent: cannot open: No such file or directory");
}

TEST(ByteReader, NoReadLeavesTheBytes) {
    const std::vector<std::byte> bytes(10);
    const ByteReader in(bytes, "test", "f");
    EXPECT_EQ(in.u64(2), 0U);
    EXPECT_EQ(error_text([&] { in.u64(3); }),
              "[test] f: 8 bytes wanted, but the file ends at byte 10; truncated? (at byte 3)");
    EXPECT_THROW(in.bytes(~std::uint64_t{0}, 2), Error);
    EXPECT_THROW(in.bytes(1, ~std::uint64_t{0}), Error);
}

TEST(Shape, CountsAndBroadcasts) {
    EXPECT_EQ((Shape{2, 3, 4}).elements(), 24);
    EXPECT_EQ(Shape{}.elements(), 1);
    EXPECT_THROW((Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}).elements(), Error);
    Shape result;
    EXPECT_TRUE(broadcast({1, 8, 1, 4}, {8, 1, 1}, result));
    EXPECT_EQ(result.text(), "[1,8,1,4]");
    EXPECT_FALSE(broadcast({2}, {3}, result));
}

TEST(Random, GivesTheSameNumbersEverywhere) {
    Random random(1);
    EXPECT_EQ(random.next(), 12966619160104079557U);
    EXPECT_EQ(random.next(), 9600361134598540522U);
    Random copy(random.state());
    EXPECT_EQ(copy.next(), random.next());
}

TEST(ThreadPool, VisitsEveryIndexOnceAndPassesErrorsOn) {
    for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        for (const std::int64_t count : {0, 1, 5, 1000}) {
            std::vector<int> visits(static_cast<std::size_t>(count), 0);
            pool.for_ranges(count, 7, [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t i = begin; i < end; ++i) {
                    ++visits[static_cast<std::size_t>(i)];
                }
            });
            EXPECT_EQ(std::accumulate(visits.begin(), visits.end(), 0), count);
            EXPECT_TRUE(std::all_of(visits.begin(), visits.end(), [](int n) { return n == 1; }));
        }
        EXPECT_THROW(
            pool.for_ranges(100, 1,
                            [](std::int64_t, std::int64_t, int) { throw std::runtime_error("x"); }),
            std::runtime_error);
    }
}

}  // namespace
}  // namespace pome
