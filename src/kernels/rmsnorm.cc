#include "kernels/rmsnorm.h"

#include <cmath>
#include <vector>

namespace pome::kernels {
namespace {

constexpr std::int64_t grain = 16;  // positions: a cache line of floats

/// root(s) of positions begin to end.
void roots(std::int64_t channels, std::int64_t positions, const float* x, float epsilon,
           float* root, std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
        root[s] = 0.0F;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
        const float* row = x + c * positions;
        for (std::int64_t s = begin; s < end; ++s) {
            root[s] += row[s] * row[s];
        }
    }
    for (std::int64_t s = begin; s < end; ++s) {
        root[s] = 1.0F / std::sqrt(root[s] / static_cast<float>(channels) + epsilon);
    }
}

}  // namespace

void rmsnorm(std::int64_t channels, std::int64_t positions, const float* x, const float* gain,
             float epsilon, float* y, float* root, ThreadPool& pool) {
    pool.for_ranges(positions, grain, [&](std::int64_t begin, std::int64_t end, int) {
        roots(channels, positions, x, epsilon, root, begin, end);
        for (std::int64_t c = 0; c < channels; ++c) {
            const float* row = x + c * positions;
            float* out = y + c * positions;
            for (std::int64_t s = begin; s < end; ++s) {
                out[s] = gain[c] * row[s] * root[s];
            }
        }
    });
}

void rmsnorm_root(std::int64_t channels, std::int64_t positions, const float* x, float epsilon,
                  float* root, ThreadPool& pool) {
    pool.for_ranges(positions, grain, [&](std::int64_t begin, std::int64_t end, int) {
        roots(channels, positions, x, epsilon, root, begin, end);
    });
}

void rmsnorm_backward(std::int64_t channels, std::int64_t positions, const float* x,
                      const float* gain, const float* root, const float* dy, float* dx,
                      float* dgain, ThreadPool& pool) {
    rmsnorm_gain_gradient(channels, positions, x, root, dy, dgain, pool);
    rmsnorm_input_gradient(channels, positions, x, gain, root, dy, dx, pool);
}

void rmsnorm_gain_gradient(std::int64_t channels, std::int64_t positions, const float* x,
                           const float* root, const float* dy, float* dgain, ThreadPool& pool) {
    pool.for_ranges(channels, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t c = begin; c < end; ++c) {
            const float *g = dy + c * positions, *v = x + c * positions;
            double sums[4] = {};  // independent chains that the compiler can run as vectors
            const std::int64_t whole = positions / 4 * 4;
            for (std::int64_t s = 0; s < whole; s += 4) {
                for (std::int64_t i = 0; i < 4; ++i) {
                    sums[i] += static_cast<double>(g[s + i] * v[s + i] * root[s + i]);
                }
            }
            for (std::int64_t s = whole; s < positions; ++s) {
                sums[0] += static_cast<double>(g[s] * v[s] * root[s]);
            }
            dgain[c] += static_cast<float>((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
    });
}

void rmsnorm_input_gradient(std::int64_t channels, std::int64_t positions, const float* x,
                            const float* gain, const float* root, const float* dy, float* dx,
                            ThreadPool& pool) {
    pool.for_ranges(positions, grain, [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<float> dot(static_cast<std::size_t>(end - begin), 0.0F);
        for (std::int64_t c = 0; c < channels; ++c) {
            for (std::int64_t s = begin; s < end; ++s) {
                dot[static_cast<std::size_t>(s - begin)] +=
                    gain[c] * dy[c * positions + s] * x[c * positions + s];
            }
        }
        for (std::int64_t s = begin; s < end; ++s) {
            dot[static_cast<std::size_t>(s - begin)] *=
                root[s] * root[s] / static_cast<float>(channels);
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            for (std::int64_t s = begin; s < end; ++s) {
                dx[c * positions + s] +=
                    root[s] * (gain[c] * dy[c * positions + s] -
                               x[c * positions + s] * dot[static_cast<std::size_t>(s - begin)]);
            }
        }
    });
}

}  // namespace pome::kernels
