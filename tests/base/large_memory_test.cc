#include "base/large_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>

#include "base/error.h"

namespace pome {
namespace {

std::uintptr_t address(const void* memory) {
    return reinterpret_cast<std::uintptr_t>(memory);
}

TEST(LargeMemory, AlignsSmallBlocksToLinesAndLargeOnesToHugePages) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, huge_page, 2 * huge_page - 1}) {
        std::byte* memory = allocate_large(bytes);
        EXPECT_EQ(address(memory) % 128, 0U) << bytes;
        free_large(memory, bytes);
    }
    for (const std::size_t bytes : {2 * huge_page, 5 * huge_page + 12345}) {
        std::byte* memory = allocate_large(bytes);
        EXPECT_EQ(address(memory) % huge_page, 0U) << bytes;
        memory[0] = memory[bytes - 1] = std::byte{1};
        free_large(memory, bytes);
    }
}

TEST(LargeMemory, ContainersKeepTheirValuesAsTheyGrow) {
    LargeVector<float> values;
    for (int i = 0; i < 3'000'000; ++i) {
        values.push_back(static_cast<float>(i));
    }
    EXPECT_EQ(address(values.data()) % huge_page, 0U);
    LargeVector<float> copy = values, moved = std::move(values);
    EXPECT_EQ(copy, moved);
    EXPECT_EQ(std::accumulate(copy.begin(), copy.end(), 0.0), 2'999'999.0 * 3'000'000.0 / 2.0);
}

TEST(LargeMemory, MoreThanThereIsIsRefused) {
    EXPECT_THROW(allocate_large(std::size_t{1} << 60), std::bad_alloc);
}

#if defined(__linux__)
/// The flags ("VmFlags") of the mapping in which an address lies; empty where the system does not
/// say.
std::string flags_at(std::uintptr_t wanted) {
    std::ifstream file("/proc/self/smaps");
    bool is_inside = false;
    for (std::string text; std::getline(file, text);) {
        unsigned long begin = 0, end = 0;
        if (std::sscanf(text.c_str(), "%lx-%lx ", &begin, &end) == 2) {
            is_inside = begin <= wanted && wanted < end;
        } else if (is_inside && text.starts_with("VmFlags:")) {
            return text + " ";
        }
    }
    return "";
}

TEST(LargeMemory, AsksForHugePages) {
    std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
    const LargeVector<char> large(8 * huge_page, 'x');
    const std::string flags = flags_at(address(large.data()) + huge_page);
    if (!setting || flags.empty()) {
        GTEST_SKIP() << "a system without transparent huge pages, or without /proc/self/smaps";
    }
    const char* const wanted = std::getenv("POME_HUGE_PAGES");
    const bool asks = wanted == nullptr || std::string(wanted) == "on";
    EXPECT_EQ(flags.find(" hg ") != std::string::npos, asks) << flags;
}
#endif

#if !defined(__SANITIZE_THREAD__)
TEST(LargeMemoryDeathTest, AnUnknownSettingIsAnError) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            ::setenv("POME_HUGE_PAGES", "perhaps", 1);
            try {
                free_large(allocate_large(2 * huge_page), 2 * huge_page);
            } catch (const Error& error) {
                std::exit(std::string(error.what()).find("say on or off") != std::string::npos ? 7
                                                                                               : 8);
            }
            std::exit(9);
        },
        testing::ExitedWithCode(7), "");
}
#endif

}  // namespace
}  // namespace pome
