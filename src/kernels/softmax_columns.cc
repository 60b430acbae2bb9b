#include <algorithm>
#include <cmath>
#include <vector>

#include "base/large_memory.h"
#include "kernels/softmax_lines.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_columns.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/softmax_lines-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {

#if POME_PERMUTES_LINES

/// Some neighbouring columns, their elements copied together: rows of a large tensor lie so far
/// apart that a cache holds few of them.
struct Block {
    /// `memory` has room for whole rows, aligned to a vector.
    Block(fp16* memory, std::int64_t pitch_)
        : pitch(pitch_),
          values(memory),
          highest(static_cast<std::size_t>(pitch)),
          farthest(static_cast<std::size_t>(pitch)),
          nearest(static_cast<std::size_t>(pitch)),
          tops(static_cast<std::size_t>(pitch)),
          sums(static_cast<std::size_t>(pitch)) {}

    std::int64_t pitch;                   ///< elements of a row: whole vectors
    std::int64_t first = 0, columns = 0;  ///< of the tensor
    bool is_ordinary = false;             ///< all of its columns are
    bool is_near = false;                 ///< no element is 18 below its column's largest
    fp16* values;                         ///< elements, then their exponentials
    /// The largest bits as integers with a sign, of which those of values of at least 0 are in
    /// order; the largest and smallest as integers without: the lowest and the highest of values
    /// below 0.
    std::vector<std::int16_t> highest;
    std::vector<std::uint16_t> farthest, nearest;
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
          goes_past_caches_(rows * stride >= beyond_caches && is_aligned(y) && stride % wide == 0),
          width_(std::clamp(elements_at_once / rows / narrowest * narrowest, narrowest, widest)) {}

    /// Calls rest(first column, columns) for each block of which a column is not ordinary.
    void run(const std::function<void(std::int64_t first, std::int64_t columns)>& rest) {
        const std::int64_t number = (columns_ + width_ - 1) / width_;
        const std::int64_t pitch = (std::min(width_, columns_) + wide - 1) / wide * wide;
        const std::int64_t size = rows_ * pitch;
        LargeVector<fp16> own;
        fp16* memory = memory_for(static_cast<std::size_t>(2 * size), own);
        Block even(memory, pitch), odd(memory + size, pitch);
        for (std::int64_t i = -1; i <= number; ++i) {
            Block& here = i % 2 == 0 ? even : odd;    // block i
            Block& beside = i % 2 == 0 ? odd : even;  // block i - 1, then block i + 1
            const bool computes = i >= 0 && i < number && here.is_ordinary;
            const bool writes = i > 0 && beside.is_ordinary, reads = i + 1 < number;
            const std::int64_t written = beside.first, columns_written = beside.columns;
            if (reads) {
                begin(beside, i + 1);
            }
            for (std::int64_t r = 0; r < rows_; r += at_once) {
                const std::int64_t some = std::min(at_once, rows_ - r);
                if (writes) {
                    write_rows(beside, r, some, written, columns_written);
                }
                if (reads) {
                    read_rows(beside, r, some);
                }
                if (computes) {
                    exponentiate_rows(here, r, some);
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
        _mm_sfence();
    }

  private:
    static constexpr std::int64_t narrowest = 64, widest = 256, elements_at_once = 1 << 17;
    static constexpr std::int64_t at_once = 4;  ///< rows; a group has a multiple of them
    static constexpr std::int64_t ahead = 16;   ///< rows that are fetched before they are needed
    static constexpr std::int64_t beyond_caches = std::int64_t{4} << 20;  ///< elements

    /// Two blocks fill the second cache. In ordinary pages they may lie so that parts of them take
    /// each other's place there, and pages of memory that comes and goes are cleared each time:
    /// each thread keeps its own, 4 MB from half a megabyte on, for huge pages. Larger ones, of
    /// many rows, are in `own`.
    static fp16* memory_for(std::size_t elements, LargeVector<fp16>& own) {
        constexpr std::size_t large = std::size_t{1} << 18, most = std::size_t{1} << 21;
        thread_local LargeVector<fp16> kept;
        LargeVector<fp16>& memory = elements > most ? own : kept;
        if (memory.size() < elements) {
            memory = LargeVector<fp16>();  // first: nobody needs what was in it
            memory.resize(elements < large ? elements : std::max(elements, most));
        }
        return memory.data();
    }

    static bool is_aligned(const fp16* y) { return reinterpret_cast<std::uintptr_t>(y) % 64 == 0; }

    void begin(Block& block, std::int64_t i) const {
        block.first = i * width_;
        block.columns = std::min(width_, columns_ - block.first);
        std::fill(block.highest.begin(), block.highest.end(), std::int16_t{-0x8000});
        std::fill(block.farthest.begin(), block.farthest.end(), std::uint16_t{0});
        std::fill(block.nearest.begin(), block.nearest.end(), std::uint16_t{0xFFFF});
    }

    HWY_INLINE void read_rows(Block& block, std::int64_t r, std::int64_t some) const {
        const fp16* from = x_ + r * stride_ + block.first;
        fp16* to = block.values + r * block.pitch;
        for (std::int64_t c = 0; c < block.columns; c += wide) {
            const __mmask32 kept = first_halves(block.columns - c);
            __m512i highest = _mm512_loadu_si512(block.highest.data() + c),
                    farthest = _mm512_loadu_si512(block.farthest.data() + c),
                    nearest = _mm512_loadu_si512(block.nearest.data() + c);
            for (std::int64_t k = 0; k < some; ++k) {
                __builtin_prefetch(from + (k + ahead) * stride_ + c, 0, 2);
                const __m512i bits = _mm512_maskz_loadu_epi16(kept, from + k * stride_ + c);
                _mm512_store_si512(to + k * block.pitch + c, bits);
                highest = _mm512_max_epi16(highest, bits);
                farthest = _mm512_max_epu16(farthest, bits);
                nearest = _mm512_min_epu16(nearest, bits);
            }
            _mm512_storeu_si512(block.highest.data() + c, highest);
            _mm512_storeu_si512(block.farthest.data() + c, farthest);
            _mm512_storeu_si512(block.nearest.data() + c, nearest);
        }
    }

    void find_tops(Block& block) const {
        constexpr int sign = 0x8000, infinity = 0x7C00;
        block.is_ordinary = block.is_near = true;
        for (std::size_t c = 0; c < static_cast<std::size_t>(block.columns); ++c) {
            const fp16 largest{block.highest[c] >= 0 ? static_cast<std::uint16_t>(block.highest[c])
                                                     : block.nearest[c]};
            const fp16 lowest{block.farthest[c] >= sign ? block.farthest[c] : std::uint16_t{0}};
            // Finite, and no element is a NaN: the rest needs no special values then. -inf is an
            // ordinary element.
            block.is_ordinary = block.is_ordinary && (largest.bits & ~sign) < infinity &&
                                lowest.bits <= (sign | infinity);
            const float top = to_float(largest);
            block.is_near = block.is_near && to_float(lowest) - top >= -18.0F;
            block.tops[c] = top;
        }
        std::fill(block.tops.begin() + block.columns, block.tops.end(), 0.0F);
        std::fill(block.sums.begin(), block.sums.end(), 0.0);
    }

    void exponentiate_rows(Block& block, std::int64_t r, std::int64_t some) const {
        fp16* rows = block.values + r * block.pitch;
        if (block.is_near) {
            exponentiate_rows<Reach::near>(block, rows, some);
        } else {
            exponentiate_rows<Reach::falling>(block, rows, some);
        }
        if ((r + some) % group == 0 || r + some == rows_) {
            add_group(block, r / group * group, r % group + some);
        }
    }

    template <Reach reach>
    HWY_INLINE void exponentiate_rows(const Block& block, fp16* rows, std::int64_t some) const {
        for (std::int64_t c = 0; c < block.pitch;) {
            const bool is_wide = c + 64 <= block.pitch;
            std::int64_t k = 0;
            if (is_wide) {
                for (; k + 2 <= some; k += 2) {
                    exponentiate<reach, 4, 2>(block, rows + k * block.pitch, c);
                }
            }
            for (; k < some; ++k) {
                is_wide ? exponentiate<reach, 4, 1>(block, rows + k * block.pitch, c)
                        : exponentiate<reach, 1, 1>(block, rows + k * block.pitch, c);
            }
            c += is_wide ? 64 : 16;
        }
    }

    template <Reach reach, int across, int rows>
    HWY_INLINE void exponentiate(const Block& block, fp16* row, std::int64_t c) const {
        __m512 tops[across];
        for (int i = 0; i < across; ++i) {
            tops[i] = _mm512_loadu_ps(block.tops.data() + c + 16 * i);
        }
        powers_of<reach, across, rows>(exponential_, row + c, tops, row + c, block.pitch);
    }

    /// Adds the exponentials of `some` rows from row r on to the sums.
    HWY_INLINE void add_group(Block& block, std::int64_t r, std::int64_t some) const {
        for (std::int64_t c = 0; c < block.pitch; c += wide) {
            __m512 parts[2];
            sum_group(block, r, c, some, parts);
            for (int i = 0; i < 2; ++i) {
                const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(parts[i])),
                              high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(parts[i], 1));
                double* sums = block.sums.data() + c + 16 * i;
                _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
                _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
            }
        }
    }

    /// The sums of up to 32 exponentials from row r on, of 32 columns.
    HWY_INLINE void sum_group(const Block& block, std::int64_t r, std::int64_t c, std::int64_t some,
                              __m512* parts) const {
        const fp16* at = block.values + r * block.pitch + c;
        parts[0] = parts[1] = _mm512_setzero_ps();
        for (std::int64_t eight = 0; eight < some; eight += 8) {
            __m512 v[2][8] = {}, of_eight[2];
            const auto take = [&](std::int64_t i) HWY_ATTR __attribute__((always_inline)) {
                const fp16* row = at + (eight + i) * block.pitch;
                v[0][i] = _mm512_cvtph_ps(load_bits(row));
                v[1][i] = _mm512_cvtph_ps(load_bits(row + 16));
            };
            if (eight + 8 <= some) {
                for (std::int64_t i = 0; i < 8; ++i) {
                    take(i);
                }
            } else {
                for (std::int64_t i = 0; eight + i < some; ++i) {
                    take(i);
                }
            }
            sums_of_eight<2>(v, of_eight);
            parts[0] = add(parts[0], of_eight[0]);
            parts[1] = add(parts[1], of_eight[1]);
        }
    }

    void find_factors(Block& block) const {
        for (std::size_t c = 0; c < block.tops.size(); ++c) {
            block.tops[c] = std::nextafter(to_float(reciprocal(tables_, block.sums[c])), HUGE_VALF);
        }
    }

    HWY_INLINE void write_rows(const Block& block, std::int64_t r, std::int64_t some,
                               std::int64_t first, std::int64_t columns) const {
        const fp16* from = block.values + r * block.pitch;
        fp16* to = y_ + r * stride_ + first;
        for (std::int64_t c = 0; c < columns; c += wide) {
            const __m512 low = _mm512_loadu_ps(block.tops.data() + c),
                         high = _mm512_loadu_ps(block.tops.data() + c + 16);
            for (std::int64_t k = 0; k < some; ++k) {
                const fp16* powers = from + k * block.pitch + c;
                write(to + k * stride_ + c, columns - c, product(load_bits(powers), low),
                      product(load_bits(powers + 16), high));
            }
        }
    }

    /// Up to 32 results. A store into a cache first fetches the line that it overwrites, and takes
    /// the place of what is needed again.
    HWY_INLINE void write(fp16* to, std::int64_t columns, __m256i low, __m256i high) const {
        const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
        if (columns < wide) {
            _mm512_mask_storeu_epi16(to, first_halves(columns), both);
        } else if (goes_past_caches_) {
            _mm512_stream_si512(reinterpret_cast<__m512i*>(to), both);
        } else {
            __builtin_prefetch(to + ahead * stride_, 0, 2);
            _mm512_storeu_si512(to, both);
        }
    }

    const fp16* x_;
    fp16* y_;
    std::int64_t rows_, columns_, stride_;
    const SoftmaxTables& tables_;
    ExponentialRegisters exponential_;
    bool goes_past_caches_;
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
