// The engine's fixed-point products on CPU vectors.
//
// The quick way. With a and b held as floats, p = a * b is exact (22 bits). The unit in the last
// place of floats in [128, 256) is 2^-16. So fma(a', b, c), with c a multiple of 2^-16 there, is c
// plus p rounded to a multiple of 2^-16, exact as long as it stays there: a sum that starts at 192
// and stays within 63 of it is the engine's sum, one FMA a product (Direct). Norms of 32 steps of K
// bound it (Cauchy-Schwarz). Where they do not, every product starts at 192 again and the bits,
// those of 192 plus p * 2^16, are summed as integers, modulo 2^32 (Anchored); this needs |p| < 63
// alone.
//
// a' is a moved one unit in the last place of a float away from zero, so that ties, which the FMA
// would round to even, round away. That changes nothing else. Let s = e(a) + e(b), subnormals
// counted as -14; then p is a multiple of 2^(s-20), and the move changes it by less than
// 2^(e(a)-23) * 2^(e(b)+1) = 2^(s-22). Kept products have s >= -16.
//   s <= 3: ties, odd multiples of 2^-17, are multiples of 2^(s-20) too, so a p that is no tie is
//   at
//           least 2^(s-20) away from every tie: further than it moves.
//   s >= 4: p is a multiple of 2^-16, half a unit away from every tie, and moves by less than
//           2^(5-22) = 2^-17, because |p| < 64 means s <= 5.
//
// The drop rule, s <= -17, is one comparison: keep where |b| >= t(a), t = 2^(-16 - e(a)) for
// e(a) <= -3 and 0 above (then even subnormals are kept) and for a = 0. Zeros of b contribute
// nothing either way. The order of the sum is free, so the k for which no product of a tile can be
// dropped (the smallest |b| but zero is not below the largest t) are done without comparisons.
// Thresholds are powers of two, so exponents decide: with AVX-512 b is packed with its exponents as
// bytes, of which one instruction compares 32. Registers of masks are slower than FMAs (a step in
// which every product has one takes 1.65 times as long on a Zen 5, one with 8 of 16 as long as
// without), so halves of the rows are looked at apart, and steps with masks everywhere are mixed
// with steps without.
//
// Bounds make the sum safe at every moment: any partial sum is at most |a| |b| (norms) + (K + 1) /
// 2 units + |bias| < 2^15. Where only |p| < 64 fails, the wide way rounds in units by adding one
// half and cutting off. Where the bound on sums fails, the ordered way works in double precision
// with k ascending. All three read exponent-31 operands as ordinary numbers: they are packed so.

// Vectors whose size the compiler does not know cannot be kept in arrays of registers.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include <cmath>

#include "kernels/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_exact.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/fixed_point-inl.h"
#include "kernels/matmul_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::Vec<hn::ScalableTag<float>>;
using Integers = hn::Vec<hn::ScalableTag<std::int32_t>>;

constexpr float anchor = 192.0F;
constexpr std::int32_t anchor_bits = 0x43400000;  // its bits
constexpr double units = 65536.0;
constexpr double sum_limit = 32768.0 * units;

/// a one unit further from zero; zero stays.
HWY_INLINE Floats nudge(Floats a) {
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const auto moved = hn::BitCast(d, hn::Add(hn::BitCast(du, a), hn::Set(du, 1)));
    return hn::IfThenElse(hn::Eq(a, hn::Zero(d)), a, moved);
}

inline float unnudged(float a) {
    return a == 0.0F ? a : std::bit_cast<float>(std::bit_cast<std::uint32_t>(a) - 1);
}

/// t(a): products with |b| below it are dropped.
HWY_INLINE Floats drop_threshold(Floats a) {
    const hn::ScalableTag<float> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    // As a float, the power of two of a, at least 2^-14; t = 2^-16 / it: exponent fields subtract.
    const auto power = hn::And(hn::BitCast(du, a), hn::Set(du, 0x7F800000U));
    const auto clamped = hn::Max(power, hn::Set(du, (127U - 14U) << 23));
    const auto t = hn::BitCast(d, hn::Sub(hn::Set(du, (127U + 127U - 16U) << 23), clamped));
    const auto needed = hn::And(hn::Gt(t, hn::Set(d, 0x1p-14F)), hn::Ne(a, hn::Zero(d)));
    return hn::IfThenElseZero(needed, t);
}

/// keep ? a * b + c : c
template <class M>
HWY_INLINE Floats kept_product(M keep, Floats a, Floats b, Floats c) {
#if POME_DROP_CLASSES
    return Floats{_mm512_mask3_fmadd_ps(a.raw, b.raw, c.raw, keep.raw)};
#else
    return hn::IfThenElse(keep, hn::MulAdd(a, b, c), c);
#endif
}

#if POME_DROP_CLASSES

/// Some steps of a slice, as bits, that are taken one by one.
class Steps {
  public:
    HWY_INLINE Steps(std::uint64_t first, std::uint64_t second) : first_(first), second_(second) {}

    HWY_INLINE int count() const {
        return __builtin_popcountll(first_) + __builtin_popcountll(second_);
    }
    /// The next one; there must be one.
    HWY_INLINE std::int64_t take() {
        // No branch: it could not be foretold.
        const bool is_over = first_ == 0;
        first_ = is_over ? second_ : first_;
        base_ = is_over ? 64 : base_;
        second_ = is_over ? 0 : second_;
        const std::int64_t step = base_ + __builtin_ctzll(first_);
        first_ &= first_ - 1;
        return step;
    }

  private:
    std::uint64_t first_, second_;
    std::int64_t base_ = 0;
};

/// The k of a slice by the parts of rows of which products of the tile may be dropped.
struct Order {
    Steps plain{0, 0}, all{0, 0}, first{0, 0}, second{0, 0};

    HWY_INLINE Order(const PackedRows& rows, const PackedColumns& columns, std::int64_t begin,
                     std::int64_t steps) {
        constexpr std::int64_t wide = 64;
        static_assert(slice_steps == 2 * wide && row_parts == 2);
        std::uint64_t inside[2], dropping[2][2];
        for (std::int64_t i = 0; i < 2; ++i) {
            const std::int64_t rest = std::clamp<std::int64_t>(steps - i * wide, 0, wide);
            inside[i] = rest == 0 ? 0 : ~std::uint64_t{0} >> (wide - rest);
            const std::int64_t at = begin + i * wide;
            const __m512i smallest = _mm512_maskz_loadu_epi8(inside[i], columns.smallest + at);
            for (int part = 0; part < 2; ++part) {
                dropping[part][i] = _mm512_mask_cmplt_epu8_mask(
                    inside[i], smallest, _mm512_maskz_loadu_epi8(inside[i], rows.tops[part] + at));
            }
        }
        const auto take = [&](const auto& rule) HWY_ATTR __attribute__((always_inline)) {
            return Steps(rule(dropping[0][0], dropping[1][0]) & inside[0],
                         rule(dropping[0][1], dropping[1][1]) & inside[1]);
        };
        plain = take([](std::uint64_t a, std::uint64_t b) { return ~(a | b); });
        all = take([](std::uint64_t a, std::uint64_t b) { return a & b; });
        first = take([](std::uint64_t a, std::uint64_t b) { return a & ~b; });
        second = take([](std::uint64_t a, std::uint64_t b) { return ~a & b; });
    }
};

#else

/// 0, 1, 2, ...: Highway's own Iota passes through memory each time.
struct Counting {
    alignas(64) std::uint32_t values[slice_steps] = {};
    constexpr Counting() {
        for (std::uint32_t i = 0; i < slice_steps; ++i) {
            values[i] = i;
        }
    }
};
constexpr Counting counting;

/// The k of a slice for which no product of the tile can be dropped, and the others.
struct Order {
    std::int64_t plain = 0, masked = 0;
    HWY_ALIGN std::uint32_t plain_steps[slice_steps + 16];
    HWY_ALIGN std::uint32_t masked_steps[slice_steps + 16];

    HWY_INLINE Order(const PackedRows& rows, const PackedColumns& columns, std::int64_t begin,
                     std::int64_t steps) {
        const std::uint8_t* smallest = columns.smallest + begin;
        const std::uint8_t* top = rows.tops[0] + begin;
        const hn::ScalableTag<std::uint32_t> du;
        const hn::ScalableTag<std::int32_t> di;
        const hn::Rebind<std::uint8_t, decltype(du)> d8;
        for (std::int64_t k = 0; k < steps; k += lanes) {
            const auto inside =
                hn::FirstN(du, static_cast<std::size_t>(std::min(lanes, steps - k)));
            const auto dropping =
                hn::RebindMask(du, hn::Lt(hn::PromoteTo(di, hn::LoadU(d8, smallest + k)),
                                          hn::PromoteTo(di, hn::LoadU(d8, top + k))));
            const auto index = hn::Load(du, counting.values + k);
            const auto first = hn::AndNot(dropping, inside), second = hn::And(inside, dropping);
            hn::StoreU(hn::Compress(index, first), du, plain_steps + plain);
            hn::StoreU(hn::Compress(index, second), du, masked_steps + masked);
            plain += static_cast<std::int64_t>(hn::CountTrue(du, first));
            masked += static_cast<std::int64_t>(hn::CountTrue(du, second));
        }
    }
};

#endif  // POME_DROP_CLASSES

/// Sums of a tile as floats in [128, 256).
struct Direct {
    Floats sums[block_rows][2];

    HWY_INLINE explicit Direct(std::int64_t) {
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            sums[r][0] = sums[r][1] = hn::Set(hn::ScalableTag<float>(), anchor);
        }
    }

    HWY_INLINE void add(int r, int v, Floats a, Floats b) {
        sums[r][v] = hn::MulAdd(a, b, sums[r][v]);
    }

    template <class M>
    HWY_INLINE void add_kept(int r, int v, M keep, Floats a, Floats b) {
        sums[r][v] = kept_product(keep, a, b, sums[r][v]);
    }

    HWY_INLINE Integers result(int r, int v) const {
        const hn::ScalableTag<std::int32_t> d;
        return hn::Sub(hn::BitCast(d, sums[r][v]), hn::Set(d, anchor_bits));
    }
};

/// Sums of a tile as integers, modulo 2^32.
struct Anchored {
    Integers sums[block_rows][2];
    Floats anchors = hn::Set(hn::ScalableTag<float>(), anchor);

    HWY_INLINE explicit Anchored(std::int64_t steps) {
        const hn::ScalableTag<std::int32_t> d;
        const auto base =
            static_cast<std::uint32_t>(steps) * static_cast<std::uint32_t>(anchor_bits);
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            sums[r][0] = sums[r][1] = hn::Set(d, static_cast<std::int32_t>(0U - base));
        }
    }

    HWY_INLINE void add(int r, int v, Floats a, Floats b) { put(r, v, hn::MulAdd(a, b, anchors)); }

    template <class M>
    HWY_INLINE void add_kept(int r, int v, M keep, Floats a, Floats b) {
        put(r, v, kept_product(keep, a, b, anchors));
    }

    HWY_INLINE void put(int r, int v, Floats product) {
        const hn::ScalableTag<std::int32_t> d;
        sums[r][v] = hn::Add(sums[r][v], hn::BitCast(d, product));
    }

    HWY_INLINE Integers result(int r, int v) const { return sums[r][v]; }
};

/// One step of K for which no product is dropped.
template <class Tile>
HWY_INLINE void add_plain_step(Tile& tile, const PackedRows& rows, const PackedColumns& columns,
                               std::int64_t k) {
    const hn::ScalableTag<float> d;
    const auto b0 = hn::Load(d, columns.values + k * panel_width),
               b1 = hn::Load(d, columns.values + k * panel_width + lanes);
    POME_UNROLL
    for (int r = 0; r < block_rows; ++r) {
        const auto a = hn::Set(d, rows.factors[k * block_rows + r]);
        tile.add(r, 0, a, b0);
        tile.add(r, 1, a, b1);
    }
}

#if POME_DROP_CLASSES

/// One step of K for which products of the first half of the rows, or of the second, may be
/// dropped.
template <bool first_half, bool second_half, class Tile>
HWY_INLINE void add_dropping_step(Tile& tile, const PackedRows& rows, const PackedColumns& columns,
                                  std::int64_t k) {
    const hn::ScalableTag<float> d;
    const auto b0 = hn::Load(d, columns.values + k * panel_width),
               b1 = hn::Load(d, columns.values + k * panel_width + lanes);
    const auto* at = reinterpret_cast<const __m256i*>(columns.classes + k * panel_width);
    const __m256i classes = _mm256_load_si256(at);
    POME_UNROLL
    for (int r = 0; r < block_rows; ++r) {
        const auto a = hn::Set(d, rows.factors[k * block_rows + r]);
        if (r < block_rows / 2 ? first_half : second_half) {
            const auto limit = static_cast<char>(rows.classes[k * block_rows + r]);
            const __mmask32 both = _mm256_cmpge_epu8_mask(classes, _mm256_set1_epi8(limit));
            using Mask = hn::Mask<decltype(d)>;
            tile.add_kept(r, 0, Mask{static_cast<__mmask16>(both)}, a, b0);
            tile.add_kept(r, 1, Mask{static_cast<__mmask16>(_kshiftri_mask32(both, 16))}, a, b1);
        } else {
            tile.add(r, 0, a, b0);
            tile.add(r, 1, a, b1);
        }
    }
}

/// Masks take their time beside products: steps with many are mixed with steps without.
template <class Tile>
HWY_INLINE void add_in_order(Tile& tile, Order& order, const PackedRows& rows,
                             const PackedColumns& columns, std::int64_t begin) {
    const int plain = order.plain.count(), all = order.all.count(), pairs = std::min(plain, all);
    for (int i = 0; i < pairs; ++i) {
        add_dropping_step<true, true>(tile, rows, columns, begin + order.all.take());
        add_plain_step(tile, rows, columns, begin + order.plain.take());
    }
    for (int i = pairs; i < plain; ++i) {
        add_plain_step(tile, rows, columns, begin + order.plain.take());
    }
    for (int i = pairs; i < all; ++i) {
        add_dropping_step<true, true>(tile, rows, columns, begin + order.all.take());
    }
    for (int i = order.first.count(); i > 0; --i) {
        add_dropping_step<true, false>(tile, rows, columns, begin + order.first.take());
    }
    for (int i = order.second.count(); i > 0; --i) {
        add_dropping_step<false, true>(tile, rows, columns, begin + order.second.take());
    }
}

#else

template <class Tile>
HWY_INLINE void add_in_order(Tile& tile, const Order& order, const PackedRows& rows,
                             const PackedColumns& columns, std::int64_t begin) {
    const hn::ScalableTag<float> d;
    for (std::int64_t i = 0; i < order.plain; ++i) {
        add_plain_step(tile, rows, columns, begin + order.plain_steps[i]);
    }
    for (std::int64_t i = 0; i < order.masked; ++i) {
        const std::int64_t k = begin + order.masked_steps[i];
        const auto b0 = hn::Load(d, columns.values + k * panel_width),
                   b1 = hn::Load(d, columns.values + k * panel_width + lanes);
        const auto m0 = hn::Abs(b0), m1 = hn::Abs(b1);
        POME_UNROLL
        for (int r = 0; r < block_rows; ++r) {
            const auto a = hn::Set(d, rows.factors[k * block_rows + r]);
            const auto limit = hn::Set(d, rows.limits[k * block_rows + r]);
            tile.add_kept(r, 0, hn::Ge(m0, limit), a, b0);
            tile.add_kept(r, 1, hn::Ge(m1, limit), a, b1);
        }
    }
}

#endif  // POME_DROP_CLASSES

/// Adds the products of steps [first, first + steps) of K to sums[row][column]; the first ones of
/// all are the sums.
template <class Tile>
HWY_NOINLINE void add_steps(const PackedRows& rows, const PackedColumns& columns,
                            std::int64_t first, std::int64_t steps, std::int32_t* sums) {
    const hn::ScalableTag<std::int32_t> di;
    Order order(rows, columns, first, steps);
    Tile tile(steps);
    add_in_order(tile, order, rows, columns, first);
    POME_UNROLL
    for (int r = 0; r < block_rows; ++r) {
        std::int32_t* row = sums + r * panel_width;
        auto low = tile.result(r, 0), high = tile.result(r, 1);
        if (first > 0) {
            low = hn::Add(hn::Load(di, row), low);
            high = hn::Add(hn::Load(di, row + lanes), high);
        }
        hn::Store(low, di, row);
        hn::Store(high, di, row + lanes);
    }
}

/// At least the largest sum of magnitudes of rounded products over steps [k, k + steps).
inline float bound(const PackedRows& rows, const PackedColumns& columns, std::int64_t k,
                   std::int64_t steps) {
    float sum = 0.0F;
    for (std::int64_t i = k / packed_steps; i * packed_steps < k + steps; ++i) {
        sum += rows.norms[i] * columns.norms[i];
    }
    // Each norm of 32 floats is off by parts in 2^19, a sum of N terms by less than N parts in
    // 2^24; products were rounded by at most half a unit.
    const float slack = 1.001F + static_cast<float>(steps) * 0x1p-24F;
    return sum * slack + static_cast<float>(steps) * 0x1p-17F;
}

/// The bias in units: the first value of the sum. NaN counts as +infinity.
inline double bias_units(float bias) {
    if (std::isnan(bias)) {
        return HUGE_VAL;
    }
    return std::round(static_cast<double>(bias) * units);
}

struct ExactKernel {
    using Sum = std::int32_t;
    using Rows = PackedRows;
    static constexpr bool bounded = true;
    static constexpr bool ieee = false;

    static HWY_INLINE Floats factor(Floats a) { return nudge(a); }
    static HWY_INLINE Floats limit(Floats a) { return drop_threshold(a); }
#if POME_DROP_CLASSES
    /// The class of limit() of each fp16 element with an exponent of at most 30: 13 less the
    /// exponent field, at least 0; none for zero.
    static HWY_INLINE __m512i limit_classes(__m512i bits) {
        const __m512i classes = _mm512_subs_epu16(
            _mm512_set1_epi16(13), _mm512_max_epu16(exponent_bits(bits), _mm512_set1_epi16(1)));
        return _mm512_maskz_mov_epi16(_mm512_test_epi16_mask(bits, _mm512_set1_epi16(0x7FFF)),
                                      classes);
    }
#endif
    static std::int64_t rows_size(std::int64_t inner) {
        return packed_rows_size(inner);
    }
    static PackedRows pack_rows(const Matrix& a, std::int64_t first, float* memory) {
        return pack_bounded_rows<ExactKernel>(a, first, memory);
    }
    static PackedColumns pack_panel(const MatmulJob& job, std::int64_t first, float* memory) {
        return pack_columns<ExactKernel>(job.b, first, memory);
    }

    /// How a block of rows goes against a panel.
    struct Course {
        Way way = Way::quick;
        bool direct = false;  ///< the quick way, none of whose sums leaves [128, 256)
    };

    static Course course(const PackedRows& rows, const PackedColumns& columns, const float* bias,
                         std::int64_t count, std::int64_t inner) {
        const float products = bound(rows, columns, 0, inner);
        double sum = static_cast<double>(products) + 0x1p-17;
        double first = 0.0;
        for (std::int64_t r = 0; bias != nullptr && r < count; ++r) {
            first = std::max(first, std::fabs(bias_units(bias[r])) / units);
        }
        sum += first;
        if (sum >= 32767.0) {
            return {Way::ordered};
        }
        const double product =
            static_cast<double>(rows.largest) * static_cast<double>(columns.largest);
        if (!HWY_NATIVE_FMA || product >= 63.0) {
            return {Way::wide};
        }
        return {Way::quick, products < 63.0F};
    }

    static void add_slice(bool direct, const PackedRows& rows, const PackedColumns& columns,
                          std::int64_t k, std::int64_t steps, Sum* sums) {
        const bool whole = direct || bound(rows, columns, k, steps) < 63.0F;
        const std::int64_t part = whole ? steps : packed_steps;
        for (const std::int64_t end = k + steps; k < end; k += part) {
            const std::int64_t now = std::min(part, end - k);
            const auto add = whole || bound(rows, columns, k, now) < 63.0F ? add_steps<Direct>
                                                                           : add_steps<Anchored>;
            add(rows, columns, k, now, sums);
        }
    }

    /// Row r of the block by the wide way: products rounded in units. No |p| reaches 2^15 here. p
    /// in units has 22 bits, so p + 1/2 is exact below 2^23 but for values under 1/2, which stay
    /// below 1; above, p is a multiple of 4 and rounds back to itself.
    static HWY_INLINE void wide_row(const PackedRows& rows, const PackedColumns& columns,
                                    std::int64_t inner, std::int64_t r, Sum* sums) {
        const hn::ScalableTag<float> d;
        const hn::ScalableTag<std::int32_t> di;
        Integers sum0 = hn::Zero(di), sum1 = hn::Zero(di);
        const auto half = hn::Set(d, 0.5F);
        for (std::int64_t k = 0; k < inner; ++k) {
            const float factor = unnudged(rows.factors[k * block_rows + r]);
            const auto a = hn::Set(d, factor * 65536.0F);
            const auto limit = hn::Set(d, rows.limit(k, r));
            const auto b0 = hn::Load(d, columns.values + k * panel_width);
            const auto b1 = hn::Load(d, columns.values + k * panel_width + lanes);
            const auto p0 = hn::Mul(a, b0), p1 = hn::Mul(a, b1);
            const auto r0 = hn::Add(p0, hn::CopySign(half, p0));
            const auto r1 = hn::Add(p1, hn::CopySign(half, p1));
            const auto keep0 = hn::Ge(hn::Abs(b0), limit), keep1 = hn::Ge(hn::Abs(b1), limit);
            sum0 = hn::Add(sum0, hn::ConvertTo(di, hn::IfThenElseZero(keep0, r0)));
            sum1 = hn::Add(sum1, hn::ConvertTo(di, hn::IfThenElseZero(keep1, r1)));
        }
        hn::Store(sum0, di, sums);
        hn::Store(sum1, di, sums + lanes);
    }

    /// Row r of the block by the ordered way. Sums are integers below 2^52, exact; one that reaches
    /// the limit stays as it is, so that its sign is that of the first overflow.
    static HWY_NOINLINE std::int64_t ordered_row(const PackedRows& rows,
                                                 const PackedColumns& columns, std::int64_t inner,
                                                 float bias, std::int64_t r, std::int64_t width,
                                                 fp16* out) {
        const hn::ScalableTag<double> d;
        const hn::Rebind<float, decltype(d)> df;
        constexpr std::int64_t parts = panel_width / HWY_LANES(double);
        hn::Vec<decltype(d)> sums[parts];
        const double first = std::clamp(bias_units(bias), -sum_limit, sum_limit);
        const auto half = hn::Set(d, 0.5), limit = hn::Set(d, sum_limit);
        for (auto& sum : sums) {
            sum = hn::Set(d, first);
        }
        for (std::int64_t k = 0; k < inner; ++k) {
            const auto a = hn::Set(d, units * unnudged(rows.factors[k * block_rows + r]));
            const auto threshold = hn::Set(d, rows.limit(k, r));
            const float* row = columns.values + k * panel_width;
            for (std::int64_t i = 0; i < parts; ++i) {
                const auto b = hn::PromoteTo(d, hn::Load(df, row + i * HWY_LANES(double)));
                const auto p = hn::Mul(a, b);
                const auto product = hn::Trunc(hn::Add(p, hn::CopySign(half, p)));
                const auto keep =
                    hn::And(hn::Ge(hn::Abs(b), threshold), hn::Lt(hn::Abs(sums[i]), limit));
                sums[i] = hn::Add(sums[i], hn::IfThenElseZero(keep, product));
            }
        }
        HWY_ALIGN double results[panel_width];
        for (std::int64_t i = 0; i < parts; ++i) {
            hn::Store(sums[i], d, results + i * HWY_LANES(double));
        }
        std::int64_t saturated = 0;
        for (std::int64_t c = 0; c < width; ++c) {
            const double sum = results[c];
            fp16 result = to_fp16(sum / units, Rounding::nearest_away);
            if ((result.bits & 0x7FFF) >= 0x7800) {  // 2^15, also by rounding up
                result.bits = sum < 0 ? 0xFC00 : 0x7C00;
                ++saturated;
            }
            out[c] = sum == 0.0 ? fp16{0} : result;
        }
        return saturated;
    }

    /// Results of a block, row r to y + r * stride; returns how many became infinite.
    static std::int64_t finish(Way way, const PackedRows& rows, const PackedColumns& columns,
                               std::int64_t inner, const float* bias, std::int64_t count,
                               std::int64_t width, Sum* sums, fp16* y, std::int64_t stride) {
        const hn::ScalableTag<std::int32_t> di;
        std::int64_t saturated = 0;
        for (std::int64_t r = 0; r < count; ++r) {
            const float first = bias != nullptr ? bias[r] : 0.0F;
            fp16* out = y + r * stride;
            if (way == Way::ordered) {
                saturated += ordered_row(rows, columns, inner, first, r, width, out);
                continue;
            }
            Sum* row = sums + r * panel_width;
            if (way == Way::wide) {
                wide_row(rows, columns, inner, r, row);
            }
            const auto offset =
                hn::Set(di, bias != nullptr ? static_cast<std::int32_t>(bias_units(first)) : 0);
            const auto low = hn::Add(hn::Load(di, row), offset),
                       high = hn::Add(hn::Load(di, row + lanes), offset);
#if POME_DROP_CLASSES
            saturated += store_results(low.raw, high.raw, width, out);
#else
            HWY_ALIGN fp16 results[panel_width];
            saturated += store_results(low, std::min(lanes, width), results);
            saturated += store_results(high, width - lanes, results + lanes);
            std::memcpy(out, results, static_cast<std::size_t>(width) * sizeof(fp16));
#endif
        }
        return saturated;
    }

    /// A group of rows against one panel.
    static void multiply_panel(const MatmulCall& call, const MatmulJob& job, const PackedRows* rows,
                               std::int64_t blocks, std::int64_t first_row,
                               const PackedColumns& columns, std::int64_t column) {
        HWY_ALIGN Sum sums[largest_group][block_rows * panel_width];
        std::int64_t saturated = 0, slow = 0;
        Course courses[largest_group];
        const std::int64_t inner = job.a.columns;
        const std::int64_t width = std::min(panel_width, job.b.columns - column);
        const auto bias_of = [&](std::int64_t row) {
            return job.bias != nullptr ? job.bias + row : nullptr;
        };
        for (std::int64_t i = 0; i < blocks; ++i) {
            const std::int64_t row = first_row + i * block_rows;
            courses[i] = course(rows[i], columns, bias_of(row),
                                std::min(block_rows, job.a.rows - row), inner);
        }
        if (inner == 0) {
            std::memset(sums, 0, sizeof sums);
        }
        for (std::int64_t k = 0; k < inner; k += slice_steps) {
            const std::int64_t steps = std::min(slice_steps, inner - k);
            for (std::int64_t i = 0; i < blocks; ++i) {
                if (courses[i].way == Way::quick) {
                    add_slice(courses[i].direct, rows[i], columns, k, steps, sums[i]);
                }
            }
        }
        for (std::int64_t i = 0; i < blocks; ++i) {
            const std::int64_t row = first_row + i * block_rows;
            if (courses[i].way != Way::quick) {
                ++slow;
            }
            saturated += finish(courses[i].way, rows[i], columns, inner, bias_of(row),
                                std::min(block_rows, job.a.rows - row), width, sums[i],
                                job.y + row * job.y_row_stride + column, job.y_row_stride);
        }
        if (saturated > 0) {
            *call.saturated += saturated;
        }
        if (slow > 0) {
            *call.slow_blocks += slow;
        }
    }
};

void multiply_exact(const MatmulCall& call) {
    run_in_rounds<ExactKernel>(call);
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(multiply_exact);

}  // namespace

void matmul_exact(std::span<const MatmulJob> jobs, const Numerics::MultiplyAccumulate& rules,
                  ThreadPool& pool, MatmulScratch& scratch, MatmulStatistics* statistics) {
    std::atomic<std::int64_t> saturated{0}, slow{0};
    if (rules == Numerics::MultiplyAccumulate{}) {
        const MatmulCall call{jobs, &pool, &scratch, &saturated, &slow};
        HWY_DYNAMIC_DISPATCH(multiply_exact)(call);
    } else {
        for (const MatmulJob& job : jobs) {
            pool.for_ranges(job.a.rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
                std::int64_t count = 0;
                for (std::int64_t row = begin; row < end; ++row) {
                    for (std::int64_t column = 0; column < job.b.columns; ++column) {
                        job.y[row * job.y_row_stride + column] =
                            exact_result(job, row, column, rules, count);
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
    if (memory_.size() < count) {
        memory_.resize(count);
    }
    return memory_.data();
}

}  // namespace pome::kernels
#endif
