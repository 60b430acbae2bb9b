#include "kernels/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void update(const AdamW& rule, const float* g, float* w, float* m, float* v, std::int64_t count) {
    const hn::ScalableTag<float> full;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(full));
    const auto t = static_cast<double>(rule.update);
    const auto m_correction =
        static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(rule.beta1), t)));
    const auto v_correction =
        static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(rule.beta2), t)));
    const auto step = [&](auto d, std::int64_t i) HWY_ATTR {
        const auto gradient = hn::Mul(hn::LoadU(d, g + i), hn::Set(d, rule.gradient_factor));
        const auto first = hn::MulAdd(hn::Set(d, rule.beta1), hn::LoadU(d, m + i),
                                      hn::Mul(hn::Set(d, 1.0F - rule.beta1), gradient));
        const auto second =
            hn::MulAdd(hn::Set(d, rule.beta2), hn::LoadU(d, v + i),
                       hn::Mul(hn::Mul(hn::Set(d, 1.0F - rule.beta2), gradient), gradient));
        const auto root =
            hn::Add(hn::Sqrt(hn::Mul(second, hn::Set(d, v_correction))), hn::Set(d, rule.epsilon));
        const auto weight = hn::LoadU(d, w + i);
        const auto change = hn::MulAdd(hn::Set(d, rule.weight_decay), weight,
                                       hn::Div(hn::Mul(first, hn::Set(d, m_correction)), root));
        hn::StoreU(first, d, m + i);
        hn::StoreU(second, d, v + i);
        hn::StoreU(hn::NegMulAdd(hn::Set(d, rule.learning_rate), change, weight), d, w + i);
    };
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        step(full, i);
    }
    for (; i < count; ++i) {
        step(hn::CappedTag<float, 1>(), i);
    }
}

/// Eight sums in double: of the squares at i, i + 8, i + 16, ...; as many on every target, for the
/// same bits. Squares of floats are exact in double.
double squares(const float* values, std::int64_t count) {
    constexpr std::size_t chains = 8;
    const hn::CappedTag<double, chains> d;
    const hn::Rebind<float, decltype(d)> narrow;
    const auto lanes = hn::Lanes(d);
    double sums[chains] = {};
    const auto whole = static_cast<std::size_t>(count) / chains * chains;
    if (lanes == chains) {
        auto sum = hn::Zero(d);
        for (std::size_t i = 0; i < whole; i += chains) {
            const auto v = hn::PromoteTo(d, hn::LoadU(narrow, values + i));
            sum = hn::MulAdd(v, v, sum);
        }
        hn::StoreU(sum, d, sums);
    } else {
        // Vectors one after another: what is open between them fits no array on every target.
        for (std::size_t first = 0; first < chains; first += 2 * lanes) {
            const std::size_t next = first + lanes;  // twice lanes divides 8
            auto one = hn::Zero(d), two = hn::Zero(d);
            for (std::size_t i = 0; i < whole; i += chains) {
                const auto v = hn::PromoteTo(d, hn::LoadU(narrow, values + i + first));
                const auto w = hn::PromoteTo(d, hn::LoadU(narrow, values + i + next));
                one = hn::MulAdd(v, v, one);
                two = hn::MulAdd(w, w, two);
            }
            hn::StoreU(one, d, sums + first);
            hn::StoreU(two, d, sums + next);
        }
    }
    for (auto i = static_cast<std::int64_t>(whole); i < count; ++i) {
        sums[i % 8] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    double total = 0.0;
    for (const double sum : sums) {
        total += sum;
    }
    return total;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {

HWY_EXPORT(update);
HWY_EXPORT(squares);

void adamw(const AdamW& rule, std::span<const float> gradient, std::span<float> weight,
           std::span<float> m, std::span<float> v, ThreadPool& pool) {
    pool.for_ranges(static_cast<std::int64_t>(weight.size()), 4096,
                    [&](std::int64_t begin, std::int64_t end, int) {
                        HWY_DYNAMIC_DISPATCH(update)
                        (rule, gradient.data() + begin, weight.data() + begin, m.data() + begin,
                         v.data() + begin, end - begin);
                    });
}

double sum_of_squares(std::span<const float> values, ThreadPool& pool) {
    constexpr std::size_t block = 65536;
    const std::size_t blocks = (values.size() + block - 1) / block;
    std::vector<double> sums(blocks, 0.0);
    pool.for_ranges(static_cast<std::int64_t>(blocks), 1,
                    [&](std::int64_t begin, std::int64_t end, int) {
                        for (std::int64_t b = begin; b < end; ++b) {
                            const auto first = static_cast<std::size_t>(b) * block;
                            const std::size_t last = std::min(first + block, values.size());
                            sums[static_cast<std::size_t>(b)] = HWY_DYNAMIC_DISPATCH(squares)(
                                values.data() + first, static_cast<std::int64_t>(last - first));
                        }
                    });
    double total = 0.0;
    for (const double sum : sums) {
        total += sum;
    }
    return total;
}

}  // namespace pome::kernels
#endif
