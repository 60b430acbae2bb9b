#include "kernels/embedding.h"

namespace pome::kernels {

void embedding_gather(const float* embedding, std::int64_t channels,
                      std::span<const std::int32_t> tokens, float* x, ThreadPool& pool) {
    const auto positions = static_cast<std::int64_t>(tokens.size());
    pool.for_ranges(channels, 16, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t s = 0; s < positions; ++s) {
            const float* row = embedding + tokens[static_cast<std::size_t>(s)] * channels;
            for (std::int64_t c = begin; c < end; ++c) {
                x[c * positions + s] = row[c];
            }
        }
    });
}

void embedding_scatter(const float* dx, std::int64_t channels, std::span<const std::int32_t> tokens,
                       float* gradient, ThreadPool& pool) {
    const auto positions = static_cast<std::int64_t>(tokens.size());
    pool.for_ranges(channels, 16, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t s = 0; s < positions; ++s) {
            float* row = gradient + tokens[static_cast<std::size_t>(s)] * channels;
            for (std::int64_t c = begin; c < end; ++c) {
                row[c] += dx[c * positions + s];
            }
        }
    });
}

}  // namespace pome::kernels
