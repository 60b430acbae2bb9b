#include "kernels/embedding.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/embedding.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef POME_KERNELS_EMBEDDING_ONCE_
#define POME_KERNELS_EMBEDDING_ONCE_
namespace pome::kernels {
// Positions lie beside each other in a stream, channels in a row of the embedding: squares of both,
// a cache line long, are turned in the nearest cache.
constexpr std::int64_t line = 16;
}  // namespace pome::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// out[(c - first) * stride + i] = rows[i][c] for i < count, c in [first, last).
HWY_INLINE void turn(const float* const* rows, std::int64_t count, std::int64_t first,
                     std::int64_t last, float* out, std::int64_t stride) {
    std::int64_t c = first;
#if HWY_TARGET != HWY_SCALAR
    const hn::FixedTag<float, 4> d;
    for (; count == line && c + 4 <= last; c += 4, out += 4 * stride) {
        for (std::int64_t i = 0; i < line; i += 4) {
            const auto r0 = hn::LoadU(d, rows[i] + c), r1 = hn::LoadU(d, rows[i + 1] + c),
                       r2 = hn::LoadU(d, rows[i + 2] + c), r3 = hn::LoadU(d, rows[i + 3] + c);
            const auto low01 = hn::InterleaveLower(d, r0, r1),
                       low23 = hn::InterleaveLower(d, r2, r3),
                       high01 = hn::InterleaveUpper(d, r0, r1),
                       high23 = hn::InterleaveUpper(d, r2, r3);
            hn::StoreU(hn::ConcatLowerLower(d, low23, low01), d, out + i);
            hn::StoreU(hn::ConcatUpperUpper(d, low23, low01), d, out + stride + i);
            hn::StoreU(hn::ConcatLowerLower(d, high23, high01), d, out + 2 * stride + i);
            hn::StoreU(hn::ConcatUpperUpper(d, high23, high01), d, out + 3 * stride + i);
        }
    }
#endif
    for (; c < last; ++c, out += stride) {
        for (std::int64_t i = 0; i < count; ++i) {
            out[i] = rows[i][c];
        }
    }
}

/// The channels [begin, end) of all positions. What the next square touches is fetched before, but
/// not beyond the range: that is another thread's.
void gather(const float* embedding, std::int64_t channels, const std::int32_t* tokens,
            std::int64_t positions, float* x, std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = 0; s < positions; s += line) {
        const std::int64_t some = std::min(line, positions - s);
        const float* rows[line];
        for (std::int64_t i = 0; i < some; ++i) {
            rows[i] = embedding + tokens[s + i] * channels;
        }
        for (std::int64_t first = begin; first < end; first += line) {
            const std::int64_t last = std::min(end, first + line);
            for (std::int64_t i = 0; i < some; ++i) {
                __builtin_prefetch(rows[i] + std::min(first + 2 * line, end - 1));
            }
            for (std::int64_t c = first; c < last; ++c) {
                __builtin_prefetch(x + std::min(c + line, end - 1) * positions + s, 1);
            }
            turn(rows, some, first, last, x + first * positions + s, positions);
        }
    }
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {

HWY_EXPORT(gather);

void embedding_gather(const float* embedding, std::int64_t channels,
                      std::span<const std::int32_t> tokens, float* x, ThreadPool& pool) {
    pool.for_ranges(channels, line, [&](std::int64_t begin, std::int64_t end, int) {
        HWY_DYNAMIC_DISPATCH(gather)
        (embedding, channels, tokens.data(), static_cast<std::int64_t>(tokens.size()), x, begin,
         end);
    });
}

void embedding_scatter(const float* dx, std::int64_t channels, std::span<const std::int32_t> tokens,
                       float* gradient, ThreadPool& pool) {
    const auto positions = static_cast<std::int64_t>(tokens.size());
    pool.for_ranges(channels, line, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t first = begin; first < end; first += line) {
            const std::int64_t last = std::min(end, first + line);
            for (std::int64_t s = 0; s < positions; s += line) {
                for (std::int64_t c = first; c < last; ++c) {  // the next square's
                    __builtin_prefetch(dx + c * positions + std::min(s + line, positions - 1));
                }
                // One position after another: a token may come twice.
                for (std::int64_t i = s; i < std::min(positions, s + line); ++i) {
                    float* row = gradient + tokens[static_cast<std::size_t>(i)] * channels;
                    __builtin_prefetch(row + std::min(first + 2 * line, end - 1), 1);
                    for (std::int64_t c = first; c < last; ++c) {
                        row[c] += dx[c * positions + i];
                    }
                }
            }
        }
    });
}

}  // namespace pome::kernels
#endif
