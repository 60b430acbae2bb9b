#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "kernels/softmax_lines.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_columns.cc"
#include "hwy/aligned_allocator.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/softmax_lines-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_PERMUTES_LINES

/// Bits as 16-bit integers whose order is that of the fp16 values (-0 below +0; NaN beyond the
/// infinity of its sign), and back.
HWY_INLINE __m512i ordered(__m512i bits) {
    return _mm512_xor_si512(bits, _mm512_srli_epi16(_mm512_srai_epi16(bits, 15), 1));
}
fp16 value_of(int order) {
    return fp16{static_cast<std::uint16_t>(order < 0 ? order ^ 0x7FFF : order)};
}

/// Whether the largest element is finite and no element is a NaN: the rest needs no special values
/// then. -inf is an ordinary element.
bool is_ordinary(int largest, int smallest) {
    constexpr int infinity = 0x7C00, minus_infinity = ~0x7C00;
    return largest < infinity && smallest >= minus_infinity && largest > minus_infinity;
}

/// Some neighbouring columns, their elements copied together: rows of a large tensor lie so far
/// apart that a cache holds few of them.
struct Block {
    Block(std::int64_t rows, std::int64_t pitch_)
        : pitch(pitch_),
          values(hwy::AllocateAligned<fp16>(static_cast<std::size_t>(rows * pitch))),
          largest(static_cast<std::size_t>(pitch)),
          smallest(static_cast<std::size_t>(pitch)),
          tops(static_cast<std::size_t>(pitch)),
          sums(static_cast<std::size_t>(pitch)) {
        if (!values) {
            throw std::bad_alloc();
        }
    }

    std::int64_t pitch;                           ///< elements of a row: whole vectors
    std::int64_t first = 0, columns = 0;          ///< of the tensor
    bool is_ordinary = false;                     ///< all of its columns are
    bool is_near = false;                         ///< no element is 18 below its column's largest
    hwy::AlignedFreeUniquePtr<fp16[]> values;     ///< elements, then their exponentials
    std::vector<std::int16_t> largest, smallest;  ///< as `ordered` makes them
    std::vector<float> tops;  ///< largest elements, then the factors of product()
    std::vector<double> sums;
};

/// Softmax of columns, a block at a time. While the exponentials of one are computed, which needs
/// no memory, the next one is read and the last one written, row by row.
class Columns {
  public:
    Columns(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns, std::int64_t stride,
            const SoftmaxTables& tables)
        : x_(x),
          y_(y),
          rows_(rows),
          columns_(columns),
          stride_(stride),
          tables_(tables),
          exponential_(*tables.exp.exponential()),
          width_(std::clamp(elements_at_once / rows / narrowest * narrowest, narrowest, widest)) {}

    /// Calls rest(first column, columns) for each block of which a column is not ordinary.
    void run(const std::function<void(std::int64_t first, std::int64_t columns)>& rest) {
        const std::int64_t number = (columns_ + width_ - 1) / width_;
        const std::int64_t pitch = (std::min(width_, columns_) + wide - 1) / wide * wide;
        Block even(rows_, pitch), odd(rows_, pitch);
        for (std::int64_t i = -1; i <= number; ++i) {
            Block& here = i % 2 == 0 ? even : odd;    // block i
            Block& beside = i % 2 == 0 ? odd : even;  // block i - 1, then block i + 1
            const bool computes = i >= 0 && i < number && here.is_ordinary;
            const bool writes = i > 0 && beside.is_ordinary, reads = i + 1 < number;
            const std::int64_t written = beside.first, columns_written = beside.columns;
            if (reads) {
                begin(beside, i + 1);
            }
            for (std::int64_t r = 0; r < rows_; ++r) {
                if (writes) {
                    write_row(beside, r, written, columns_written);
                }
                if (reads) {
                    read_row(beside, r);
                }
                if (computes) {
                    exponentiate_row(here, r);
                }
            }
            if (computes) {
                find_factors(here);
            }
            if (reads) {
                find_tops(beside);
                if (!beside.is_ordinary) {
                    rest(beside.first, beside.columns);
                }
            }
        }
    }

  private:
    static constexpr std::int64_t narrowest = 64, widest = 256, elements_at_once = 1 << 17;
    static constexpr std::int64_t ahead = 16;  ///< rows that are fetched before they are needed

    void begin(Block& block, std::int64_t i) const {
        block.first = i * width_;
        block.columns = std::min(width_, columns_ - block.first);
        std::fill(block.largest.begin(), block.largest.end(), std::int16_t{-0x8000});
        std::fill(block.smallest.begin(), block.smallest.end(), std::int16_t{0x7FFF});
    }

    HWY_INLINE void read_row(Block& block, std::int64_t r) const {
        const fp16* from = x_ + r * stride_ + block.first;
        fp16* to = block.values.get() + r * block.pitch;
        for (std::int64_t c = 0; c < block.columns; c += wide) {
            __builtin_prefetch(from + ahead * stride_ + c, 0, 2);
            const __m512i bits =
                _mm512_maskz_loadu_epi16(first_halves(block.columns - c), from + c);
            _mm512_store_si512(to + c, bits);
            std::int16_t *largest = block.largest.data() + c, *smallest = block.smallest.data() + c;
            const __m512i order = ordered(bits);
            _mm512_storeu_si512(largest, _mm512_max_epi16(_mm512_loadu_si512(largest), order));
            _mm512_storeu_si512(smallest, _mm512_min_epi16(_mm512_loadu_si512(smallest), order));
        }
    }

    void find_tops(Block& block) const {
        block.is_ordinary = block.is_near = true;
        for (std::size_t c = 0; c < static_cast<std::size_t>(block.columns); ++c) {
            const float top = to_float(value_of(block.largest[c]));
            block.is_ordinary =
                block.is_ordinary && is_ordinary(block.largest[c], block.smallest[c]);
            block.is_near = block.is_near && to_float(value_of(block.smallest[c])) - top >= -18.0F;
            block.tops[c] = top;
        }
        std::fill(block.tops.begin() + block.columns, block.tops.end(), 0.0F);
        std::fill(block.sums.begin(), block.sums.end(), 0.0);
    }

    void exponentiate_row(Block& block, std::int64_t r) const {
        fp16* row = block.values.get() + r * block.pitch;
        if (block.is_near) {
            exponentiate_row<Reach::near>(block, row);
        } else {
            exponentiate_row<Reach::falling>(block, row);
        }
        if ((r + 1) % group == 0 || r + 1 == rows_) {
            add_group(block, r / group * group, r % group + 1);
        }
    }

    template <Reach reach>
    HWY_INLINE void exponentiate_row(const Block& block, fp16* row) const {
        std::int64_t c = 0;
        for (; c + 64 <= block.pitch; c += 64) {
            exponentiate<reach, 4>(block, row, c);
        }
        for (; c < block.pitch; c += 16) {
            exponentiate<reach, 1>(block, row, c);
        }
    }

    template <Reach reach, int count>
    HWY_INLINE void exponentiate(const Block& block, fp16* row, std::int64_t c) const {
        __m512 tops[count];
        for (int i = 0; i < count; ++i) {
            tops[i] = _mm512_loadu_ps(block.tops.data() + c + 16 * i);
        }
        powers_of<reach, count>(exponential_, row + c, tops, row + c);
    }

    /// Adds the exponentials of `some` rows from row r on to the sums.
    HWY_INLINE void add_group(Block& block, std::int64_t r, std::int64_t some) const {
        for (std::int64_t c = 0; c < block.pitch; c += 16) {
            const __m512 part = sum_group(block, r, c, some);
            const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(part)),
                          high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(part, 1));
            double* sums = block.sums.data() + c;
            _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
            _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
        }
    }

    /// The sum of up to 32 exponentials from row r on, of 16 columns.
    HWY_INLINE __m512 sum_group(const Block& block, std::int64_t r, std::int64_t c,
                                std::int64_t some) const {
        __m512 part{};
        const fp16* at = block.values.get() + r * block.pitch + c;
        for (std::int64_t eight = 0; eight < some; eight += 8) {
            __m512 v[8] = {};
            if (eight + 8 <= some) {
                for (std::int64_t i = 0; i < 8; ++i) {
                    v[i] = _mm512_cvtph_ps(load_bits(at + (eight + i) * block.pitch));
                }
            } else {
                for (std::int64_t i = 0; eight + i < some; ++i) {
                    v[i] = _mm512_cvtph_ps(load_bits(at + (eight + i) * block.pitch));
                }
            }
            part = add(part, sum_of_eight(v));
        }
        return part;
    }

    void find_factors(Block& block) const {
        for (std::size_t c = 0; c < block.tops.size(); ++c) {
            block.tops[c] = std::nextafter(to_float(reciprocal(tables_, block.sums[c])), HUGE_VALF);
        }
    }

    HWY_INLINE void write_row(const Block& block, std::int64_t r, std::int64_t first,
                              std::int64_t columns) const {
        const fp16* from = block.values.get() + r * block.pitch;
        fp16* to = y_ + r * stride_ + first;
        for (std::int64_t c = 0; c < columns; c += 16) {
            if (c % wide == 0) {
                __builtin_prefetch(to + ahead * stride_ + c, 0, 2);
            }
            _mm256_mask_storeu_epi16(
                to + c, first_of(columns - c),
                product(load_bits(from + c), _mm512_loadu_ps(block.tops.data() + c)));
        }
    }

    const fp16* x_;
    fp16* y_;
    std::int64_t rows_, columns_, stride_;
    const SoftmaxTables& tables_;
    ExponentialRegisters exponential_;
    std::int64_t width_;
};

void columns_by_lines(const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns,
                      std::int64_t stride, const SoftmaxTables& tables,
                      const std::function<void(std::int64_t first, std::int64_t columns)>& rest) {
    Columns(x, y, rows, columns, stride, tables).run(rest);
}

#else

void columns_by_lines(const fp16*, fp16*, std::int64_t, std::int64_t, std::int64_t,
                      const SoftmaxTables&,
                      const std::function<void(std::int64_t first, std::int64_t columns)>&) {}

#endif  // POME_PERMUTES_LINES

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(columns_by_lines);

}  // namespace

void softmax_columns_by_lines(
    const fp16* x, fp16* y, std::int64_t rows, std::int64_t columns, std::int64_t stride,
    const SoftmaxTables& tables,
    const std::function<void(std::int64_t first, std::int64_t columns)>& rest) {
    HWY_DYNAMIC_DISPATCH(columns_by_lines)(x, y, rows, columns, stride, tables, rest);
}

}  // namespace pome::kernels
#endif
