#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace pome {
namespace {

TEST(ThreadPoolLoops, RangesCoverEachIndexOnceAndKeepTheGrain) {
    for (const int threads : {1, 2, 3, 5}) {
        ThreadPool pool(threads);
        EXPECT_EQ(pool.threads(), threads);
        for (const std::int64_t count : {0, 1, 2, 7, 64, 1000}) {
            for (const std::int64_t grain : {1, 3, 64, 5000}) {
                std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
                std::atomic<int> short_parts{0};
                pool.for_ranges(count, grain,
                                [&](std::int64_t begin, std::int64_t end, int thread) {
                                    EXPECT_TRUE(0 <= thread && thread < threads);
                                    if (end - begin < grain && end != count) {
                                        ++short_parts;
                                    }
                                    for (auto i = begin; i < end; ++i) {
                                        ++seen[static_cast<std::size_t>(i)];
                                    }
                                });
                EXPECT_EQ(short_parts, 0) << threads << ' ' << count << ' ' << grain;
                EXPECT_TRUE(std::ranges::all_of(seen, [](const auto& n) { return n == 1; }))
                    << threads << ' ' << count << ' ' << grain;
            }
        }
    }
}

TEST(ThreadPoolLoops, BlocksCoverEachIndexOnceAndKeepTheGrain) {
    for (const int threads : {1, 2, 5}) {
        ThreadPool pool(threads);
        for (const std::int64_t count : {0, 1, 7, 64, 5000, 100000}) {
            for (const std::int64_t grain : {1, 3, 64, 5000}) {
                std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
                std::atomic<int> short_blocks{0}, blocks{0};
                pool.for_blocks(count, grain, [&](std::int64_t begin, std::int64_t end, int part) {
                    EXPECT_TRUE(0 <= part && part < threads);
                    ++blocks;
                    if (end - begin < grain && end != count) {
                        ++short_blocks;
                    }
                    for (auto i = begin; i < end; ++i) {
                        ++seen[static_cast<std::size_t>(i)];
                    }
                });
                EXPECT_EQ(short_blocks, 0) << threads << ' ' << count << ' ' << grain;
                EXPECT_LE(blocks, threads * 16);
                EXPECT_TRUE(count < 16 * 8 * grain * threads || blocks > threads * 8) << blocks;
                EXPECT_TRUE(std::ranges::all_of(seen, [](const auto& n) { return n == 1; }))
                    << threads << ' ' << count << ' ' << grain;
            }
        }
    }
}

TEST(ThreadPoolLoops, ABusyThreadDoesNotHoldUpBlocks) {
    constexpr int blocks = 8;
    ThreadPool pool(2);
    std::atomic<bool> is_held{false};
    std::atomic<int> done{0}, done_meanwhile{0};
    pool.for_blocks(8 * blocks, 1, [&](std::int64_t, std::int64_t, int) {
        if (!is_held.exchange(true)) {  // the first block waits for all others, at most 10 s
            for (int i = 0; i < 10000 && done < blocks - 1; ++i) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            done_meanwhile = done.load();
        }
        ++done;
    });
    EXPECT_EQ(done_meanwhile, blocks - 1);
    EXPECT_EQ(done, blocks);
}

TEST(ThreadPoolLoops, TheSplitIsTheSameInEveryRun) {
    ThreadPool pool(3);
    const auto split = [&] {
        std::vector<std::int64_t> begins(3, -1);
        pool.for_ranges(1001, 16, [&](std::int64_t begin, std::int64_t, int thread) {
            begins[static_cast<std::size_t>(thread)] = begin;
        });
        return begins;
    };
    const auto first = split();
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(split(), first);
    }
}

TEST(ThreadPoolLoops, EachIndexIsTakenOnce) {
    ThreadPool pool(4);
    for (int round = 0; round < 200; ++round) {
        std::vector<std::atomic<int>> seen(37);
        pool.for_each(37, [&](std::int64_t i, int) { ++seen[static_cast<std::size_t>(i)]; });
        ASSERT_TRUE(std::ranges::all_of(seen, [](const auto& n) { return n == 1; })) << round;
    }
}

TEST(ThreadPoolLoops, EachThreadBeginsWithItsOwnPart) {
    constexpr int threads = 3;
    ThreadPool pool(threads);
    std::vector<std::thread::id> owners(threads);
    for (int round = 0; round < 100; ++round) {
        std::vector<std::thread::id> ranges(threads), indices(threads);
        std::barrier all(threads);  // nobody takes a second part before each has one
        pool.for_ranges(threads, 1, [&](std::int64_t, std::int64_t, int part) {
            ranges[static_cast<std::size_t>(part)] = std::this_thread::get_id();
            all.arrive_and_wait();
        });
        pool.for_each(threads, [&](std::int64_t i, int) {
            indices[static_cast<std::size_t>(i)] = std::this_thread::get_id();
            all.arrive_and_wait();
        });
        if (round == 0) {
            owners = ranges;
        }
        ASSERT_EQ(ranges, owners) << round;
        ASSERT_EQ(indices, owners) << round;
    }
    EXPECT_EQ(owners[0], std::this_thread::get_id());
}

TEST(ThreadPoolLoops, AnErrorComesBackAndThePoolGoesOn) {
    ThreadPool pool(3);
    for (std::int64_t bad = 0; bad < 3; ++bad) {
        EXPECT_THROW(pool.for_ranges(3, 1,
                                     [&](std::int64_t begin, std::int64_t, int) {
                                         if (begin == bad) {
                                             throw std::runtime_error("part");
                                         }
                                     }),
                     std::runtime_error)
            << bad;
        std::atomic<int> done{0};
        pool.for_ranges(3, 1, [&](std::int64_t, std::int64_t, int) { ++done; });
        EXPECT_EQ(done, 3);
    }
}

TEST(ThreadPoolLoops, ZeroTakesTheHardwareThreads) {
    EXPECT_GE(ThreadPool(0).threads(), 1);
    EXPECT_EQ(ThreadPool(0).threads(),
              static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

}  // namespace
}  // namespace pome
