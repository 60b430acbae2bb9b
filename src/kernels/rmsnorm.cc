#include "kernels/rmsnorm.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rmsnorm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// Sums over the channels run in eight pieces, each one channel after another, then piece after
// piece: every target gives the same bits, whatever the vectors' width. Threads share channels, not
// positions: what each reads and writes is one piece of memory, and no cache line has two writers.
HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Calls body(d, s) for positions in vectors, then for single ones.
template <class Body>
HWY_INLINE void for_positions(std::int64_t positions, Body body) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t s = 0;
    for (; s + lanes <= positions; s += lanes) {
        body(d, s);
    }
    for (; s < positions; ++s) {
        body(hn::CappedTag<float, 1>(), s);
    }
}

/// sums[s] = sum of x(c,s)^2 of channels [begin, end).
void add_squares(std::int64_t positions, const float* x, std::int64_t begin, std::int64_t end,
                 float* sums) {
    std::fill_n(sums, positions, 0.0F);
    for (std::int64_t c = begin; c < end; ++c) {
        const float* row = x + c * positions;
        for_positions(positions, [&](auto d, std::int64_t s) HWY_ATTR {
            const auto v = hn::LoadU(d, row + s);
            hn::StoreU(hn::Add(hn::LoadU(d, sums + s), hn::Mul(v, v)), d, sums + s);
        });
    }
}

/// The sum of dy x root over a channel's positions, in eight chains on every target.
double gain_gradient(const float* dy, const float* x, const float* root, std::int64_t positions) {
    constexpr std::int64_t chains = 8;
    double sums[chains] = {};
    const std::int64_t whole = positions / chains * chains;
    for (std::int64_t s = 0; s < whole; s += chains) {
        for (std::int64_t i = 0; i < chains; ++i) {
            sums[i] += static_cast<double>(dy[s + i] * x[s + i] * root[s + i]);
        }
    }
    for (std::int64_t s = whole; s < positions; ++s) {
        sums[0] += static_cast<double>(dy[s] * x[s] * root[s]);
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// sums[s] = sum of gain(c) dy(c,s) x(c,s) of channels [begin, end); their gains' gradients too,
/// unless dgain is nullptr.
void add_dots(std::int64_t positions, const float* x, const float* gain, const float* root,
              const float* dy, float* dgain, std::int64_t begin, std::int64_t end, float* sums) {
    std::fill_n(sums, positions, 0.0F);
    for (std::int64_t c = begin; c < end; ++c) {
        const std::int64_t row = c * positions;
        if (dgain != nullptr) {
            dgain[c] += static_cast<float>(gain_gradient(dy + row, x + row, root, positions));
        }
        for_positions(positions, [&](auto d, std::int64_t s) HWY_ATTR {
            const auto g = hn::Mul(hn::Set(d, gain[c]), hn::LoadU(d, dy + row + s));
            const auto dot = hn::Mul(g, hn::LoadU(d, x + row + s));
            hn::StoreU(hn::Add(hn::LoadU(d, sums + s), dot), d, sums + s);
        });
    }
}

/// root(s) = 1 / sqrt(sum / channels + epsilon).
void find_roots(std::int64_t channels, std::int64_t positions, const float* sums, float epsilon,
                float* root) {
    for_positions(positions, [&](auto d, std::int64_t s) HWY_ATTR {
        const auto mean = hn::Div(hn::LoadU(d, sums + s), hn::Set(d, static_cast<float>(channels)));
        hn::StoreU(hn::Div(hn::Set(d, 1.0F), hn::Sqrt(hn::Add(mean, hn::Set(d, epsilon)))), d,
                   root + s);
    });
}

/// y = gain x root of channels [begin, end).
void scale(std::int64_t positions, const float* x, const float* gain, const float* root, float* y,
           std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
        const std::int64_t row = c * positions;
        for_positions(positions, [&](auto d, std::int64_t s) HWY_ATTR {
            const auto scaled = hn::Mul(hn::Set(d, gain[c]), hn::LoadU(d, x + row + s));
            hn::StoreU(hn::Mul(scaled, hn::LoadU(d, root + s)), d, y + row + s);
        });
    }
}

/// dots(s) times root^2 / channels.
void scale_dots(std::int64_t channels, std::int64_t positions, const float* root, float* dots) {
    for_positions(positions, [&](auto d, std::int64_t s) HWY_ATTR {
        const auto r = hn::LoadU(d, root + s);
        const auto factor = hn::Div(hn::Mul(r, r), hn::Set(d, static_cast<float>(channels)));
        hn::StoreU(hn::Mul(hn::LoadU(d, dots + s), factor), d, dots + s);
    });
}

/// dx += root (gain dy - x dot) of channels [begin, end).
void add_input_gradient(std::int64_t positions, const float* x, const float* gain,
                        const float* root, const float* dy, const float* dots, float* dx,
                        std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
        const std::int64_t row = c * positions;
        for_positions(positions, [&](auto d, std::int64_t s) HWY_ATTR {
            const auto g = hn::Mul(hn::Set(d, gain[c]), hn::LoadU(d, dy + row + s));
            const auto v = hn::Mul(hn::LoadU(d, x + row + s), hn::LoadU(d, dots + s));
            const auto change = hn::Mul(hn::LoadU(d, root + s), hn::Sub(g, v));
            hn::StoreU(hn::Add(hn::LoadU(d, dx + row + s), change), d, dx + row + s);
        });
    }
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(add_squares);
HWY_EXPORT(add_dots);
HWY_EXPORT(find_roots);
HWY_EXPORT(scale);
HWY_EXPORT(scale_dots);
HWY_EXPORT(add_input_gradient);
HWY_EXPORT(gain_gradient);

constexpr std::int64_t pieces = 8;
/// Elements from which on threads share the work: before, waking them takes longer.
constexpr std::int64_t worth_sharing = 1 << 14;

/// Calls body(begin, end) for ranges of channels.
template <typename Body>
void for_channels(std::int64_t channels, std::int64_t positions, ThreadPool& pool, Body body) {
    if (channels * positions < worth_sharing) {
        return body(std::int64_t{0}, channels);
    }
    pool.for_ranges(channels, 1,
                    [&](std::int64_t begin, std::int64_t end, int) { body(begin, end); });
}

/// The sum over all channels at each position: piece(begin, end, sums) gives that of some.
template <typename Piece>
std::vector<float> sum_over_channels(std::int64_t channels, std::int64_t positions,
                                     ThreadPool& pool, Piece piece) {
    constexpr std::int64_t line = 16;  // no two pieces share one
    const std::int64_t pitch = (positions + line - 1) / line * line;
    std::vector<float> sums(static_cast<std::size_t>(pieces * pitch));
    const auto one = [&](std::int64_t i, int) {
        piece(channels * i / pieces, channels * (i + 1) / pieces, sums.data() + i * pitch);
    };
    if (channels * positions < worth_sharing) {
        for (std::int64_t i = 0; i < pieces; ++i) {
            one(i, 0);
        }
    } else {
        pool.for_each(pieces, one);
    }
    for (std::int64_t i = 1; i < pieces; ++i) {
        for (std::int64_t s = 0; s < positions; ++s) {
            sums[static_cast<std::size_t>(s)] += sums[static_cast<std::size_t>(i * pitch + s)];
        }
    }
    return sums;
}

}  // namespace

void rmsnorm(std::int64_t channels, std::int64_t positions, const float* x, const float* gain,
             float epsilon, float* y, float* root, ThreadPool& pool) {
    rmsnorm_root(channels, positions, x, epsilon, root, pool);
    for_channels(channels, positions, pool, [&](std::int64_t begin, std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(scale)(positions, x, gain, root, y, begin, end);
    });
}

void rmsnorm_root(std::int64_t channels, std::int64_t positions, const float* x, float epsilon,
                  float* root, ThreadPool& pool) {
    const auto sums = sum_over_channels(
        channels, positions, pool, [&](std::int64_t begin, std::int64_t end, float* some) {
            HWY_DYNAMIC_DISPATCH(add_squares)(positions, x, begin, end, some);
        });
    HWY_DYNAMIC_DISPATCH(find_roots)(channels, positions, sums.data(), epsilon, root);
}

void rmsnorm_backward(std::int64_t channels, std::int64_t positions, const float* x,
                      const float* gain, const float* root, const float* dy, float* dx,
                      float* dgain, ThreadPool& pool) {
    auto dots = sum_over_channels(
        channels, positions, pool, [&](std::int64_t begin, std::int64_t end, float* some) {
            HWY_DYNAMIC_DISPATCH(add_dots)(positions, x, gain, root, dy, dgain, begin, end, some);
        });
    HWY_DYNAMIC_DISPATCH(scale_dots)(channels, positions, root, dots.data());
    for_channels(channels, positions, pool, [&](std::int64_t begin, std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(add_input_gradient)
        (positions, x, gain, root, dy, dots.data(), dx, begin, end);
    });
}

void rmsnorm_gain_gradient(std::int64_t channels, std::int64_t positions, const float* x,
                           const float* root, const float* dy, float* dgain, ThreadPool& pool) {
    for_channels(channels, positions, pool, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t c = begin; c < end; ++c) {
            dgain[c] += static_cast<float>(HWY_DYNAMIC_DISPATCH(gain_gradient)(
                dy + c * positions, x + c * positions, root, positions));
        }
    });
}

}  // namespace pome::kernels
#endif
