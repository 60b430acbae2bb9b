#include "train/surface_io.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/convert.h"

namespace pome::train {

using device::Surface;

namespace {

constexpr std::int64_t grain = 16384;  // elements a thread converts at least

}  // namespace

void store(const float* values, Surface& surface, ThreadPool& pool) {
    if (surface.type().dtype == DType::fp32) {
        std::memcpy(surface.floats(), values,
                    static_cast<std::size_t>(surface.elements()) * sizeof(float));
        return;
    }
    fp16* halves = surface.halves();
    pool.for_ranges(surface.elements(), grain, [&](std::int64_t begin, std::int64_t end, int) {
        kernels::to_fp16(values + begin, halves + begin, end - begin, Rounding::nearest_even);
    });
}

void store_matrix(const float* values, const Shape& shape, Surface& surface, ThreadPool& pool) {
    const std::int64_t columns = shape[1], row = surface.type().shape[-1];
    if (columns == row && surface.elements() == shape.elements()) {
        return store(values, surface, pool);
    }
    for (std::int64_t i = 0; i < shape[0]; ++i) {
        if (surface.type().dtype == DType::fp32) {
            std::copy_n(values + i * columns, columns, surface.floats() + i * row);
        } else {
            kernels::to_fp16(values + i * columns, surface.halves() + i * row, columns,
                             Rounding::nearest_even);
        }
    }
}

void load(const Surface& surface, float* values, ThreadPool& pool) {
    if (surface.type().dtype == DType::fp32) {
        std::memcpy(values, surface.floats(),
                    static_cast<std::size_t>(surface.elements()) * sizeof(float));
        return;
    }
    const fp16* halves = surface.halves();
    pool.for_ranges(surface.elements(), grain, [&](std::int64_t begin, std::int64_t end, int) {
        kernels::to_float(halves + begin, values + begin, end - begin);
    });
}

namespace {

constexpr std::int64_t tile = 64;  // rows and columns that stay in the cache together

/// Calls body(row, column, count) for runs of `count` columns of a row, tile after tile; a thread
/// has columns of its own.
template <typename Body>
void for_tiles(const Surface& surface, ThreadPool& pool, Body body) {
    const std::int64_t rows = surface.type().shape[1],
                       columns = surface.elements() / surface.type().shape[1];
    pool.for_ranges(columns, tile, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row0 = 0; row0 < rows; row0 += tile) {
            for (std::int64_t column0 = begin; column0 < end; column0 += tile) {
                const std::int64_t count = std::min(tile, end - column0);
                for (std::int64_t row = row0; row < std::min(rows, row0 + tile); ++row) {
                    body(row, column0, count, row * columns + column0);
                }
            }
        }
    });
}

}  // namespace

void store_transposed(const float* values, std::int64_t stride, Surface& surface,
                      ThreadPool& pool) {
    const bool wide = surface.type().dtype == DType::fp32;
    float* floats = wide ? surface.floats() : nullptr;
    fp16* halves = wide ? nullptr : surface.halves();
    for_tiles(surface, pool,
              [&](std::int64_t row, std::int64_t column, std::int64_t count, std::int64_t at) {
                  float run[tile];
                  for (std::int64_t i = 0; i < count; ++i) {
                      run[i] = values[(column + i) * stride + row];
                  }
                  if (wide) {
                      std::copy(run, run + count, floats + at);
                  } else {
                      kernels::to_fp16(run, halves + at, count, Rounding::nearest_even);
                  }
              });
}

void load_transposed(const Surface& surface, float* values, std::int64_t stride, ThreadPool& pool) {
    const bool wide = surface.type().dtype == DType::fp32;
    const float* floats = wide ? surface.floats() : nullptr;
    const fp16* halves = wide ? nullptr : surface.halves();
    for_tiles(surface, pool,
              [&](std::int64_t row, std::int64_t column, std::int64_t count, std::int64_t at) {
                  float run[tile];
                  if (wide) {
                      std::copy(floats + at, floats + at + count, run);
                  } else {
                      kernels::to_float(halves + at, run, count);
                  }
                  for (std::int64_t i = 0; i < count; ++i) {
                      values[(column + i) * stride + row] = run[i];
                  }
              });
}

bool leaves_fp16(const float* values, std::int64_t count) {
    constexpr float limit = 65520.0F;  // from here on nearest even gives infinity
    int outside = 0;                   // no early end: the compiler can run this as vectors
    for (std::int64_t i = 0; i < count; ++i) {
        outside |= std::fabs(values[i]) < limit ? 0 : 1;
    }
    return outside != 0;
}

bool has_infinity(const float* values, std::int64_t count) {
    // A sum of magnitudes is infinite or NaN exactly when one of them is, fp16 values being far
    // from FLT_MAX.
    float sums[16] = {};  // independent chains that the compiler can run as vectors
    for (std::int64_t i = 0; i + 16 <= count; i += 16) {
        for (int lane = 0; lane < 16; ++lane) {
            sums[lane] += std::fabs(values[i + lane]);
        }
    }
    for (std::int64_t i = count / 16 * 16; i < count; ++i) {
        sums[0] += std::fabs(values[i]);
    }
    return !std::all_of(std::begin(sums), std::end(sums),
                        [](float sum) { return std::isfinite(sum); });
}

}  // namespace pome::train
