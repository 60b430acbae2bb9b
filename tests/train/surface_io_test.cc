#include "train/surface_io.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace pome::train {
namespace {

/// Sizes below, at and above the tiles that it is done in, and a surface of a part of the rows.
TEST(SurfaceIo, TransposesBothWays) {
    ThreadPool pool(2);
    for (const DType dtype : {DType::fp16, DType::fp32}) {
        for (const std::int64_t rows : {1, 64, 200}) {
            for (const std::int64_t columns : {1, 32, 150}) {
                const std::int64_t stride = rows + 7;
                device::Surface surface(mil::Type::tensor(dtype, {1, rows, 1, columns}));
                std::vector<float> host(static_cast<std::size_t>(stride * columns), -1.0F);
                for (std::int64_t c = 0; c < columns; ++c) {
                    for (std::int64_t r = 0; r < rows; ++r) {
                        host[static_cast<std::size_t>(c * stride + r)] =
                            static_cast<float>(r * 150 + c) / 16.0F;
                    }
                }
                store_transposed(host.data(), stride, surface, pool);
                std::vector<float> dense(static_cast<std::size_t>(rows * columns));
                load(surface, dense.data(), pool);
                for (std::int64_t r = 0; r < rows; ++r) {
                    for (std::int64_t c = 0; c < columns; ++c) {
                        const float value = host[static_cast<std::size_t>(c * stride + r)];
                        const float rounded = to_float(to_fp16(value, Rounding::nearest_even));
                        ASSERT_EQ(dense[static_cast<std::size_t>(r * columns + c)],
                                  dtype == DType::fp32 ? value : rounded);
                    }
                }
                std::vector<float> again(host.size(), -1.0F);
                load_transposed(surface, again.data(), stride, pool);
                for (std::int64_t c = 0; c < columns; ++c) {
                    for (std::int64_t r = 0; r < stride; ++r) {
                        const auto at = static_cast<std::size_t>(c * stride + r);
                        ASSERT_EQ(again[at], r < rows
                                                 ? dense[static_cast<std::size_t>(r * columns + c)]
                                                 : -1.0F);
                    }
                }
            }
        }
    }
}

/// One element at a time that is not finite, in the first, a middle and the last run of a thread.
TEST(SurfaceIo, LoadsAndSeesWhatIsNotFinite) {
    ThreadPool pool(2);
    constexpr std::int64_t count = 40003;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const DType dtype : {DType::fp16, DType::fp32}) {
        for (const std::int64_t at : {-1, 0, 4095, 4096, 20001, 40002}) {
            for (const float value : {infinity, -infinity, std::nanf("")}) {
                std::vector<float> host(count, 0.5F), loaded(count, -1.0F);
                if (at >= 0) {
                    host[static_cast<std::size_t>(at)] = value;
                }
                device::Surface surface(mil::Type::tensor(dtype, {1, 1, 1, count}));
                store(host.data(), surface, pool);
                EXPECT_EQ(load_finite(surface, loaded.data(), pool), at < 0) << at << " " << value;
                if (at >= 0) {
                    const float seen = loaded[static_cast<std::size_t>(at)];
                    EXPECT_TRUE(std::isnan(value) ? std::isnan(seen) : seen == value);
                    host[static_cast<std::size_t>(at)] = 0.5F;
                    loaded[static_cast<std::size_t>(at)] = 0.5F;
                }
                EXPECT_EQ(loaded, host);
            }
        }
    }
}

TEST(SurfaceIo, SeesWhatLeavesFp16) {
    std::vector<float> values(37, 65519.0F);
    EXPECT_FALSE(leaves_fp16(values.data(), 37));
    for (const float outside : {65520.0F, -70000.0F, std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN()}) {
        values[20] = outside;
        EXPECT_TRUE(leaves_fp16(values.data(), 37)) << outside;
    }
}

}  // namespace
}  // namespace pome::train
