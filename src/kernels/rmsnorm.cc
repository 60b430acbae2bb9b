#include "kernels/rmsnorm.h"

// Vectors whose size the compiler does not know cannot be kept in arrays.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rmsnorm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// Each position's sums run over the channels one after another, whatever the vectors' width: every
// target gives the same bits.
HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Rows ahead of what is read: a processor does not guess where a part of the next row begins.
constexpr std::int64_t ahead = 16;

/// Calls part(d, vectors, s) for positions [begin, end): as many vectors at a time as registers
/// hold sums, single ones, then elements.
template <typename Part>
HWY_INLINE void for_parts(std::int64_t begin, std::int64_t end, Part part) {
    const hn::ScalableTag<float> d;
    constexpr int most = 4;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t s = begin;
    for (; s + most * lanes <= end; s += most * lanes) {
        part.template run<most>(d, s);
    }
    for (; s + lanes <= end; s += lanes) {
        part.template run<1>(d, s);
    }
    for (; s < end; ++s) {
        part.template run<1>(hn::CappedTag<float, 1>(), s);
    }
}

/// Fetches a part's elements, to be read or written.
template <int vectors, bool write, class D>
HWY_INLINE void fetch(D d, const float* at) {
    constexpr std::size_t line = 64 / sizeof(float);
    for (std::size_t i = 0; i < vectors * hn::Lanes(d); i += line) {
        __builtin_prefetch(at + i, write ? 1 : 0);
    }
}

/// root(s) = 1 / sqrt(mean of x^2 + epsilon); fetches y meanwhile, unless it is nullptr.
struct Roots {
    std::int64_t channels, positions;
    const float *x, *y;
    float epsilon;
    float* root;

    template <int vectors, class D>
    HWY_INLINE void run(D d, std::int64_t s) const {
        const std::size_t lanes = hn::Lanes(d);
        hn::Vec<D> sums[vectors];
        for (auto& sum : sums) {
            sum = hn::Zero(d);
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            const float* row = x + c * positions + s;
            fetch<vectors, false>(d, row + std::min(ahead, channels - 1 - c) * positions);
            if (y != nullptr) {
                fetch<vectors, true>(d, y + c * positions + s);
            }
            for (std::size_t i = 0; i < vectors; ++i) {
                const auto v = hn::LoadU(d, row + i * lanes);
                sums[i] = hn::Add(sums[i], hn::Mul(v, v));
            }
        }
        const auto one = hn::Set(d, 1.0F);
        for (std::size_t i = 0; i < vectors; ++i) {
            const auto mean = hn::Div(sums[i], hn::Set(d, static_cast<float>(channels)));
            hn::StoreU(hn::Div(one, hn::Sqrt(hn::Add(mean, hn::Set(d, epsilon)))), d,
                       root + s + i * lanes);
        }
    }
};

/// y = gain x root.
struct Scaled {
    std::int64_t channels, positions;
    const float *x, *gain, *root;
    float* y;

    template <int vectors, class D>
    HWY_INLINE void run(D d, std::int64_t s) const {
        const std::size_t lanes = hn::Lanes(d);
        hn::Vec<D> roots[vectors];
        for (std::size_t i = 0; i < vectors; ++i) {
            roots[i] = hn::LoadU(d, root + s + i * lanes);
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            const auto factor = hn::Set(d, gain[c]);
            const std::int64_t at = c * positions + s;
            for (std::size_t i = 0; i < vectors; ++i) {
                const auto v = hn::LoadU(d, x + at + i * lanes);
                hn::StoreU(hn::Mul(hn::Mul(factor, v), roots[i]), d, y + at + i * lanes);
            }
        }
    }
};

/// dx += root (gain dy - x dot), dot = root^2 / channels times the sum of gain dy x.
struct InputGradient {
    std::int64_t channels, positions;
    const float *x, *gain, *root, *dy;
    float* dx;

    template <int vectors, class D>
    HWY_INLINE void run(D d, std::int64_t s) const {
        const std::size_t lanes = hn::Lanes(d);
        hn::Vec<D> dots[vectors], roots[vectors];
        for (auto& dot : dots) {
            dot = hn::Zero(d);
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            const auto factor = hn::Set(d, gain[c]);
            const std::int64_t at = c * positions + s;
            const std::int64_t next = at + std::min(ahead, channels - 1 - c) * positions;
            fetch<vectors, false>(d, x + next);
            fetch<vectors, false>(d, dy + next);
            fetch<vectors, true>(d, dx + at);
            for (std::size_t i = 0; i < vectors; ++i) {
                const auto g = hn::Mul(factor, hn::LoadU(d, dy + at + i * lanes));
                dots[i] = hn::Add(dots[i], hn::Mul(g, hn::LoadU(d, x + at + i * lanes)));
            }
        }
        for (std::size_t i = 0; i < vectors; ++i) {
            roots[i] = hn::LoadU(d, root + s + i * lanes);
            dots[i] = hn::Mul(dots[i], hn::Div(hn::Mul(roots[i], roots[i]),
                                               hn::Set(d, static_cast<float>(channels))));
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            const auto factor = hn::Set(d, gain[c]);
            const std::int64_t at = c * positions + s;
            for (std::size_t i = 0; i < vectors; ++i) {
                const auto g = hn::Mul(factor, hn::LoadU(d, dy + at + i * lanes));
                const auto v = hn::Mul(hn::LoadU(d, x + at + i * lanes), dots[i]);
                const auto change = hn::Mul(roots[i], hn::Sub(g, v));
                hn::StoreU(hn::Add(hn::LoadU(d, dx + at + i * lanes), change), d,
                           dx + at + i * lanes);
            }
        }
    }
};

void find_roots(std::int64_t channels, std::int64_t positions, const float* x, float epsilon,
                float* root, std::int64_t begin, std::int64_t end) {
    for_parts(begin, end, Roots{channels, positions, x, nullptr, epsilon, root});
}

void normalize(std::int64_t channels, std::int64_t positions, const float* x, const float* gain,
               float epsilon, float* y, float* root, std::int64_t begin, std::int64_t end) {
    for_parts(begin, end, Roots{channels, positions, x, y, epsilon, root});
    for_parts(begin, end, Scaled{channels, positions, x, gain, root, y});
}

void add_input_gradient(std::int64_t channels, std::int64_t positions, const float* x,
                        const float* gain, const float* root, const float* dy, float* dx,
                        std::int64_t begin, std::int64_t end) {
    for_parts(begin, end, InputGradient{channels, positions, x, gain, root, dy, dx});
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

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(find_roots);
HWY_EXPORT(normalize);
HWY_EXPORT(add_input_gradient);
HWY_EXPORT(gain_gradient);

constexpr std::int64_t grain = 16;  // positions: a cache line of floats

}  // namespace

void rmsnorm(std::int64_t channels, std::int64_t positions, const float* x, const float* gain,
             float epsilon, float* y, float* root, ThreadPool& pool) {
    pool.for_ranges(positions, grain, [&](std::int64_t begin, std::int64_t end, int) {
        HWY_DYNAMIC_DISPATCH(normalize)
        (channels, positions, x, gain, epsilon, y, root, begin, end);
    });
}

void rmsnorm_root(std::int64_t channels, std::int64_t positions, const float* x, float epsilon,
                  float* root, ThreadPool& pool) {
    pool.for_ranges(positions, grain, [&](std::int64_t begin, std::int64_t end, int) {
        HWY_DYNAMIC_DISPATCH(find_roots)(channels, positions, x, epsilon, root, begin, end);
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
            dgain[c] += static_cast<float>(HWY_DYNAMIC_DISPATCH(gain_gradient)(
                dy + c * positions, x + c * positions, root, positions));
        }
    });
}

void rmsnorm_input_gradient(std::int64_t channels, std::int64_t positions, const float* x,
                            const float* gain, const float* root, const float* dy, float* dx,
                            ThreadPool& pool) {
    pool.for_ranges(positions, grain, [&](std::int64_t begin, std::int64_t end, int) {
        HWY_DYNAMIC_DISPATCH(add_input_gradient)
        (channels, positions, x, gain, root, dy, dx, begin, end);
    });
}

}  // namespace pome::kernels
#endif
