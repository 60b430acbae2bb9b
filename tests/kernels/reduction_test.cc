#include "kernels/reduction.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "reference/chip/reduction.h"

namespace pome::kernels {
namespace {

/// Sums along the last axis and along one before 37 others, by every number of fraction bits that a
/// profile may have and tiles of several lengths.
TEST(Reduction, EqualsTheModelByAnyRules) {
    Random random(7);
    for (int bits = 1; bits <= 40; ++bits) {
        for (const int tile : {1, 2, 4, 7}) {
            Numerics::Reduction rules;
            rules.tile = tile;
            rules.tile_fraction_bits = bits;
            const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(150));
            constexpr std::int64_t inner = 37;
            std::vector<fp16> x(static_cast<std::size_t>(count * inner));
            for (fp16& value : x) {
                const double scale = std::exp2(static_cast<double>(random.below(12)) - 8.0);
                value = to_fp16(random.normal() * scale, Rounding::nearest_even);
            }
            std::vector<fp16> along_columns(inner), row(1), column(static_cast<std::size_t>(count));
            reduce_sum(x.data(), along_columns.data(), 1, count, inner, rules);
            for (std::int64_t i = 0; i < inner; ++i) {
                for (std::int64_t k = 0; k < count; ++k) {
                    column[static_cast<std::size_t>(k)] =
                        x[static_cast<std::size_t>(k * inner + i)];
                }
                const fp16 want = reference::chip::reduce_sum(column, rules);
                ASSERT_EQ(along_columns[static_cast<std::size_t>(i)].bits, want.bits)
                    << bits << " fraction bits, tiles of " << tile << ", " << count;
                reduce_sum(column.data(), row.data(), 1, count, 1, rules);
                ASSERT_EQ(row[0].bits, want.bits)
                    << bits << " fraction bits, tiles of " << tile << ", a row of " << count;
            }
        }
    }
}

}  // namespace
}  // namespace pome::kernels
