// Packing for the products: operands as floats in the order the inner loops read them, with the
// magnitudes that bound their sums. Included once per vector target.

#if defined(POME_KERNELS_MATMUL_PACKING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef POME_KERNELS_MATMUL_PACKING_INL_H_
#undef POME_KERNELS_MATMUL_PACKING_INL_H_
#else
#define POME_KERNELS_MATMUL_PACKING_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/matmul_call.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// With AVX-512 the drop rule is a mask that was made while packing; elsewhere a comparison a step.
#undef POME_DROP_MASKS
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define POME_DROP_MASKS 1
#else
#define POME_DROP_MASKS 0
#endif

constexpr std::int64_t lanes = HWY_LANES(float);
constexpr std::int64_t panel_width = 2 * lanes;
// Rows of a tile, two vectors of accumulators each: as many as the registers hold. With 32
// registers 8 was fastest (10 and 12 made g++ 12 spill).
#if POME_DROP_MASKS || HWY_ARCH_ARM_A64
constexpr std::int64_t block_rows = 8;
#else
constexpr std::int64_t block_rows = 4;
#endif
/// Steps of K that are packed together, through a buffer that stays in the nearest cache, and for
/// which norms are kept.
constexpr std::int64_t packed_steps = 32;

/// The thresholds of the drop rule are the powers of two from 2^-13 to 2^-2: classes 1 to 12, and 0
/// where nothing is dropped. Words of a mask each, for a step of K: as many as fill a line.
constexpr std::int64_t drop_classes = 12, drop_words = POME_DROP_MASKS ? 16 : 0;
/// Rows of a from which on masks spare more than making them costs: attention's 256 are too few.
constexpr std::int64_t drop_mask_rows = 512;
/// The float whose exponent field, less this, is the class of a threshold.
constexpr std::uint32_t drop_class_bias = 127 - 14;

/// K rounded up to whole lines: packed pieces start on lines of their own.
inline std::int64_t padded(std::int64_t inner) {
    return (inner + 15) / 16 * 16;
}

/// Norms of a packed row or column, in whole lines.
inline std::int64_t norms_size(std::int64_t inner) {
    return padded((inner + packed_steps - 1) / packed_steps);
}

/// Whether a product's drop rule is done by masks.
template <class Kernel>
inline bool has_masks(const MatmulJob& job) {
    return POME_DROP_MASKS && Kernel::bounded && job.a.rows >= drop_mask_rows;
}

/// The threshold of a class.
HWY_INLINE float threshold_of(std::uint32_t drop_class) {
    return drop_class == 0 ? 0.0F : std::bit_cast<float>((drop_class + drop_class_bias) << 23);
}

#if HWY_TARGET != HWY_SCALAR
/// 8 columns of up to 8 rows that lie `stride` apart: column i to to + i * width, 8 or 4 elements.
template <std::int64_t width>
inline void transpose(const fp16* from, std::int64_t stride, std::int64_t rows, std::uint16_t* to) {
    const hn::FixedTag<std::uint16_t, 8> d;
    const hn::FixedTag<std::uint32_t, 4> dw;
    const hn::FixedTag<std::uint64_t, 2> dq;
    hn::Vec<decltype(d)> row[8];
    for (std::int64_t r = 0; r < 8; ++r) {
        row[r] = r < rows ? hn::LoadU(d, &from[r * stride].bits) : hn::Zero(d);
    }
    hn::Vec<decltype(dw)> pairs[2][4];  // [columns 0-3, 4-7][rows 2i and 2i + 1]
    for (int i = 0; i < 4; ++i) {
        pairs[0][i] = hn::BitCast(dw, hn::InterleaveLower(d, row[2 * i], row[2 * i + 1]));
        pairs[1][i] = hn::BitCast(dw, hn::InterleaveUpper(d, row[2 * i], row[2 * i + 1]));
    }
    for (int i = 0; i < 4; ++i) {  // columns 2i and 2i + 1
        const auto& part = pairs[i / 2];
        const bool lower = i % 2 == 0;
        const auto first = lower ? hn::InterleaveLower(dw, part[0], part[1])
                                 : hn::InterleaveUpper(dw, part[0], part[1]);
        const auto second = lower ? hn::InterleaveLower(dw, part[2], part[3])
                                  : hn::InterleaveUpper(dw, part[2], part[3]);
        const auto f = hn::BitCast(dq, first), s = hn::BitCast(dq, second);
        const auto even = hn::BitCast(d, hn::InterleaveLower(dq, f, s));
        const auto odd = hn::BitCast(d, hn::InterleaveUpper(dq, f, s));
        if constexpr (width >= 8) {
            hn::StoreU(even, d, to + 2 * i * width);
            hn::StoreU(odd, d, to + (2 * i + 1) * width);
        } else {
            const hn::FixedTag<std::uint16_t, 4> half;
            hn::StoreU(hn::LowerHalf(half, even), half, to + 2 * i * width);
            hn::StoreU(hn::LowerHalf(half, odd), half, to + (2 * i + 1) * width);
        }
    }
}
#endif

/// to[k * width + i] = from[i * stride + k * step] for i < count, 0 for the others, k < steps.
template <std::int64_t width>
inline void gather(const fp16* from, std::int64_t stride, std::int64_t step, std::int64_t count,
                   std::int64_t steps, std::uint16_t* to) {
    std::int64_t k = 0;
    if (stride == 1 && count == width) {
        for (; k < steps; ++k) {
            std::memcpy(to + k * width, from + k * step, 2 * width);
        }
    }
#if HWY_TARGET != HWY_SCALAR
    if (k == 0 && step == 1) {
        for (; k + 8 <= steps; k += 8) {
            for (std::int64_t i = 0; i < width; i += 8) {
                const std::int64_t rows = std::clamp<std::int64_t>(count - i, 0, 8);
                transpose<width>(from + i * stride + k, stride, rows, to + k * width + i);
            }
        }
    }
#endif
    for (; k < steps; ++k) {
        for (std::int64_t i = 0; i < width; ++i) {
            to[k * width + i] = i < count ? from[i * stride + k * step].bits : std::uint16_t{0};
        }
    }
}

/// fp16 bits to floats, exact. An exponent of 31 is an ordinary one (infinity is 2^16, as the
/// engine reads it), or with `ieee` stands for infinities and NaN.
template <bool ieee>
HWY_INLINE hn::Vec<hn::ScalableTag<float>> decode(const std::uint16_t* from) {
    const hn::ScalableTag<float> d;
    const hn::ScalableTag<std::uint32_t> du;
    const hn::Rebind<std::uint16_t, decltype(d)> dh;
    const auto bits = hn::PromoteTo(du, hn::Load(dh, from));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7FFFU)));
    // Subnormals become subnormal floats; the product with a power of two puts all exponents right.
    auto value = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112F));
    if constexpr (ieee) {
        const auto special = hn::Ge(value, hn::Set(d, 65536.0F));
        const auto all = hn::BitCast(d, hn::Set(du, 0x7F800000U));
        value = hn::Or(value, hn::IfThenElseZero(special, all));
    }
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000U)));
    return hn::Or(value, hn::BitCast(d, sign));
}

/// One panel of b, packed.
struct PackedColumns {
    float* values;    ///< [k][column]
    float* smallest;  ///< [k], the smallest magnitude but zero, a large number if all are zero
    float* norms;     ///< [k / packed_steps], the largest norm of a column's part
    float* masks;     ///< [k][class], bits: which columns a threshold of that class keeps; or null
    float largest;    ///< magnitude
};

#if POME_DROP_MASKS
/// The masks of one step: bit i of word c tells whether |b[i]| is at least threshold c, for b not
/// zero.
HWY_INLINE void drop_masks(hn::Vec<hn::ScalableTag<float>> m0, hn::Vec<hn::ScalableTag<float>> m1,
                           float smallest, float* masks) {
    const hn::ScalableTag<float> d;
    // Through the cache line itself: a copy on the stack would be read before it is stored.
    hn::Store(hn::BitCast(d, hn::Set(hn::ScalableTag<std::uint32_t>(), ~0U)), d, masks);
    const auto exponent = std::bit_cast<std::uint32_t>(smallest) >> 23;
    // The first threshold above the smallest magnitude: those before keep everything.
    std::uint32_t c =
        std::clamp<std::uint32_t>(exponent, drop_class_bias, 255) - drop_class_bias + 1;
    for (; c <= drop_classes; ++c) {
        const auto t = hn::Set(d, std::bit_cast<float>((c + drop_class_bias) << 23));
        const std::uint32_t word = static_cast<std::uint32_t>(hn::Ge(m0, t).raw) |
                                   static_cast<std::uint32_t>(hn::Ge(m1, t).raw) << 16;
        std::memcpy(masks + c, &word, sizeof word);
    }
}
#endif

/// Floats that a panel takes; without bounds the values alone.
template <class Kernel>
inline std::int64_t packed_columns_size(std::int64_t inner, bool masked) {
    const std::int64_t values = panel_width * padded(inner);
    return Kernel::bounded
               ? values + (masked ? drop_words + 1 : 1) * padded(inner) + norms_size(inner)
               : values;
}

/// Columns [first, first + panel_width) of b, zeros beyond its end, into `memory`; `masked`: with
/// masks.
template <class Kernel>
inline PackedColumns pack_columns(const Matrix& b, std::int64_t first, bool masked, float* memory) {
    const hn::ScalableTag<float> d;
    HWY_ALIGN std::uint16_t halves[packed_steps * panel_width];
    const std::int64_t count = std::min(panel_width, b.columns - first);
    float* masks = memory + panel_width * padded(b.rows);
    float* smallest = masks + (masked ? drop_words * padded(b.rows) : 0);
    const PackedColumns packed{memory, smallest, smallest + padded(b.rows),
                               masked ? masks : nullptr, 0.0F};
    const auto nothing = hn::Set(d, 1e30F), zero = hn::Zero(d);
    auto largest = zero;
    for (std::int64_t from = 0; from < b.rows; from += packed_steps) {
        const std::int64_t steps = std::min(packed_steps, b.rows - from);
        gather<panel_width>(b.data + from * b.row_stride + first * b.column_stride, b.column_stride,
                            b.row_stride, count, steps, halves);
        auto n0 = zero, n1 = zero;
        for (std::int64_t k = 0; k < steps; ++k) {
            const auto v0 = decode<Kernel::ieee>(halves + k * panel_width);
            const auto v1 = decode<Kernel::ieee>(halves + k * panel_width + lanes);
            float* row = packed.values + (from + k) * panel_width;
            hn::Store(v0, d, row);
            hn::Store(v1, d, row + lanes);
            if constexpr (Kernel::bounded) {
                const auto m0 = hn::Abs(v0), m1 = hn::Abs(v1);
                n0 = hn::MulAdd(v0, v0, n0);
                n1 = hn::MulAdd(v1, v1, n1);
                largest = hn::Max(largest, hn::Max(m0, m1));
                const auto least = hn::Min(hn::IfThenElse(hn::Eq(m0, zero), nothing, m0),
                                           hn::IfThenElse(hn::Eq(m1, zero), nothing, m1));
                packed.smallest[from + k] = hn::GetLane(hn::MinOfLanes(d, least));
#if POME_DROP_MASKS
                if (masked) {
                    drop_masks(m0, m1, packed.smallest[from + k],
                               packed.masks + (from + k) * drop_words);
                }
#endif
            }
        }
        if constexpr (Kernel::bounded) {
            const float norm = hn::GetLane(hn::MaxOfLanes(d, hn::Max(n0, n1)));
            packed.norms[from / packed_steps] = std::sqrt(norm);
        }
    }
    PackedColumns result = packed;
    result.largest = hn::GetLane(hn::MaxOfLanes(d, largest));
    return result;
}

/// block_rows rows of a, packed. All but the factors is of bounded kernels only.
struct PackedRows {
    float* factors;         ///< [k][row], as Kernel::factor makes them
    float* limits;          ///< [k][row], as Kernel::limit makes them; null with masks, ...
    std::uint8_t* classes;  ///< ... where their classes do: [k][row]
    float* top;             ///< [k], the largest limit
    float* norms;           ///< [k / packed_steps], the largest norm of a row's part
    float largest;          ///< magnitude

    HWY_INLINE float limit(std::int64_t k, std::int64_t row) const {
        const std::int64_t i = k * block_rows + row;
        return limits != nullptr ? limits[i] : threshold_of(classes[i]);
    }
};

/// Floats that limits or classes take.
inline std::int64_t limits_size(std::int64_t inner, bool masked) {
    const std::int64_t all = block_rows * padded(inner);
    return masked ? all / static_cast<std::int64_t>(sizeof(float)) : all;
}

/// Floats that a block of rows takes.
template <class Kernel>
inline std::int64_t packed_rows_size(std::int64_t inner, bool masked) {
    const std::int64_t factors = block_rows * padded(inner);
    return Kernel::bounded
               ? factors + limits_size(inner, masked) + padded(inner) + norms_size(inner)
               : factors;
}

/// The classes of thresholds.
HWY_INLINE void store_classes(hn::Vec<hn::ScalableTag<float>> limits, std::uint8_t* to) {
#if POME_DROP_MASKS
    const hn::ScalableTag<std::int32_t> d;
    const hn::Rebind<std::uint8_t, decltype(d)> d8;
    const auto bias = hn::Set(d, static_cast<std::int32_t>(drop_class_bias));
    const auto exponent = hn::ShiftRight<23>(hn::BitCast(d, limits));
    hn::StoreU(hn::DemoteTo(d8, hn::Sub(hn::Max(exponent, bias), bias)), d8, to);
#else
    static_cast<void>(limits);
    static_cast<void>(to);
#endif
}

/// The largest norm among rows whose elements' squares were summed in lanes block_rows apart.
template <class V>
inline float largest_norm(const V* squares, std::int64_t vectors) {
    const hn::ScalableTag<float> d;
    HWY_ALIGN float sums[block_rows > lanes ? block_rows : lanes];
    for (std::int64_t j = 0; j < vectors; ++j) {
        hn::Store(squares[j], d, sums + j * lanes);
    }
    float largest = 0.0F;
    for (std::int64_t r = 0; r < block_rows; ++r) {
        float norm = 0.0F;
        for (std::int64_t i = r; i < vectors * lanes; i += block_rows) {
            norm += sums[i];
        }
        largest = std::max(largest, norm);
    }
    return std::sqrt(largest);
}

/// top[k] = max over rows of limits[k][row].
inline void find_tops(const float* limits, std::int64_t inner, float* top) {
    const hn::CappedTag<float, block_rows> d;
    constexpr std::int64_t part = lanes < block_rows ? lanes : block_rows;
    for (std::int64_t k = 0; k < inner; ++k) {
        auto limit = hn::Load(d, limits + k * block_rows);
        for (std::int64_t i = part; i < block_rows; i += part) {
            limit = hn::Max(limit, hn::Load(d, limits + k * block_rows + i));
        }
        top[k] = hn::GetLane(hn::MaxOfLanes(d, limit));
    }
}

/// The same of classes [k][row]; both are padded to whole lines.
inline void find_tops(const std::uint8_t* classes, std::int64_t inner, float* top) {
#if POME_DROP_MASKS
    static_assert(block_rows == 8);
    for (std::int64_t k = 0; k < inner; k += 8) {  // a step's classes are a 64-bit lane
        __m512i largest = _mm512_loadu_si512(classes + k * block_rows);
        largest = _mm512_max_epu8(largest, _mm512_srli_epi64(largest, 32));
        largest = _mm512_max_epu8(largest, _mm512_srli_epi64(largest, 16));
        largest = _mm512_max_epu8(largest, _mm512_srli_epi64(largest, 8));
        const __m256i of_steps =
            _mm256_and_si256(_mm512_cvtepi64_epi32(largest), _mm256_set1_epi32(0xFF));
        const __m256i exponents = _mm256_slli_epi32(
            _mm256_add_epi32(of_steps, _mm256_set1_epi32(static_cast<int>(drop_class_bias))), 23);
        const __mmask8 any = _mm256_test_epi32_mask(of_steps, of_steps);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(top + k),
                            _mm256_maskz_mov_epi32(any, exponents));
    }
#else
    static_cast<void>(classes);
    static_cast<void>(inner);
    static_cast<void>(top);
#endif
}

/// Rows [first, first + block_rows) of a, zeros beyond its end, into `memory`; `masked`: with
/// classes instead of limits.
template <class Kernel>
inline PackedRows pack_rows(const Matrix& a, std::int64_t first, bool masked, float* memory) {
    const hn::ScalableTag<float> d;
    constexpr std::int64_t period = block_rows > lanes ? block_rows / lanes : 1;
    const std::int64_t inner = a.columns, count = std::min(block_rows, a.rows - first);
    float* limits = memory + block_rows * padded(inner);
    float* top = limits + limits_size(inner, masked);
    PackedRows packed{memory,
                      masked ? nullptr : limits,
                      masked ? reinterpret_cast<std::uint8_t*>(limits) : nullptr,
                      top,
                      top + padded(inner),
                      0.0F};
    HWY_ALIGN std::uint16_t halves[packed_steps * block_rows];
    auto largest = hn::Zero(d);
    for (std::int64_t from = 0; from < inner; from += packed_steps) {
        const std::int64_t steps = std::min(packed_steps, inner - from);
        gather<block_rows>(a.data + first * a.row_stride + from * a.column_stride, a.row_stride,
                           a.column_stride, count, steps, halves);
        const std::int64_t end = padded(steps) * block_rows;  // rows are padded to this
        std::fill(halves + steps * block_rows, halves + end, std::uint16_t{0});
        hn::Vec<decltype(d)> squares[period];
        for (auto& square : squares) {
            square = hn::Zero(d);
        }
        for (std::int64_t i = 0; i < end; i += period * lanes) {
            for (std::int64_t j = 0; j < period; ++j) {
                const auto v = decode<Kernel::ieee>(halves + i + j * lanes);
                const std::int64_t at = from * block_rows + i + j * lanes;
                hn::Store(Kernel::factor(v), d, packed.factors + at);
                if constexpr (Kernel::bounded) {
                    squares[j] = hn::MulAdd(v, v, squares[j]);
                    largest = hn::Max(largest, hn::Abs(v));
                    const auto limit = Kernel::limit(v);
                    if (masked) {
                        store_classes(limit, packed.classes + at);
                    } else {
                        hn::Store(limit, d, packed.limits + at);
                    }
                }
            }
        }
        if constexpr (Kernel::bounded) {
            packed.norms[from / packed_steps] = largest_norm(squares, period);
        }
    }
    if constexpr (Kernel::bounded) {
        masked ? find_tops(packed.classes, inner, packed.top)
               : find_tops(packed.limits, inner, packed.top);
        packed.largest = hn::GetLane(hn::MaxOfLanes(d, largest));
    }
    return packed;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
