// One vector times a matrix, w[k, n] with n contiguous. Each element of w is used once, so the time
// is that of reading it, and memory is read fastest front to back, by one stream a thread: a narrow
// matrix is cut along k, into the same pieces whatever the number of threads, each row after row; a
// wide one into columns, four rows at a time, whose sums stay in the second-level cache. What the
// processor fetches by itself then is 1.6 times as fast as eight rows at a time with prefetching.
//
// Exact products: the quick way of matmul_exact.cc, whose comments say why fma(x', w, 192), x'
// moved away from zero by one unit, is the engine's rounded product where |x w| < 63. There norms,
// which packing yields, bound the sums; here one pass is all there is, so the bound comes after the
// fact: with the largest magnitude of w in each step, each |x| max|w| < 63 says that every product
// was in reach, and their sum (and 2^-17 a step) below 32752 that no sum, in whatever order,
// reached the limit or rounds to it. Tiles that fail, and infinities of fp16, go to matmul_exact().
//
// The drop rule is a comparison of the magnitude's bits: t = 2^(-16 - e(x)) lies in [2^-13, 2^-2]
// where it is needed, so t and w compare as integers. Dropped elements become zeros.

// Vectors whose size the compiler does not know cannot be kept in arrays of registers.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include "kernels/matrix_vector.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matrix_vector.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/fixed_point-inl.h"
#include "kernels/rounding-inl.h"

#ifndef POME_KERNELS_MATRIX_VECTOR_ONCE_
#define POME_KERNELS_MATRIX_VECTOR_ONCE_
namespace pome::kernels {

/// One vector times columns of a matrix. x is fp16, or fp32 where `wide_x` is given; so is y.
struct VectorProduct {
    const fp16* x = nullptr;
    std::int64_t x_stride = 1;
    const fp16* w = nullptr;
    std::int64_t stride = 0, inner = 0, columns = 0;
    fp16* y = nullptr;
    const float* wide_x = nullptr;
    float* wide_y = nullptr;

    float factor(std::int64_t k) const {
        return wide_x != nullptr ? wide_x[k] : to_float(x[k * x_stride]);
    }
};

/// A piece of a product: some steps of k, some columns.
struct Piece {
    const VectorProduct* product;
    std::int64_t first, columns;  ///< columns
    std::int64_t begin, end;      ///< steps
};

}  // namespace pome::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::Vec<hn::ScalableTag<float>>;
constexpr std::int64_t lanes = HWY_LANES(float);
#if HWY_TARGET == HWY_SCALAR
constexpr std::int64_t unroll = 1;
#else
constexpr std::int64_t unroll = 2;
#endif
constexpr std::int64_t span = unroll * lanes;
/// The bits of a span of elements, one load; magnitudes compare as integers.
using HalvesTag = hn::ScalableTag<std::int16_t>;
using Halves = hn::Vec<HalvesTag>;

HWY_INLINE Halves load(const fp16* from) {
    return hn::LoadU(HalvesTag(), reinterpret_cast<const std::int16_t*>(from));
}

/// The elements as floats, in `unroll` vectors.
HWY_INLINE void widen(Halves bits, Floats* values) {
    const hn::ScalableTag<float> d;
    const hn::Rebind<std::uint16_t, decltype(d)> du16;
#if HWY_TARGET == HWY_SCALAR
    values[0] = widen_bits(d, hn::BitCast(du16, bits));
#else
    const hn::Rebind<std::int16_t, decltype(d)> half;
    values[0] = widen_bits(d, hn::BitCast(du16, hn::LowerHalf(half, bits)));
    values[1] = widen_bits(d, hn::BitCast(du16, hn::UpperHalf(half, bits)));
#endif
}

/// Calls body(w, step, n) for the columns n of `rows` rows in steps of span: row j's lie at w + j *
/// step. Columns that do not fill a span are a copy filled up with zeros.
template <std::int64_t rows, class Body>
HWY_INLINE void for_columns(const fp16* w, std::int64_t stride, std::int64_t columns, Body body) {
    std::int64_t n = 0;
    for (; n + span <= columns; n += span) {
        body(w + n, stride, n);
    }
    if (n < columns) {
        alignas(64) fp16 rest[rows * span] = {};
        for (std::int64_t j = 0; j < rows; ++j) {
            std::copy_n(w + j * stride + n, columns - n, rest + j * span);
        }
        body(rest, span, n);
    }
}

/// Adds `rows` steps from k on to the sums of a piece in fp32, k ascending.
template <std::int64_t rows>
HWY_INLINE void add_rows_fast(const Piece& piece, std::int64_t k, float* sums) {
    const hn::ScalableTag<float> d;
    const VectorProduct& p = *piece.product;
    Floats x[rows];
    for (std::int64_t j = 0; j < rows; ++j) {
        x[j] = hn::Set(d, p.factor(k + j));
    }
    for_columns<rows>(p.w + k * p.stride + piece.first, p.stride, piece.columns,
                      [&](const fp16* w, std::int64_t step, std::int64_t n) HWY_ATTR {
                          Floats sum[unroll], values[unroll];
                          for (std::int64_t v = 0; v < unroll; ++v) {
                              sum[v] = hn::LoadU(d, sums + n + v * lanes);
                          }
                          for (std::int64_t j = 0; j < rows; ++j) {
                              widen(load(w + j * step), values);
                              for (std::int64_t v = 0; v < unroll; ++v) {
                                  sum[v] = hn::MulAdd(x[j], values[v], sum[v]);
                              }
                          }
                          for (std::int64_t v = 0; v < unroll; ++v) {
                              hn::StoreU(sum[v], d, sums + n + v * lanes);
                          }
                      });
}

/// The sums of a piece, at first zeros; whole spans of them are there.
HWY_NOINLINE void sum_fast(const Piece& piece, bool by_rows, float* sums) {
    std::fill_n(sums, (piece.columns + span - 1) / span * span, 0.0F);
    std::int64_t k = piece.begin;
    for (; !by_rows && k + 4 <= piece.end; k += 4) {
        add_rows_fast<4>(piece, k, sums);
    }
    for (; k < piece.end; ++k) {
        add_rows_fast<1>(piece, k, sums);
    }
}

/// The sums of a range's pieces, one after another: the first and those `pitch` apart.
template <typename T>
HWY_INLINE hn::Vec<hn::ScalableTag<T>> total(const T* sums, std::int64_t pieces,
                                             std::int64_t pitch) {
    const hn::ScalableTag<T> d;
    auto sum = hn::LoadU(d, sums);
    for (std::int64_t i = 1; i < pieces; ++i) {
        sum = hn::Add(sum, hn::LoadU(d, sums + i * pitch));
    }
    return sum;
}

/// The results of a range of columns from its pieces' sums.
void finish_fast(const Piece& range, const float* sums, std::int64_t pieces, std::int64_t pitch) {
    const hn::ScalableTag<float> d;
    const VectorProduct& p = *range.product;
    for (std::int64_t n = 0; n < range.columns; n += lanes) {
        const auto sum = total(sums + n, pieces, pitch);
        const std::int64_t some = std::min(lanes, range.columns - n);
        if (p.wide_y != nullptr) {
            float rest[lanes];
            float* to = some == lanes ? p.wide_y + range.first + n : rest;
            hn::StoreU(sum, d, to);
            if (some < lanes) {
                std::copy_n(rest, some, p.wide_y + range.first + n);
            }
            continue;
        }
        fp16 rest[lanes];
        fp16* to = some == lanes ? p.y + range.first + n : rest;
        store_halves(d, sum, to);
        if (some < lanes) {
            std::copy_n(rest, some, p.y + range.first + n);
        }
    }
}

#if HWY_NATIVE_FMA
constexpr float anchor = 192.0F;
constexpr std::uint32_t anchor_bits = 0x43400000;  // its bits

/// The bits of the largest magnitude of w that is dropped beside x; -1: none is.
inline std::int16_t drop_bits(fp16 x) {
    const int exponent = std::max(1, (x.bits >> 10) & 0x1F) - 15;
    const int threshold = -16 - exponent;  // exponent of t; all is kept from 2^-14 down
    return is_zero(x) || threshold <= -14 ? std::int16_t{-1}
                                          : static_cast<std::int16_t>(((threshold + 15) << 10) - 1);
}

/// Adds `rows` steps from k on to the engine's sums of a piece, in units of 2^-16. Adds the steps'
/// largest magnitudes of products to `total`; false where one leaves the quick way's reach.
template <std::int64_t rows>
HWY_INLINE bool add_rows_exact(const Piece& piece, std::int64_t k, std::int32_t* sums,
                               double& total) {
    constexpr double quick = 63.0;
    const hn::ScalableTag<float> d;
    const hn::ScalableTag<std::uint32_t> du;
    const HalvesTag dh;
    const VectorProduct& p = *piece.product;
    Floats x[rows];
    Halves limit[rows], top[rows];
    for (std::int64_t j = 0; j < rows; ++j) {
        const fp16 factor = p.x[(k + j) * p.x_stride];
        if ((factor.bits & 0x7C00) == 0x7C00) {
            return false;
        }
        const float value = to_float(factor);
        x[j] = hn::Set(d, value == 0.0F
                              ? value
                              : std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) + 1));
        limit[j] = hn::Set(dh, drop_bits(factor));
        top[j] = hn::Zero(dh);
    }
    const auto start = hn::Set(d, anchor);
    const auto base = hn::Set(du, anchor_bits * static_cast<std::uint32_t>(rows));
    for_columns<rows>(p.w + k * p.stride + piece.first, p.stride, piece.columns,
                      [&](const fp16* w, std::int64_t step, std::int64_t n) HWY_ATTR {
                          auto* to = reinterpret_cast<std::uint32_t*>(sums) + n;
                          hn::Vec<decltype(du)> sum[unroll];
                          Floats values[unroll];
                          for (std::int64_t v = 0; v < unroll; ++v) {
                              sum[v] = hn::Sub(hn::LoadU(du, to + v * lanes), base);  // modulo 2^32
                          }
                          for (std::int64_t j = 0; j < rows; ++j) {
                              const auto bits = load(w + j * step);
                              const auto magnitude =
                                  hn::And(bits, hn::Set(dh, std::int16_t{0x7FFF}));
                              top[j] = hn::Max(top[j], magnitude);
                              widen(hn::IfThenElseZero(hn::Gt(magnitude, limit[j]), bits), values);
                              for (std::int64_t v = 0; v < unroll; ++v) {
                                  const auto anchored = hn::MulAdd(x[j], values[v], start);
                                  sum[v] = hn::Add(sum[v], hn::BitCast(du, anchored));
                              }
                          }
                          for (std::int64_t v = 0; v < unroll; ++v) {
                              hn::StoreU(sum[v], du, to + v * lanes);
                          }
                      });
    for (std::int64_t j = 0; j < rows; ++j) {
        const auto largest = static_cast<std::uint16_t>(hn::GetLane(hn::MaxOfLanes(dh, top[j])));
        const double product =
            std::fabs(static_cast<double>(p.factor(k + j)) * to_float(fp16{largest}));
        if (largest >= 0x7C00 || product >= quick) {
            return false;
        }
        total += product + 0x1p-17;
    }
    return true;
}

/// The sums of a piece; infinity where the quick way does not reach, else at least the largest sum
/// of magnitudes.
HWY_NOINLINE double sum_exact(const Piece& piece, bool by_rows, std::int32_t* sums) {
    std::fill_n(sums, (piece.columns + span - 1) / span * span, 0);
    double total = 0.0;
    std::int64_t k = piece.begin;
    for (; !by_rows && k + 4 <= piece.end; k += 4) {
        if (!add_rows_exact<4>(piece, k, sums, total)) {
            return HUGE_VAL;
        }
    }
    for (; k < piece.end; ++k) {
        if (!add_rows_exact<1>(piece, k, sums, total)) {
            return HUGE_VAL;
        }
    }
    return total;
}
#else
double sum_exact(const Piece&, bool, std::int32_t*) {
    return HUGE_VAL;  // the quick way is one rounding: it needs a fused multiply-add
}
#endif

void finish_exact(const Piece& range, const std::int32_t* sums, std::int64_t pieces,
                  std::int64_t pitch) {
    const VectorProduct& p = *range.product;
    for (std::int64_t n = 0; n < range.columns; n += lanes) {
        const auto sum = total(sums + n, pieces, pitch);
        const std::int64_t some = std::min(lanes, range.columns - n);
        fp16 rest[lanes];
        fp16* to = some == lanes ? p.y + range.first + n : rest;
        store_results(sum, some, to);
        if (some < lanes) {
            std::copy_n(rest, some, p.y + range.first + n);
        }
    }
}

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(sum_fast);
HWY_EXPORT(finish_fast);
HWY_EXPORT(sum_exact);
HWY_EXPORT(finish_exact);

constexpr std::int64_t most_rows = 8;  // beyond, packing pays

std::vector<VectorProduct> products_of(std::span<const MatmulJob> jobs) {
    std::vector<VectorProduct> products;
    for (const MatmulJob& job : jobs) {
        const Matrix &a = job.a, &b = job.b;
        if (b.column_stride == 1 && a.rows <= most_rows) {
            for (std::int64_t r = 0; r < a.rows; ++r) {
                products.push_back({a.data + r * a.row_stride, a.column_stride, b.data,
                                    b.row_stride, b.rows, b.columns, job.y + r * job.y_row_stride});
            }
        } else {
            products.push_back(
                {b.data, b.row_stride, a.data, a.column_stride, b.rows, a.rows, job.y});
        }
    }
    return products;
}

/// All products, cut into pieces; the pieces of the same columns follow each other.
class Pieces {
  public:
    Pieces(std::span<const VectorProduct> products, int threads) {
        for (const VectorProduct& product : products) {
            add(product, threads);
        }
    }

    /// Calls add(index, piece, by_rows, sums) for all, shared among threads, then finish(first
    /// piece, its index, their number, their sums, pitch) for every range of columns.
    template <typename Sum, typename Add, typename Finish>
    void run(ThreadPool& pool, Add add, Finish finish) const {
        const auto memory = std::make_unique_for_overwrite<Sum[]>(static_cast<std::size_t>(room_));
        const auto count = static_cast<std::int64_t>(pieces_.size());
        const auto one = [&](std::int64_t index, int) {
            const auto i = static_cast<std::size_t>(index);
            add(i, pieces_[i], goes_by_rows(*pieces_[i].product), memory.get() + at_[i]);
        };
        if (work_ < worth_sharing) {
            for (std::int64_t i = 0; i < count; ++i) {
                one(i, 0);
            }
        } else {
            pool.for_each(count, one);
        }
        for (std::size_t i = 0; i < pieces_.size();) {
            const Piece& piece = pieces_[i];
            std::size_t last = i + 1;
            while (last < pieces_.size() && pieces_[last].product == piece.product &&
                   pieces_[last].first == piece.first) {
                ++last;
            }
            finish(piece, i, static_cast<std::int64_t>(last - i), memory.get() + at_[i],
                   pitch_of(piece.columns));
            i = last;
        }
    }
    std::size_t count() const { return pieces_.size(); }

  private:
    static constexpr std::int64_t worth_sharing = 1 << 15;  // products
    static constexpr std::int64_t worth_cutting = 1 << 16;
    static constexpr std::int64_t narrow = 4096;           // columns
    static constexpr std::int64_t most_pieces = 8;         // along k
    static constexpr std::int64_t most_columns = 1 << 14;  // whose sums take 64 KB
    static constexpr std::int64_t chunk = 128;             // columns: whole cache lines
    static constexpr std::int64_t largest_span = 128;      // of any vectors

    static bool is_narrow(const VectorProduct& product) {
        return product.columns == product.stride && product.columns <= narrow;
    }
    /// Whether whole rows come from memory, one after another; what caches hold goes faster by
    /// several rows at a time.
    static bool goes_by_rows(const VectorProduct& product) {
        constexpr std::int64_t beyond_caches = 1 << 18;  // half a megabyte
        return is_narrow(product) && product.inner * product.columns >= beyond_caches;
    }

    static std::int64_t pitch_of(std::int64_t columns) {
        return (columns + largest_span - 1) / largest_span * largest_span;
    }

    void add(const VectorProduct& product, int threads) {
        const std::int64_t work = product.inner * product.columns;
        work_ += work;
        // The same pieces along k for any number of threads: their sums are added in this order.
        const std::int64_t along = is_narrow(product) && work >= worth_cutting
                                       ? std::clamp<std::int64_t>(product.inner / 8, 1, most_pieces)
                                       : 1;
        const std::int64_t ranges =
            is_narrow(product) || work < worth_sharing
                ? 1
                : std::max<std::int64_t>(
                      std::min<std::int64_t>(threads, (product.columns + chunk - 1) / chunk),
                      (product.columns + most_columns - 1) / most_columns);
        for (std::int64_t range = 0; range < ranges; ++range) {
            const auto bound = [&](std::int64_t i) {
                return std::min(product.columns,
                                (product.columns * i / ranges + chunk - 1) / chunk * chunk);
            };
            const std::int64_t first = bound(range), columns = bound(range + 1) - first;
            for (std::int64_t i = 0; i < along; ++i) {
                pieces_.push_back({&product, first, columns, product.inner * i / along,
                                   product.inner * (i + 1) / along});
                at_.push_back(room_);
                room_ += pitch_of(columns);
            }
        }
    }

    std::vector<Piece> pieces_;
    std::vector<std::int64_t> at_;  ///< where each piece's sums begin
    std::int64_t room_ = 0, work_ = 0;
};

void multiply_fast(std::span<const VectorProduct> products, ThreadPool& pool) {
    Pieces(products, pool.threads())
        .run<float>(
            pool,
            [](std::size_t, const Piece& piece, bool by_rows, float* sums) {
                HWY_DYNAMIC_DISPATCH(sum_fast)(piece, by_rows, sums);
            },
            [](const Piece& range, std::size_t, std::int64_t pieces, const float* sums,
               std::int64_t pitch) {
                HWY_DYNAMIC_DISPATCH(finish_fast)(range, sums, pieces, pitch);
            });
}

}  // namespace

bool is_matrix_vector(const MatmulJob& job) {
    if (job.bias != nullptr) {
        return false;
    }
    const bool row = job.b.column_stride == 1 && job.a.rows <= most_rows;
    const bool column = job.b.columns == 1 && job.a.row_stride == 1 && job.y_row_stride == 1;
    return row || column;
}

void matrix_vector_fast(std::span<const MatmulJob> jobs, ThreadPool& pool) {
    multiply_fast(products_of(jobs), pool);
}

void matrix_vector_exact(std::span<const MatmulJob> jobs, ThreadPool& pool, MatmulScratch& scratch,
                         MatmulStatistics* statistics) {
    constexpr double limit = 32752.0;
    const auto products = products_of(jobs);
    const Pieces pieces(products, pool.threads());
    std::vector<double> totals(pieces.count());
    std::vector<MatmulJob> rest;
    pieces.run<std::int32_t>(
        pool,
        [&](std::size_t i, const Piece& piece, bool by_rows, std::int32_t* sums) {
            totals[i] = HWY_DYNAMIC_DISPATCH(sum_exact)(piece, by_rows, sums);
        },
        [&](const Piece& piece, std::size_t first, std::int64_t count, const std::int32_t* sums,
            std::int64_t pitch) {
            const VectorProduct& p = *piece.product;
            double total = 0.0;
            for (std::int64_t i = 0; i < count; ++i) {
                total += totals[first + static_cast<std::size_t>(i)];
            }
            if (total * 1.0001 < limit) {
                HWY_DYNAMIC_DISPATCH(finish_exact)(piece, sums, count, pitch);
                return;
            }
            rest.push_back({{p.x, 1, p.inner, p.inner * p.x_stride, p.x_stride},
                            {p.w + piece.first, p.inner, piece.columns, p.stride, 1},
                            p.y + piece.first,
                            piece.columns,
                            nullptr});
        });
    if (!rest.empty()) {
        matmul_exact(rest, {}, pool, scratch, statistics);
    }
}

void matrix_vector(const float* x, const fp16* w, std::int64_t inner, std::int64_t columns,
                   std::int64_t stride, float* y, ThreadPool& pool) {
    const VectorProduct product{nullptr, 1, w, stride, inner, columns, nullptr, x, y};
    multiply_fast({&product, 1}, pool);
}

}  // namespace pome::kernels
#endif
