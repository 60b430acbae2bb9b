// The engine's fixed-point products on CPU vectors.
//
// With a and b held as floats, p = a * b is exact (22 bits). fma(a', b, 192) rounds it to a multiple of 2^-16, the unit
// in the last place of 192 = 1.5 * 2^7, as long as |p| < 64; the bits of the result are those of 192 plus p * 2^16, so
// they are summed as integers, modulo 2^32, and the 192s are subtracted at the end. a' is a moved one unit away from
// zero, so that ties, which the FMA would round to even, round away. That changes nothing else: for e(a) + e(b) >= -16
// p is a multiple of 2^(e(a)+e(b)-20) and so is every tie, while the move changes p by less than 2^(e(a)+e(b)-21); for
// smaller sums the product is dropped, or zero.
//
// The drop rule, e(a) + e(b) <= -17 with subnormals counted as -14, is one comparison: keep where |b| >= t(a), with
// t = 2^(-16 - e(a)) for e(a) <= -3 and 0 above (then even subnormals are kept) and for a = 0. The order of the sum is
// free, so the k for which no product of a tile can be dropped (the smallest |b| is not below the largest t) are done
// first, without comparisons: with usual weights and activations about four in five.
//
// Bounds make the sum safe at every moment: |partial sums| <= |a| |b| (norms) + K/2 units < 2^15. Where a bound does not
// hold, or an operand has exponent 31, the block is done product by product.

#include "kernels/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_exact.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/matmul_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float anchor = 192.0F;
constexpr std::uint32_t anchor_bits = 0x43400000;

/// a one unit further from zero; zero stays.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V nudge(D d, V a) {
    const hn::RebindToUnsigned<D> du;
    const auto moved = hn::BitCast(d, hn::Add(hn::BitCast(du, a), hn::Set(du, 1)));
    return hn::IfThenElse(hn::Eq(a, hn::Zero(d)), a, moved);
}

/// t(a): products with |b| below it are dropped.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V drop_threshold(D d, V a) {
    const hn::RebindToUnsigned<D> du;
    // e(a), at least -14: as a float, the power of two of a; t = 2^-16 / it. Exponent fields subtract exactly.
    const auto exponent = hn::And(hn::BitCast(du, a), hn::Set(du, 0x7F800000U));
    const auto floor = hn::Max(exponent, hn::Set(du, (127U - 14U) << 23));
    const auto threshold = hn::BitCast(d, hn::Sub(hn::Set(du, (127U + 127U - 16U) << 23), floor));
    const auto needed = hn::And(hn::Gt(threshold, hn::Set(d, 0x1p-14F)), hn::Ne(a, hn::Zero(d)));
    return hn::IfThenElseZero(needed, threshold);
}

/// keep ? a * b + anchor : anchor
template <class D, class V = hn::Vec<D>, class M = hn::Mask<D>>
HWY_INLINE V kept_product(D, M keep, V a, V b, V anchors) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
    return V{_mm512_mask3_fmadd_ps(a.raw, b.raw, anchors.raw, keep.raw)};
#else
    return hn::IfThenElse(keep, hn::MulAdd(a, b, anchors), anchors);
#endif
}

struct ExactKernel {
    static constexpr int planes = 2;  // of packed a: a', t(a)

    template <class D, class V = hn::Vec<D>>
    static HWY_INLINE V pack(D d, V a, float* first, float* second) {
        const auto threshold = drop_threshold(d, a);
        hn::Store(nudge(d, a), d, first);
        hn::Store(threshold, d, second);
        return threshold;
    }

    /// Sorts the k into those without and with possible drops: order[0 .. count) and order[inner ..). Returns count.
    static HWY_INLINE std::int64_t sort(const float* top, const float* smallest, std::int64_t inner, std::uint32_t* order) {
        std::int64_t plain = 0, masked = inner;
        for (std::int64_t k = 0; k < inner; ++k) {
            order[plain] = order[masked] = static_cast<std::uint32_t>(k);
            const bool safe = smallest[k] >= top[k];
            plain += safe;
            masked += !safe;
        }
        return plain;
    }

    /// A tile of block_rows x (2 vectors), all of K. `smallest` is of b's panel, `order` memory for 2 K indices.
    static HWY_INLINE void tile(const float* a, const float* top, const float* b, const float* smallest,
                                std::int64_t inner, std::uint32_t* order, fp16* out, const float* bias,
                                std::int64_t& saturated) {
        const hn::ScalableTag<float> d;
        const hn::RebindToSigned<decltype(d)> di;
        using VI = hn::Vec<decltype(di)>;
        const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
        const auto anchors = hn::Set(d, anchor);
        const std::int64_t plain = sort(top, smallest, inner, order);
        VI sums[block_rows][2];
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) { sums[r][0] = sums[r][1] = hn::Zero(di); }
        for (std::int64_t i = 0; i < plain; ++i) {
            const std::int64_t k = order[i];
            const float* rows = a + k * planes * block_rows;
            const auto b0 = hn::Load(d, b + k * 2 * lanes), b1 = hn::Load(d, b + k * 2 * lanes + lanes);
            POME_UNROLL
            for (int r = 0; r < block_rows; ++r) {
                const auto factor = hn::Set(d, rows[r]);
                sums[r][0] = hn::Add(sums[r][0], hn::BitCast(di, hn::MulAdd(factor, b0, anchors)));
                sums[r][1] = hn::Add(sums[r][1], hn::BitCast(di, hn::MulAdd(factor, b1, anchors)));
            }
        }
        for (std::int64_t i = inner; i < 2 * inner - plain; ++i) {
            const std::int64_t k = order[i];
            const float* rows = a + k * planes * block_rows;
            const auto b0 = hn::Load(d, b + k * 2 * lanes), b1 = hn::Load(d, b + k * 2 * lanes + lanes);
            const auto m0 = hn::Abs(b0), m1 = hn::Abs(b1);
            POME_UNROLL
            for (int r = 0; r < block_rows; ++r) {
                const auto factor = hn::Set(d, rows[r]);
                const auto threshold = hn::Set(d, rows[block_rows + r]);
                const auto p0 = kept_product(d, hn::Ge(m0, threshold), factor, b0, anchors);
                const auto p1 = kept_product(d, hn::Ge(m1, threshold), factor, b1, anchors);
                sums[r][0] = hn::Add(sums[r][0], hn::BitCast(di, p0));
                sums[r][1] = hn::Add(sums[r][1], hn::BitCast(di, p1));
            }
        }
        const auto base = static_cast<std::int32_t>(static_cast<std::uint32_t>(inner) * anchor_bits);
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            const std::int32_t start = bias != nullptr ? bias_units(bias[r]) : 0;
            const auto offset = hn::Set(di, static_cast<std::int32_t>(static_cast<std::uint32_t>(start) - static_cast<std::uint32_t>(base)));
            saturated += store(hn::Add(sums[r][0], offset), out + r * 2 * lanes);
            saturated += store(hn::Add(sums[r][1], offset), out + r * 2 * lanes + lanes);
        }
    }

    static std::int32_t bias_units(float bias) { return static_cast<std::int32_t>(std::round(static_cast<double>(bias) * 65536.0)); }

    /// Units of 2^-16 to fp16, ties away. Adding half and cutting off needs no bit below the half: cutting low bits of
    /// large sums first makes the conversion to float exact.
    template <class VI>
    static HWY_INLINE std::int64_t store(VI sum, fp16* out) {
        const hn::ScalableTag<float> d;
        const hn::RebindToSigned<decltype(d)> di;
        const auto magnitude = hn::Abs(sum);
        const auto large = hn::Gt(magnitude, hn::Set(di, 0xFFFFFF));
        const auto cut = hn::IfThenElse(large, hn::And(magnitude, hn::Set(di, ~0xFF)), magnitude);
        const auto bits = hn::BitCast(di, hn::ConvertTo(d, cut));
        const auto rounded = hn::BitCast(d, hn::And(hn::Add(bits, hn::Set(di, 0x1000)), hn::Set(di, ~0x1FFF)));
        const auto scaled = hn::Mul(rounded, hn::Set(d, 0x1p-16F));
        const auto over = hn::Ge(scaled, hn::Set(d, 32768.0F));
        const auto limited = hn::IfThenElse(over, hn::Set(d, 1e30F), scaled);  // becomes infinity
        const auto sign = hn::And(hn::BitCast(d, sum), hn::BitCast(d, hn::Set(di, static_cast<std::int32_t>(0x80000000U))));
        store_halves(d, hn::Or(limited, sign), out);
        return static_cast<std::int64_t>(hn::CountTrue(d, over));
    }

    /// Whether no partial sum of the block can reach 2^15 and no product 64.
    static bool is_safe(const Block& block, std::int64_t inner) {
        // The norms were computed in float; one part in a thousand covers their rounding many times over.
        const double norms = std::sqrt(static_cast<double>(block.a_norm)) * std::sqrt(static_cast<double>(block.b_norm)) * 1.001;
        const double sum = norms + static_cast<double>(inner) * 0x1p-17 + static_cast<double>(block.bias);
        return sum < 32767.0 && static_cast<double>(block.a_largest) * block.b_largest < 63.0;
    }
};

void multiply_exact(const MatmulCall& call) { run_jobs<ExactKernel>(call); }

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(multiply_exact);

int exponent_of(fp16 value) { return std::max(1, (value.bits >> 10) & 0x1F) - 15; }

double decode(fp16 value) {
    if ((value.bits & 0x7C00) != 0x7C00) { return to_float(value); }
    const double magnitude = std::ldexp(1024.0 + (value.bits & 0x3FF), 6);
    return (value.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

double rounded(double value, Rounding rounding) {
    if (rounding == Rounding::nearest_away) { return std::round(value); }
    return rounding == Rounding::nearest_even ? std::nearbyint(value) : std::trunc(value);
}

}  // namespace

/// One result, product by product: any rules, any operands.
fp16 exact_result(const MatmulJob& job, std::int64_t row, std::int64_t column, const Numerics::MultiplyAccumulate& rules,
                  std::int64_t& saturated) {
    const double units = std::ldexp(1.0, rules.fraction_bits);
    const double limit = std::ldexp(units, rules.limit_exponent);
    double sum = job.bias != nullptr ? rounded(static_cast<double>(job.bias[row]) * units, rules.product) : 0.0;
    bool over = false;
    for (std::int64_t k = 0; k < job.a.columns && !over; ++k) {
        const fp16 x = job.a.data[row * job.a.row_stride + k * job.a.column_stride];
        const fp16 w = job.b.data[k * job.b.row_stride + column * job.b.column_stride];
        if (is_zero(x) || is_zero(w)) { continue; }
        if (rules.drop && exponent_of(x) + exponent_of(w) <= rules.drop_exponent) { continue; }
        sum += rounded(decode(x) * decode(w) * units, rules.product);  // integers below 2^53: exact
        over = rules.sticky && std::fabs(sum) >= limit;
    }
    const fp16 result = to_fp16(sum / units, rules.output);
    if (over || std::fabs(sum) >= limit || std::fabs(to_float(result)) >= std::ldexp(1.0F, rules.limit_exponent)) {
        ++saturated;
        return fp16{static_cast<std::uint16_t>(sum < 0 ? 0xFC00 : 0x7C00)};
    }
    return sum == 0.0 ? fp16{0} : result;
}

void matmul_exact(std::span<const MatmulJob> jobs, const Numerics::MultiplyAccumulate& rules, ThreadPool& pool,
                  MatmulScratch& scratch, MatmulStatistics* statistics) {
    const Numerics::MultiplyAccumulate usual;
    std::atomic<std::int64_t> saturated{0}, slow{0};
    if (rules == usual) {
        const MatmulCall call{jobs, &pool, &scratch, &rules, &saturated, &slow};
        HWY_DYNAMIC_DISPATCH(multiply_exact)(call);
    } else {
        for (const MatmulJob& job : jobs) {
            pool.for_ranges(job.a.rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
                std::int64_t count = 0;
                for (std::int64_t row = begin; row < end; ++row) {
                    for (std::int64_t column = 0; column < job.b.columns; ++column) {
                        job.y[row * job.y_row_stride + column] = exact_result(job, row, column, rules, count);
                    }
                }
                saturated += count;
            });
        }
    }
    if (statistics != nullptr) {
        statistics->saturated += saturated;
        statistics->slow_blocks += slow;
    }
}

float* MatmulScratch::reserve(std::size_t count) {
    constexpr std::size_t line = 16;
    if (memory_.size() < count + line) { memory_.resize(count + line); }
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64 / sizeof(float);
}

}  // namespace pome::kernels
#endif
