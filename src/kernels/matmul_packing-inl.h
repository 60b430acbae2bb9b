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
#include "kernels/rounding-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// With AVX-512 the drop rule compares bytes that were made while packing, 32 at once; elsewhere it
// compares the floats.
#undef POME_DROP_CLASSES
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define POME_DROP_CLASSES 1
#else
#define POME_DROP_CLASSES 0
#endif

constexpr std::int64_t lanes = HWY_LANES(float);
constexpr std::int64_t panel_width = 2 * lanes;
// Rows of a tile, two vectors of accumulators each: as many as the registers hold. With 32
// registers 8 was fastest (10 and 12 made g++ 12 spill).
#if POME_DROP_CLASSES || HWY_ARCH_ARM_A64
constexpr std::int64_t block_rows = 8;
#else
constexpr std::int64_t block_rows = 4;
#endif
/// Steps of K that are packed together, through a buffer that stays in the nearest cache, and for
/// which norms are kept.
constexpr std::int64_t packed_steps = 32;

/// The thresholds of the drop rule are the powers of two from 2^-13 to 2^-2: classes 1 to 12, and 0
/// where nothing is dropped. The class of any magnitude is that of the last threshold that it
/// reaches, and so on above 12: it is at least a threshold if its class is. A class is the exponent
/// field, less this, but at least 0.
constexpr std::uint32_t drop_class_bias = 127 - 14;

inline std::uint8_t class_of(float magnitude) {
    const std::uint32_t exponent = std::bit_cast<std::uint32_t>(magnitude) >> 23;
    return static_cast<std::uint8_t>(std::max(exponent, drop_class_bias) - drop_class_bias);
}

/// The threshold of a class.
HWY_INLINE float threshold_of(std::uint32_t drop_class) {
    return drop_class == 0 ? 0.0F : std::bit_cast<float>((drop_class + drop_class_bias) << 23);
}

/// K rounded up to whole lines: packed pieces start on lines of their own.
inline std::int64_t padded(std::int64_t inner) {
    return (inner + 15) / 16 * 16;
}

/// Norms of a packed row or column, in whole lines.
inline std::int64_t norms_size(std::int64_t inner) {
    return padded((inner + packed_steps - 1) / packed_steps);
}

/// Floats that so many bytes take.
constexpr std::int64_t floats_of(std::int64_t bytes) {
    return bytes / static_cast<std::int64_t>(sizeof(float));
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
    if constexpr (ieee) {
        return widen_bits(d, hn::LoadU(dh, from));
    }
    const auto bits = hn::PromoteTo(du, hn::LoadU(dh, from));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7FFFU)));
    // Subnormals become subnormal floats; the product with a power of two puts all exponents right.
    const auto value = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112F));
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000U)));
    return hn::Or(value, hn::BitCast(d, sign));
}

/// One panel of b, packed.
struct PackedColumns {
    float* values;           ///< [k][column]
    std::uint8_t* classes;   ///< [k][column], of magnitudes; with POME_DROP_CLASSES
    std::uint8_t* smallest;  ///< [k], class of the smallest magnitude but zero
    float* norms;            ///< [k / packed_steps], the largest norm of a column's part
    float largest;           ///< magnitude
};

/// The classes of a vector of magnitudes.
HWY_INLINE void store_classes(hn::Vec<hn::ScalableTag<float>> magnitudes, std::uint8_t* to) {
    const hn::ScalableTag<std::int32_t> d;
    const hn::Rebind<std::uint8_t, decltype(d)> d8;
    const auto bias = hn::Set(d, static_cast<std::int32_t>(drop_class_bias));
    const auto exponent = hn::ShiftRight<23>(hn::BitCast(d, magnitudes));
    hn::StoreU(hn::DemoteTo(d8, hn::Sub(hn::Max(exponent, bias), bias)), d8, to);
}

/// Floats that the classes of a panel take.
inline std::int64_t column_classes_size(std::int64_t inner) {
    return POME_DROP_CLASSES ? floats_of(panel_width * padded(inner)) : 0;
}

/// Floats that a panel takes; without bounds the values alone.
template <class Kernel>
inline std::int64_t packed_columns_size(std::int64_t inner) {
    const std::int64_t values = panel_width * padded(inner);
    return Kernel::bounded ? values + column_classes_size(inner) +
                                 padded(floats_of(padded(inner))) + norms_size(inner)
                           : values;
}

#if POME_DROP_CLASSES
HWY_INLINE __m512i magnitude_bits(__m512i halves) {
    return _mm512_and_si512(halves, _mm512_set1_epi16(0x7FFF));
}
HWY_INLINE __m512i exponent_bits(__m512i halves) {
    return _mm512_and_si512(_mm512_srli_epi16(halves, 10), _mm512_set1_epi16(0x1F));
}

/// Whether none of `count` times 32 halves, `pitch` apart, has an exponent of 31, which the
/// hardware decodes as infinity or NaN.
inline bool are_ordinary(const std::uint16_t* halves, std::int64_t pitch, std::int64_t count) {
    __m512i largest = _mm512_setzero_si512();
    for (std::int64_t i = 0; i < count; ++i) {
        largest = _mm512_max_epu16(largest, magnitude_bits(_mm512_loadu_si512(halves + i * pitch)));
    }
    constexpr std::int16_t last_below = 0x7BFF;  // 65504
    return _mm512_cmpgt_epu16_mask(largest, _mm512_set1_epi16(last_below)) == 0;
}

/// 16 ordinary halves as floats.
HWY_INLINE hn::Vec<hn::ScalableTag<float>> decode_ordinary(const std::uint16_t* halves) {
    return hn::Vec<hn::ScalableTag<float>>{
        _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)))};
}

/// The class of the smallest magnitude but zero of 32 halves.
HWY_INLINE std::uint8_t smallest_class(__m512i halves) {
    const __m512i less_one = _mm512_sub_epi16(magnitude_bits(halves), _mm512_set1_epi16(1));
    const __m256i half =
        _mm256_min_epu16(_mm512_castsi512_si256(less_one), _mm512_extracti64x4_epi64(less_one, 1));
    const __m128i quarter =
        _mm_min_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const int smallest = (_mm_cvtsi128_si32(_mm_minpos_epu16(quarter)) & 0xFFFF) + 1;
    return static_cast<std::uint8_t>(std::max(smallest >> 10, 1) - 1);  // 63 where all are zero
}
#endif

/// The largest magnitude of what was packed.
class LargestMagnitude {
  public:
    LargestMagnitude() : floats_(hn::Zero(hn::ScalableTag<float>())) {
#if POME_DROP_CLASSES
        bits_ = _mm512_setzero_si512();
#endif
    }
    void add(hn::Vec<hn::ScalableTag<float>> magnitudes) {
        floats_ = hn::Max(floats_, magnitudes);
    }
#if POME_DROP_CLASSES
    HWY_INLINE void add_ordinary(__m512i halves) {
        bits_ = _mm512_max_epu16(bits_, magnitude_bits(halves));
    }
#endif
    float get() const {
        const hn::ScalableTag<float> d;
        float largest = hn::GetLane(hn::MaxOfLanes(d, floats_));
#if POME_DROP_CLASSES
        const hn::ScalableTag<std::uint16_t> dh;
        const fp16 half{hn::GetLane(hn::MaxOfLanes(dh, hn::Vec<decltype(dh)>{bits_}))};
        largest = std::max(largest, to_float(half));
#endif
        return largest;
    }

  private:
    hn::Vec<hn::ScalableTag<float>> floats_;
#if POME_DROP_CLASSES
    __m512i bits_;
#endif
};

/// Some steps of a panel: `steps` times panel_width halves, `pitch` apart.
template <class Kernel>
struct ColumnSteps {
    const std::uint16_t* halves;
    std::int64_t pitch;
    std::int64_t first, steps;  ///< of K

    /// Makes their part of the panel.
    void pack(const PackedColumns& packed, LargestMagnitude& largest) const {
#if POME_DROP_CLASSES
        if constexpr (Kernel::bounded) {
            if (are_ordinary(halves, pitch, steps)) {
                return pack_ordinary(packed, largest);
            }
        }
#endif
        const hn::ScalableTag<float> d;
        const auto nothing = hn::Set(d, 1e30F), zero = hn::Zero(d);
        auto n0 = zero, n1 = zero;
        for (std::int64_t k = 0; k < steps; ++k) {
            const auto v0 = decode<Kernel::ieee>(halves + k * pitch);
            const auto v1 = decode<Kernel::ieee>(halves + k * pitch + lanes);
            float* row = packed.values + (first + k) * panel_width;
            hn::Store(v0, d, row);
            hn::Store(v1, d, row + lanes);
            if constexpr (Kernel::bounded) {
                const auto m0 = hn::Abs(v0), m1 = hn::Abs(v1);
                n0 = hn::MulAdd(v0, v0, n0);
                n1 = hn::MulAdd(v1, v1, n1);
                largest.add(hn::Max(m0, m1));
                const auto least = hn::Min(hn::IfThenElse(hn::Eq(m0, zero), nothing, m0),
                                           hn::IfThenElse(hn::Eq(m1, zero), nothing, m1));
                packed.smallest[first + k] = class_of(hn::GetLane(hn::MinOfLanes(d, least)));
                if constexpr (POME_DROP_CLASSES) {
                    std::uint8_t* to = packed.classes + (first + k) * panel_width;
                    store_classes(m0, to);
                    store_classes(m1, to + lanes);
                }
            }
        }
        if constexpr (Kernel::bounded) {
            store_norm(packed, n0, n1);
        }
    }

  private:
#if POME_DROP_CLASSES
    /// The same of ordinary halves; classes come from their bits.
    void pack_ordinary(const PackedColumns& packed, LargestMagnitude& largest) const {
        const hn::ScalableTag<float> d;
        auto n0 = hn::Zero(d), n1 = n0;
        for (std::int64_t k = 0; k < steps; ++k) {
            const std::uint16_t* from = halves + k * pitch;
            const __m512i bits = _mm512_loadu_si512(from);
            const auto v0 = decode_ordinary(from), v1 = decode_ordinary(from + lanes);
            float* row = packed.values + (first + k) * panel_width;
            hn::Store(v0, d, row);
            hn::Store(v1, d, row + lanes);
            n0 = hn::MulAdd(v0, v0, n0);
            n1 = hn::MulAdd(v1, v1, n1);
            largest.add_ordinary(bits);
            packed.smallest[first + k] = smallest_class(bits);
            const __m512i classes = _mm512_subs_epu16(exponent_bits(bits), _mm512_set1_epi16(1));
            _mm256_storeu_si256(
                reinterpret_cast<__m256i*>(packed.classes + (first + k) * panel_width),
                _mm512_cvtepi16_epi8(classes));
        }
        store_norm(packed, n0, n1);
    }
#endif

    template <class V>
    void store_norm(const PackedColumns& packed, V n0, V n1) const {
        const hn::ScalableTag<float> d;
        packed.norms[first / packed_steps] =
            std::sqrt(hn::GetLane(hn::MaxOfLanes(d, hn::Max(n0, n1))));
    }
};

/// Columns [first, first + panel_width) of b, zeros beyond its end, into `memory`.
template <class Kernel>
inline PackedColumns pack_columns(const Matrix& b, std::int64_t first, float* memory) {
    HWY_ALIGN std::uint16_t halves[packed_steps * panel_width];
    const std::int64_t count = std::min(panel_width, b.columns - first);
    float* classes = memory + panel_width * padded(b.rows);
    float* smallest = classes + column_classes_size(b.rows);
    PackedColumns packed{memory, reinterpret_cast<std::uint8_t*>(classes),
                         reinterpret_cast<std::uint8_t*>(smallest),
                         smallest + padded(floats_of(padded(b.rows))), 0.0F};
    LargestMagnitude largest;
    const bool lie_together = b.column_stride == 1 && count == panel_width;
    for (std::int64_t from = 0; from < b.rows; from += packed_steps) {
        const std::int64_t steps = std::min(packed_steps, b.rows - from);
        const fp16* first_step = b.data + from * b.row_stride + first * b.column_stride;
        if (!lie_together) {
            gather<panel_width>(first_step, b.column_stride, b.row_stride, count, steps, halves);
        }
        const ColumnSteps<Kernel> columns{
            lie_together ? reinterpret_cast<const std::uint16_t*>(first_step) : halves,
            lie_together ? b.row_stride : panel_width, from, steps};
        columns.pack(packed, largest);
    }
    packed.largest = largest.get();
    return packed;
}

/// Columns [first, first + panel_width) of b times `factor`, zeros beyond its end, into `memory`.
inline PackedColumns pack_float_columns(const FloatMatrix& b, std::int64_t first, float factor,
                                        float* memory) {
    const hn::ScalableTag<float> d;
    const std::int64_t count = std::min(panel_width, b.columns - first);
    if (b.column_stride == 1 && count == panel_width) {
        const auto by = hn::Set(d, factor);
        for (std::int64_t k = 0; k < b.rows; ++k) {
            const float* row = b.data + k * b.row_stride + first;
            float* to = memory + k * panel_width;
            hn::Store(hn::Mul(by, hn::LoadU(d, row)), d, to);
            hn::Store(hn::Mul(by, hn::LoadU(d, row + lanes)), d, to + lanes);
        }
    } else {
        for (std::int64_t k = 0; k < b.rows; ++k) {
            const float* row = b.data + k * b.row_stride + first * b.column_stride;
            float* to = memory + k * panel_width;
            for (std::int64_t c = 0; c < panel_width; ++c) {
                to[c] = c < count ? factor * row[c * b.column_stride] : 0.0F;
            }
        }
    }
    return {memory, nullptr, nullptr, nullptr, 0.0F};
}

/// Parts of a block's rows whose products are looked at apart: where masks go with a whole register
/// of them, one step in which half the rows need masks takes little more time than one without.
constexpr int row_parts = POME_DROP_CLASSES ? 2 : 1;

/// block_rows rows of a, packed for bounded kernels.
struct PackedRows {
    float* factors;                 ///< [k][row], as Kernel::factor makes them
    float* limits;                  ///< [k][row], as Kernel::limit makes them, or ...
    std::uint8_t* classes;          ///< ... their classes, with POME_DROP_CLASSES; one memory
    std::uint8_t* tops[row_parts];  ///< [k], class of the largest limit of each part's rows
    float* norms;                   ///< [k / packed_steps], the largest norm of a row's part
    float largest;                  ///< magnitude

    HWY_INLINE float limit(std::int64_t k, std::int64_t row) const {
        const std::int64_t i = k * block_rows + row;
        return POME_DROP_CLASSES ? threshold_of(classes[i]) : limits[i];
    }
};

/// Floats that limits or classes take.
inline std::int64_t limits_size(std::int64_t inner) {
    const std::int64_t all = block_rows * padded(inner);
    return POME_DROP_CLASSES ? floats_of(all) : all;
}

/// Floats that the largest limits of a part's rows take.
inline std::int64_t tops_size(std::int64_t inner) {
    return padded(floats_of(padded(inner)));
}

/// Floats that a block of rows takes.
inline std::int64_t packed_rows_size(std::int64_t inner) {
    return block_rows * padded(inner) + limits_size(inner) + row_parts * tops_size(inner) +
           norms_size(inner);
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

/// tops[part][k] = the largest class over the part's rows of limits[k][row] or classes[k][row].
inline void find_tops(const PackedRows& rows, std::int64_t inner) {
#if POME_DROP_CLASSES
    static_assert(block_rows == 8);
    for (std::int64_t k = 0; k < inner; k += 8) {  // a step's classes are a lane of 64 bits
        __m512i largest = _mm512_loadu_si512(rows.classes + k * block_rows);
        largest = _mm512_max_epu8(largest, _mm512_srli_epi32(largest, 16));
        largest = _mm512_max_epu8(largest, _mm512_srli_epi32(largest, 8));
        const auto store = [](std::uint8_t* to, __m512i lanes_of_64) HWY_ATTR {
            _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm512_cvtepi64_epi8(lanes_of_64));
        };
        store(rows.tops[0] + k, largest);
        store(rows.tops[1] + k, _mm512_srli_epi64(largest, 32));
    }
#else
    const hn::CappedTag<float, block_rows> d;
    constexpr std::int64_t part = lanes < block_rows ? lanes : block_rows;
    for (std::int64_t k = 0; k < inner; ++k) {
        auto limit = hn::Load(d, rows.limits + k * block_rows);
        for (std::int64_t i = part; i < block_rows; i += part) {
            limit = hn::Max(limit, hn::Load(d, rows.limits + k * block_rows + i));
        }
        rows.tops[0][k] = class_of(hn::GetLane(hn::MaxOfLanes(d, limit)));
    }
#endif
}

/// halves[k * block_rows + row] = a(first + row, from + k) of packed_steps steps or those that are
/// left, zeros beyond the last row and up to whole lines of steps; returns the elements written.
inline std::int64_t gather_rows(const Matrix& a, std::int64_t first, std::int64_t from,
                                std::uint16_t* halves) {
    const std::int64_t steps = std::min(packed_steps, a.columns - from);
    gather<block_rows>(a.data + first * a.row_stride + from * a.column_stride, a.row_stride,
                       a.column_stride, std::min(block_rows, a.rows - first), steps, halves);
    const std::int64_t end = padded(steps) * block_rows;
    std::fill(halves + steps * block_rows, halves + end, std::uint16_t{0});
    return end;
}

/// block_rows rows of a as floats, for kernels without bounds: element (row, k) is values[row *
/// row_step + k * k_step].
struct PlainRows {
    const float* values;
    std::int64_t row_step, k_step;
};

/// Rows [first, first + block_rows) of a, zeros beyond its end, into `memory`: in the order in
/// which they lie in a, if that is one of the two.
inline PlainRows pack_plain_rows(const Matrix& a, std::int64_t first, float* memory) {
    const hn::ScalableTag<float> d;
    const hn::Rebind<std::uint16_t, decltype(d)> dh;
    const std::int64_t inner = a.columns, count = std::min(block_rows, a.rows - first);
    if (a.column_stride == 1) {
        const std::int64_t step = padded(inner);
        for (std::int64_t r = 0; r < block_rows; ++r) {
            float* to = memory + r * step;
            if (r >= count) {
                std::fill_n(to, step, 0.0F);
                continue;
            }
            const fp16* from = a.data + (first + r) * a.row_stride;
            std::int64_t k = 0;
            for (; k + lanes <= inner; k += lanes) {
                hn::Store(widen_bits(d, hn::LoadU(dh, &from[k].bits)), d, to + k);
            }
            for (; k < inner; ++k) {
                to[k] = to_float(from[k]);
            }
        }
        return {memory, step, 1};
    }
    HWY_ALIGN std::uint16_t halves[packed_steps * block_rows];
    for (std::int64_t from = 0; from < inner; from += packed_steps) {
        const std::int64_t end = gather_rows(a, first, from, halves);
        for (std::int64_t i = 0; i < end; i += lanes) {
            hn::Store(decode<true>(halves + i), d, memory + from * block_rows + i);
        }
    }
    return {memory, 1, block_rows};
}

/// The same of floats: rows whose elements are neighbours are read where they lie.
inline PlainRows pack_float_rows(const FloatMatrix& a, std::int64_t first, float* memory) {
    const std::int64_t count = std::min(block_rows, a.rows - first);
    if (a.column_stride == 1 && count == block_rows && a.columns > 0) {
        return {a.data + first * a.row_stride, a.row_stride, 1};
    }
    for (std::int64_t k = 0; k < a.columns; ++k) {
        const float* step = a.data + first * a.row_stride + k * a.column_stride;
        float* to = memory + k * block_rows;
        if (a.row_stride == 1 && count == block_rows) {
            std::memcpy(to, step, block_rows * sizeof(float));
            continue;
        }
        for (std::int64_t r = 0; r < block_rows; ++r) {
            to[r] = r < count ? step[r * a.row_stride] : 0.0F;
        }
    }
    return {memory, 1, block_rows};
}

/// Some steps of block_rows rows, gathered: `count` halves, whole lines of steps.
template <class Kernel>
struct RowSteps {
    const std::uint16_t* halves;
    std::int64_t count, at;  ///< and the index of the first one's factor and limit

    /// Makes their factors and limits and the norm.
    void pack(const PackedRows& packed, LargestMagnitude& largest) const {
#if POME_DROP_CLASSES
        if (are_ordinary(halves, 2 * lanes, count / (2 * lanes))) {
            return pack_ordinary(packed, largest);
        }
#endif
        const hn::ScalableTag<float> d;
        constexpr std::int64_t period = block_rows > lanes ? block_rows / lanes : 1;
        hn::Vec<decltype(d)> squares[period];
        for (auto& square : squares) {
            square = hn::Zero(d);
        }
        for (std::int64_t i = 0; i < count; i += period * lanes) {
            for (std::int64_t j = 0; j < period; ++j) {
                const auto v = decode<Kernel::ieee>(halves + i + j * lanes);
                const std::int64_t to = at + i + j * lanes;
                hn::Store(Kernel::factor(v), d, packed.factors + to);
                squares[j] = hn::MulAdd(v, v, squares[j]);
                largest.add(hn::Abs(v));
                const auto limit = Kernel::limit(v);
                if constexpr (POME_DROP_CLASSES) {
                    store_classes(limit, packed.classes + to);
                } else {
                    hn::Store(limit, d, packed.limits + to);
                }
            }
        }
        packed.norms[at / (packed_steps * block_rows)] = largest_norm(squares, period);
    }

#if POME_DROP_CLASSES
  private:
    /// The same of ordinary halves; classes come from their bits.
    void pack_ordinary(const PackedRows& packed, LargestMagnitude& largest) const {
        static_assert(2 * block_rows == lanes);
        const hn::ScalableTag<float> d;
        hn::Vec<decltype(d)> squares[2] = {hn::Zero(d), hn::Zero(d)};
        for (std::int64_t i = 0; i < count; i += 2 * lanes) {
            const __m512i bits = _mm512_loadu_si512(halves + i);
            largest.add_ordinary(bits);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(packed.classes + at + i),
                                _mm512_cvtepi16_epi8(Kernel::limit_classes(bits)));
            for (int j = 0; j < 2; ++j) {
                const auto v = decode_ordinary(halves + i + j * lanes);
                hn::Store(Kernel::factor(v), d, packed.factors + at + i + j * lanes);
                squares[j] = hn::MulAdd(v, v, squares[j]);
            }
        }
        const auto sum = hn::Add(squares[0], squares[1]);  // of two steps each, side by side
        const auto norms = hn::Add(sum, hn::ConcatLowerUpper(d, sum, sum));
        packed.norms[at / (packed_steps * block_rows)] =
            std::sqrt(hn::GetLane(hn::MaxOfLanes(d, norms)));
    }
#endif
};

/// Rows [first, first + block_rows) of a, zeros beyond its end, into `memory`.
template <class Kernel>
inline PackedRows pack_bounded_rows(const Matrix& a, std::int64_t first, float* memory) {
    const std::int64_t inner = a.columns;
    float* limits = memory + block_rows * padded(inner);
    PackedRows packed{};
    packed.factors = memory;
    packed.limits = limits;
    packed.classes = reinterpret_cast<std::uint8_t*>(limits);
    float* next = limits + limits_size(inner);
    for (auto& top : packed.tops) {
        top = reinterpret_cast<std::uint8_t*>(next);
        next += tops_size(inner);
    }
    packed.norms = next;
    HWY_ALIGN std::uint16_t halves[packed_steps * block_rows];
    LargestMagnitude largest;
    for (std::int64_t from = 0; from < inner; from += packed_steps) {
        const std::int64_t count = gather_rows(a, first, from, halves);
        RowSteps<Kernel>{halves, count, from * block_rows}.pack(packed, largest);
    }
    packed.largest = largest.get();
    find_tops(packed, inner);
    return packed;
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
