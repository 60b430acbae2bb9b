#include "base/large_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>

#include "base/error.h"
#include "support/process_memory.h"

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

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(LargeMemory, LiesInHugePagesWhereTheSystemGrantsThem) {
    std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
    std::string setting;
    std::getline(file, setting);
    const long before = test::process_kilobytes("smaps_rollup", "AnonHugePages");
    const char* const wanted = std::getenv("POME_HUGE_PAGES");
    if (before < 0 || setting.empty() || setting.find("[never]") != std::string::npos ||
        (wanted != nullptr && std::string(wanted) == "off")) {
        GTEST_SKIP() << "no huge pages here: " << setting;
    }
    LargeVector<char> values(32 * huge_page, 'x');
    const long now = test::process_kilobytes("smaps_rollup", "AnonHugePages");
    if (now == before) {
        GTEST_SKIP() << "the system has no huge page to spare";
    }
    EXPECT_GE(now - before, static_cast<long>(huge_page >> 10));
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
