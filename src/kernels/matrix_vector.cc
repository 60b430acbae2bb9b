// One vector times a matrix, w[k, n] with n contiguous. Each element of w is used once, so the time
// is that of reading it: sums stay in the nearest cache while steps of k pass by, `group` of them
// at a time, and the next group is fetched meanwhile.
//
// Exact products: the quick way of matmul_exact.cc, whose comments say why fma(x', w, 192), x'
// moved away from zero by one unit, is the engine's rounded product. There norms, which packing
// yields, bound the sums; here one pass is all there is, so the bound comes after the fact: the
// largest magnitude of w in each step of a tile is noted, and
//     sum over the steps of a group of |x| max|w| + steps * 2^-17 < 63
// says that the group's sums stayed within 63 of 192 at every moment. Where it fails but each
// |x| max|w| is below 63, the group is summed again with every product starting at 192. The total
// of the groups' bounds below 32752 says that no sum, in whatever order, reached the limit or
// rounds to it. Tiles that fail both, and infinities of fp16, go to matmul_exact().
//
// The drop rule is a comparison of the magnitude's bits: t = 2^(-16 - e(x)) lies in [2^-13, 2^-2]
// where it is needed, so t and w compare as integers. Dropped elements become zeros.

// Vectors whose size the compiler does not know cannot be kept in arrays of registers.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include "kernels/matrix_vector.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matrix_vector.cc"
#include "hwy/cache_control.h"
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
};

constexpr std::int64_t vector_group = 8;    // steps of k that share a pass over the sums
constexpr std::int64_t vector_tile = 2048;  // columns whose sums stay in the nearest cache

}  // namespace pome::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace pome::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::Vec<hn::ScalableTag<float>>;
using HalvesTag = hn::Rebind<std::int16_t, hn::ScalableTag<float>>;
using Halves = hn::Vec<HalvesTag>;  // the bits of as many elements; magnitudes compare as integers
constexpr std::int64_t lanes = HWY_LANES(float);
constexpr std::int64_t unroll = 2;  // vectors of columns at a time
constexpr std::int64_t span = unroll * lanes;
static_assert(vector_tile % span == 0);

/// Rows of w for one group of steps. Steps that are missing, and the columns that do not fill a
/// span, are read from zeros and from a copy filled up with them.
struct Rows {
    const fp16* row[vector_group];
};

HWY_INLINE Halves load(const fp16* from) {
    return hn::LoadU(HalvesTag(), reinterpret_cast<const std::int16_t*>(from));
}

HWY_INLINE Floats widen(Halves bits) {
    return widen_bits(hn::ScalableTag<float>(),
                      hn::BitCast(hn::RebindToUnsigned<HalvesTag>(), bits));
}

/// Calls body(rows, at, n) for the columns n of one group in steps of span: row j's lie at
/// rows.row[j] + at. `fetch`: a whole group follows this one; its lines are fetched in the order in
/// which they lie, 1.9 times as fast over 768 columns as the same column of each row in turn.
template <class Body>
HWY_INLINE void for_columns(const fp16* w, std::int64_t stride, std::int64_t steps,
                            std::int64_t columns, bool fetch, Body body) {
    constexpr std::int64_t line = 32;
    static const fp16 zeros[vector_tile] = {};
    Rows rows;
    for (std::int64_t j = 0; j < vector_group; ++j) {
        rows.row[j] = j < steps ? w + j * stride : zeros;
    }
    const fp16* next = w + vector_group * stride;
    std::int64_t fetched = 0, n = 0;
    for (; n + span <= columns; n += span) {
        if (fetch && n % line == 0) {
            for (std::int64_t j = 0; j < vector_group; ++j) {
                hwy::Prefetch(next + fetched);
                fetched += line;
                if (fetched >= columns) {
                    fetched = 0;
                    next += stride;
                }
            }
        }
        body(rows, n, n);
    }
    if (n < columns) {
        alignas(64) fp16 rest[vector_group][span] = {};
        for (std::int64_t j = 0; j < vector_group; ++j) {
            std::copy_n(rows.row[j] + n, columns - n, rest[j]);
            rows.row[j] = rest[j];
        }
        body(rows, 0, n);
    }
}

/// Sums of a tile of at most vector_tile columns in fp32, k ascending.
HWY_NOINLINE void sum_fast(const VectorProduct& p, std::int64_t first, std::int64_t columns,
                           float* sums) {
    const hn::ScalableTag<float> d;
    std::fill_n(sums, (columns + span - 1) / span * span, 0.0F);
    for (std::int64_t k = 0; k < p.inner; k += vector_group) {
        const std::int64_t steps = std::min(vector_group, p.inner - k);
        Floats x[vector_group];
        for (std::int64_t j = 0; j < vector_group; ++j) {
            x[j] = hn::Set(d, j >= steps            ? 0.0F
                              : p.wide_x != nullptr ? p.wide_x[k + j]
                                                    : to_float(p.x[(k + j) * p.x_stride]));
        }
        const auto add = [&](auto used) HWY_ATTR {
            for_columns(p.w + k * p.stride + first, p.stride, steps, columns,
                        k + 2 * vector_group <= p.inner,
                        [&](const Rows& rows, std::int64_t at, std::int64_t n) HWY_ATTR {
                            Floats sum[unroll];
                            for (std::int64_t v = 0; v < unroll; ++v) {
                                sum[v] = hn::Load(d, sums + n + v * lanes);
                            }
                            for (std::int64_t j = 0; j < used; ++j) {
                                for (std::int64_t v = 0; v < unroll; ++v) {
                                    const auto w = widen(load(rows.row[j] + at + v * lanes));
                                    sum[v] = hn::MulAdd(x[j], w, sum[v]);
                                }
                            }
                            for (std::int64_t v = 0; v < unroll; ++v) {
                                hn::Store(sum[v], d, sums + n + v * lanes);
                            }
                        });
        };
        // Missing steps must not be computed as zeros: that would change the sign of a zero.
        if (steps == vector_group) {
            add(std::integral_constant<std::int64_t, vector_group>());
        } else {
            add(steps);
        }
    }
}

void multiply_tile_fast(const VectorProduct& p, std::int64_t first, std::int64_t columns) {
    const hn::ScalableTag<float> d;
    HWY_ALIGN float sums[vector_tile];
    sum_fast(p, first, columns, sums);
    if (p.wide_y != nullptr) {
        std::copy_n(sums, columns, p.wide_y + first);
        return;
    }
    std::int64_t n = 0;
    for (; n + lanes <= columns; n += lanes) {
        store_halves(d, hn::Load(d, sums + n), p.y + first + n);
    }
    if (n < columns) {
        fp16 rest[lanes];
        store_halves(d, hn::Load(d, sums + n), rest);
        std::copy_n(rest, columns - n, p.y + first + n);
    }
}

#if HWY_NATIVE_FMA
constexpr float anchor = 192.0F;
constexpr std::int32_t anchor_bits = 0x43400000;  // its bits

/// The bits of the largest magnitude of w that is dropped beside x; -1: none is.
inline std::int16_t drop_bits(fp16 x) {
    const int exponent = std::max(1, (x.bits >> 10) & 0x1F) - 15;
    const int threshold = -16 - exponent;  // exponent of t; all is kept from 2^-14 down
    return is_zero(x) || threshold <= -14 ? std::int16_t{-1}
                                          : static_cast<std::int16_t>(((threshold + 15) << 10) - 1);
}

/// What one group of steps multiplies with.
struct Factors {
    // Written out: a constructor that the compiler makes does not have the target's vectors.
    HWY_INLINE Factors() {}

    Floats x[vector_group];         // moved away from zero by one unit
    Halves limit[vector_group];     // drop_bits
    float magnitude[vector_group];  // |x|
};

/// The engine's sums of one group, in units of 2^-16, added to sums[0, columns); together: one
/// chain a column, otherwise every product by itself. Returns the bound: the group's largest sum of
/// magnitudes, or its largest product; infinity where an element has exponent 31.
template <bool together>
HWY_NOINLINE float add_group(const VectorProduct& p, std::int64_t k, std::int64_t steps,
                             std::int64_t first, std::int64_t columns, const Factors& factors,
                             std::int32_t* sums) {
    const hn::ScalableTag<float> d;
    const hn::ScalableTag<std::int32_t> di;
    const HalvesTag dh;
    Halves top[vector_group];
    for (auto& t : top) {
        t = hn::Zero(dh);
    }
    const auto start = hn::Set(d, anchor);
    const auto base = hn::Set(di, anchor_bits);
    for_columns(p.w + k * p.stride + first, p.stride, steps, columns,
                together && k + 2 * vector_group <= p.inner,
                [&](const Rows& rows, std::int64_t at, std::int64_t n) HWY_ATTR {
                    for (std::int64_t v = 0; v < unroll; ++v) {
                        auto sum = hn::Load(di, sums + n + v * lanes);
                        auto anchored = start;
                        for (std::int64_t j = 0; j < vector_group; ++j) {
                            const auto bits = load(rows.row[j] + at + v * lanes);
                            const auto magnitude = hn::And(bits, hn::Set(dh, std::int16_t{0x7FFF}));
                            top[j] = hn::Max(top[j], magnitude);
                            const auto kept =
                                hn::IfThenElseZero(hn::Gt(magnitude, factors.limit[j]), bits);
                            anchored = hn::MulAdd(factors.x[j], widen(kept), anchored);
                            if constexpr (!together) {
                                sum = hn::Add(sum, hn::Sub(hn::BitCast(di, anchored), base));
                                anchored = start;
                            }
                        }
                        if constexpr (together) {
                            sum = hn::Add(sum, hn::Sub(hn::BitCast(di, anchored), base));
                        }
                        hn::Store(sum, di, sums + n + v * lanes);
                    }
                });
    float bound = 0.0F;
    for (std::int64_t j = 0; j < steps; ++j) {
        HWY_ALIGN std::int16_t magnitudes[lanes];
        hn::Store(top[j], dh, magnitudes);
        const auto largest =
            static_cast<std::uint16_t>(*std::max_element(magnitudes, magnitudes + lanes));
        if (largest >= 0x7C00) {
            return HUGE_VALF;
        }
        const float product = factors.magnitude[j] * to_float(fp16{largest});
        bound = together ? bound + product : std::max(bound, product);
    }
    // A sum of eight floats is off by parts in 2^21; each product was rounded by half a unit.
    return bound * 1.001F + static_cast<float>(vector_group) * 0x1p-17F;
}

/// False where the bounds fail; then nothing was stored.
bool multiply_tile_exact(const VectorProduct& p, std::int64_t first, std::int64_t columns) {
    constexpr float quick = 63.0F, limit = 32752.0F;
    const hn::ScalableTag<float> d;
    const HalvesTag dh;
    HWY_ALIGN std::int32_t sums[vector_tile];
    HWY_ALIGN std::int32_t before[vector_tile];
    const std::int64_t room = (columns + span - 1) / span * span;
    std::fill_n(sums, room, 0);
    float total = 0.0F;
    for (std::int64_t k = 0; k < p.inner; k += vector_group) {
        const std::int64_t steps = std::min(vector_group, p.inner - k);
        Factors factors;
        float most = 0.0F;
        for (std::int64_t j = 0; j < vector_group; ++j) {
            const fp16 x = j < steps ? p.x[(k + j) * p.x_stride] : fp16{0};
            if ((x.bits & 0x7C00) == 0x7C00) {
                return false;
            }
            const float value = to_float(x);
            const float moved = value == 0.0F
                                    ? value
                                    : std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) + 1);
            factors.x[j] = hn::Set(d, moved);
            factors.limit[j] = hn::Set(dh, drop_bits(x));
            factors.magnitude[j] = std::fabs(value);
            most += factors.magnitude[j];
        }
        const bool risky = most >= 8.0F;  // weights and caches seldom exceed 8
        if (risky) {
            std::copy_n(sums, room, before);
        }
        float bound = add_group<true>(p, k, steps, first, columns, factors, sums);
        total += bound;
        if (bound >= quick) {
            if (!risky) {
                return false;
            }
            std::copy_n(before, room, sums);
            bound = add_group<false>(p, k, steps, first, columns, factors, sums);
        }
        if (!(bound < quick && total < limit)) {
            return false;
        }
    }
    const hn::ScalableTag<std::int32_t> di;
    std::int64_t n = 0;
    for (; n + lanes <= columns; n += lanes) {
        store_results(hn::Load(di, sums + n), lanes, p.y + first + n);
    }
    if (n < columns) {
        fp16 rest[lanes];
        store_results(hn::Load(di, sums + n), lanes, rest);
        std::copy_n(rest, columns - n, p.y + first + n);
    }
    return true;
}
#else
bool multiply_tile_exact(const VectorProduct&, std::int64_t, std::int64_t) {
    return false;  // the quick way is one rounding: it needs a fused multiply-add
}
#endif

}  // namespace pome::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pome::kernels {
namespace {

HWY_EXPORT(multiply_tile_fast);
HWY_EXPORT(multiply_tile_exact);

constexpr std::int64_t most_rows = 8;            // beyond, packing pays
constexpr std::int64_t chunk = 128;              // columns: whole cache lines of every row
constexpr std::int64_t worth_sharing = 1 << 15;  // products

std::int64_t chunks_of(std::int64_t columns) {
    return (columns + chunk - 1) / chunk;
}

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

/// Calls tile(product, first column, columns) for tiles of all products, shared among threads.
template <class Tile>
void for_tiles(std::span<const VectorProduct> products, ThreadPool& pool, Tile tile) {
    std::int64_t total = 0, work = 0;
    for (const VectorProduct& product : products) {
        total += chunks_of(product.columns);
        work += product.columns * product.inner;
    }
    const std::int64_t grain = work < worth_sharing ? total : 1;
    pool.for_ranges(total, grain, [&](std::int64_t begin, std::int64_t end, int) {
        std::int64_t before = 0;
        for (const VectorProduct& product : products) {
            const std::int64_t own = chunks_of(product.columns);
            const std::int64_t last =
                std::min((std::min(end, before + own) - before) * chunk, product.columns);
            std::int64_t first = std::max<std::int64_t>(0, begin - before) * chunk;
            for (; first < last; first += vector_tile) {
                tile(product, first, std::min(vector_tile, last - first));
            }
            before += own;
        }
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
    const auto products = products_of(jobs);
    for_tiles(products, pool,
              [](const VectorProduct& product, std::int64_t first, std::int64_t columns) {
                  HWY_DYNAMIC_DISPATCH(multiply_tile_fast)(product, first, columns);
              });
}

void matrix_vector_exact(std::span<const MatmulJob> jobs, ThreadPool& pool, MatmulScratch& scratch,
                         MatmulStatistics* statistics) {
    struct Failed {
        const VectorProduct* product;
        std::int64_t first, columns;
    };
    const auto products = products_of(jobs);
    std::vector<Failed> failed;
    std::mutex mutex;
    for_tiles(products, pool,
              [&](const VectorProduct& product, std::int64_t first, std::int64_t columns) {
                  if (!HWY_DYNAMIC_DISPATCH(multiply_tile_exact)(product, first, columns)) {
                      const std::lock_guard lock(mutex);
                      failed.push_back({&product, first, columns});
                  }
              });
    if (failed.empty()) {
        return;
    }
    std::vector<MatmulJob> rest;
    for (const Failed& tile : failed) {
        const VectorProduct& p = *tile.product;
        rest.push_back({{p.x, 1, p.inner, p.inner * p.x_stride, p.x_stride},
                        {p.w + tile.first, p.inner, tile.columns, p.stride, 1},
                        p.y + tile.first,
                        tile.columns,
                        nullptr});
    }
    matmul_exact(rest, {}, pool, scratch, statistics);
}

void matrix_vector(const float* x, const fp16* w, std::int64_t inner, std::int64_t columns,
                   std::int64_t stride, float* y, ThreadPool& pool) {
    VectorProduct product{nullptr, 1, w, stride, inner, columns, nullptr, x, y};
    for_tiles({&product, 1}, pool,
              [](const VectorProduct& p, std::int64_t first, std::int64_t count) {
                  HWY_DYNAMIC_DISPATCH(multiply_tile_fast)(p, first, count);
              });
}

}  // namespace pome::kernels
#endif
