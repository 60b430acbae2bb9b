#include "kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cross_entropy.cc"
#include "hwy/foreach_target.h"

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The largest of count > 0 elements; which of them where one is a NaN is not promised.
float maximum(const float* row, std::int64_t count) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    float top = row[0];
    std::int64_t i = 0;
    if (count >= lanes) {
        auto tops = hn::LoadU(d, row);
        for (i = lanes; i + lanes <= count; i += lanes) {
            tops = hn::Max(tops, hn::LoadU(d, row + i));
        }
        top = hn::GetLane(hn::MaxOfLanes(d, tops));
    }
    for (; i < count; ++i) {
        top = std::max(top, row[i]);
    }
    return top;
}

/// row[i] = exp(row[i] - top); returns their sum.
double exponentials(float* row, std::int64_t count, float top) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto tops = hn::Set(d, top);
    auto sums = hn::Zero(d);
    double total = 0.0;
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const auto e = hn::Exp(d, hn::Sub(hn::LoadU(d, row + i), tops));
        hn::StoreU(e, d, row + i);
        sums = hn::Add(sums, e);
        if (i % 4096 == 0) {  // short runs in float keep the rounding of the sum small
            total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sums)));
            sums = hn::Zero(d);
        }
    }
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sums)));
    for (; i < count; ++i) {
        total += static_cast<double>(row[i] = std::exp(row[i] - top));
    }
    return total;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {

HWY_EXPORT(exponentials);
HWY_EXPORT(maximum);

namespace {

CrossEntropy total(const std::vector<double>& losses, std::span<const std::int32_t> targets) {
    CrossEntropy result;
    for (std::size_t s = 0; s < targets.size(); ++s) {
        result.loss += losses[s];
        result.counted += targets[s] >= 0 ? 1 : 0;
    }
    return result;
}

}  // namespace

CrossEntropy cross_entropy(float* logits, std::span<const std::int32_t> targets,
                           std::int64_t vocabulary, float factor, ThreadPool& pool) {
    const auto positions = static_cast<std::int64_t>(targets.size());
    std::vector<double> losses(targets.size(), 0.0);
    pool.for_ranges(positions, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t s = begin; s < end; ++s) {
            float* row = logits + s * vocabulary;
            const std::int32_t target = targets[static_cast<std::size_t>(s)];
            if (target < 0) {
                std::fill(row, row + vocabulary, 0.0F);
                continue;
            }
            const float top = HWY_DYNAMIC_DISPATCH(maximum)(row, vocabulary), wanted = row[target];
            const double sum = HWY_DYNAMIC_DISPATCH(exponentials)(row, vocabulary, top);
            losses[static_cast<std::size_t>(s)] =
                std::log(sum) - (static_cast<double>(wanted) - static_cast<double>(top));
            const auto scale = static_cast<float>(static_cast<double>(factor) / sum);
            for (std::int64_t v = 0; v < vocabulary; ++v) {
                row[v] *= scale;
            }
            row[target] -= factor;
        }
    });
    return total(losses, targets);
}

CrossEntropy cross_entropy_of_probabilities(float* probabilities,
                                            std::span<const std::int32_t> targets,
                                            std::int64_t vocabulary, float factor, float least,
                                            ThreadPool& pool) {
    const auto positions = static_cast<std::int64_t>(targets.size());
    std::vector<double> losses(targets.size(), 0.0);
    pool.for_ranges(positions, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t s = begin; s < end; ++s) {
            float* row = probabilities + s * vocabulary;
            const std::int32_t target = targets[static_cast<std::size_t>(s)];
            if (target < 0) {
                std::fill(row, row + vocabulary, 0.0F);
                continue;
            }
            losses[static_cast<std::size_t>(s)] =
                -std::log(static_cast<double>(std::max(row[target], least)));
            for (std::int64_t v = 0; v < vocabulary; ++v) {
                row[v] *= factor;
            }
            row[target] -= factor;
        }
    });
    return total(losses, targets);
}

}  // namespace pome::kernels
#endif
