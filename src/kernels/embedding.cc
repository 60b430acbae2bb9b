#include "kernels/embedding.h"

#include <algorithm>

namespace pome::kernels {
namespace {

// Positions lie beside each other in a stream, channels in a row of the embedding: squares of both,
// a cache line long, are turned in the nearest cache.
constexpr std::int64_t line = 16;

/// Calls square(first position, their number, first channel, one past the last) for all squares of
/// a range of channels. What the next square of these positions touches is fetched before, but not
/// beyond the range: that is another thread's.
template <typename Square>
void for_squares(std::int64_t positions, std::int64_t begin, std::int64_t end, Square square) {
    for (std::int64_t s = 0; s < positions; s += line) {
        const std::int64_t some = std::min(line, positions - s);
        for (std::int64_t c = begin; c < end; c += line) {
            square(s, some, c, std::min(end, c + line));
        }
    }
}

}  // namespace

void embedding_gather(const float* embedding, std::int64_t channels,
                      std::span<const std::int32_t> tokens, float* x, ThreadPool& pool) {
    const auto positions = static_cast<std::int64_t>(tokens.size());
    pool.for_ranges(channels, line, [&](std::int64_t begin, std::int64_t end, int) {
        for_squares(positions, begin, end,
                    [&](std::int64_t s, std::int64_t some, std::int64_t first, std::int64_t last) {
                        const float* rows[line];
                        for (std::int64_t i = 0; i < some; ++i) {
                            rows[i] =
                                embedding + tokens[static_cast<std::size_t>(s + i)] * channels;
                            __builtin_prefetch(rows[i] + std::min(first + 2 * line, end - 1));
                        }
                        for (std::int64_t c = first; c < last; ++c) {
                            float* out = x + c * positions + s;
                            __builtin_prefetch(x + std::min(c + line, end - 1) * positions + s, 1);
                            for (std::int64_t i = 0; i < some; ++i) {
                                out[i] = rows[i][c];
                            }
                        }
                    });
    });
}

void embedding_scatter(const float* dx, std::int64_t channels, std::span<const std::int32_t> tokens,
                       float* gradient, ThreadPool& pool) {
    const auto positions = static_cast<std::int64_t>(tokens.size());
    pool.for_ranges(channels, line, [&](std::int64_t begin, std::int64_t end, int) {
        for_squares(positions, begin, end,
                    [&](std::int64_t s, std::int64_t some, std::int64_t first, std::int64_t last) {
                        for (std::int64_t c = first; c < last; ++c) {
                            __builtin_prefetch(dx + std::min(c + line, end - 1) * positions + s);
                        }
                        for (std::int64_t i = 0; i < some;
                             ++i) {  // one after another: a token may come twice
                            float* row =
                                gradient + tokens[static_cast<std::size_t>(s + i)] * channels;
                            __builtin_prefetch(row + std::min(first + 2 * line, end - 1), 1);
                            const float* from = dx + s + i;
                            for (std::int64_t c = first; c < last; ++c) {
                                row[c] += from[c * positions];
                            }
                        }
                    });
    });
}

}  // namespace pome::kernels
