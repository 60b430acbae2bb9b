#include "train/surface_io.h"

#include <algorithm>
#include <atomic>
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

bool load_finite(const Surface& surface, float* values, ThreadPool& pool) {
    const bool wide = surface.type().dtype == DType::fp32;
    const float* floats = wide ? surface.floats() : nullptr;
    const fp16* halves = wide ? nullptr : surface.halves();
    std::atomic<bool> finite{true};
    pool.for_ranges(surface.elements(), grain, [&](std::int64_t begin, std::int64_t end, int) {
        constexpr std::int64_t run = 4096;  // is looked at while it is in the nearest cache
        for (std::int64_t i = begin; i < end; i += run) {
            const std::int64_t count = std::min(run, end - i);
            if (wide) {
                std::copy_n(floats + i, count, values + i);
            } else {
                kernels::to_float(halves + i, values + i, count);
            }
            if (has_infinity(values + i, count)) {
                finite = false;
            }
        }
    });
    return finite;
}

bool is_finite(const Surface& surface, ThreadPool& pool) {
    const fp16* halves = surface.halves();
    std::atomic<bool> finite{true};
    pool.for_ranges(surface.elements(), grain, [&](std::int64_t begin, std::int64_t end, int) {
        std::int16_t largest = 0;  // of magnitudes, which compare as integers
        for (std::int64_t i = begin; i < end; ++i) {
            largest = std::max(largest, static_cast<std::int16_t>(halves[i].bits & 0x7FFF));
        }
        if (largest >= 0x7C00) {
            finite = false;
        }
    });
    return finite;
}

namespace {

constexpr std::int64_t tile = 64;  // rows and columns that stay in the cache together

/// Calls body(row, rows, column, columns) for tiles of a surface [1, R, 1, C]; a thread has columns
/// of its own.
template <typename Body>
void for_tiles(std::int64_t all_rows, std::int64_t all_columns, ThreadPool& pool, Body body) {
    pool.for_ranges(all_columns, tile, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = 0; row < all_rows; row += tile) {
            for (std::int64_t column = begin; column < end; column += tile) {
                body(row, std::min(tile, all_rows - row), column, std::min(tile, end - column));
            }
        }
    });
}

}  // namespace

void store_transposed(const float* values, std::int64_t stride, Surface& surface,
                      ThreadPool& pool) {
    const std::int64_t all_rows = surface.type().shape[1],
                       all_columns = surface.elements() / all_rows;
    const bool wide = surface.type().dtype == DType::fp32;
    float* floats = wide ? surface.floats() : nullptr;
    fp16* halves = wide ? nullptr : surface.halves();
    for_tiles(all_rows, all_columns, pool,
              [&](std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t columns) {
                  // By way of memory of its own: rows and columns of the arrays share cache sets.
                  float turned[tile * tile];
                  for (std::int64_t c = 0; c < columns; ++c) {
                      const float* from = values + (column + c) * stride + row;
                      for (std::int64_t r = 0; r < rows; ++r) {
                          turned[r * tile + c] = from[r];
                      }
                  }
                  for (std::int64_t r = 0; r < rows; ++r) {
                      const float* run = turned + r * tile;
                      const std::int64_t at = (row + r) * all_columns + column;
                      if (wide) {
                          std::copy(run, run + columns, floats + at);
                      } else {
                          kernels::to_fp16(run, halves + at, columns, Rounding::nearest_even);
                      }
                  }
              });
}

void load_transposed(const Surface& surface, float* values, std::int64_t stride, ThreadPool& pool) {
    const std::int64_t all_rows = surface.type().shape[1],
                       all_columns = surface.elements() / all_rows;
    const bool wide = surface.type().dtype == DType::fp32;
    const float* floats = wide ? surface.floats() : nullptr;
    const fp16* halves = wide ? nullptr : surface.halves();
    for_tiles(all_rows, all_columns, pool,
              [&](std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t columns) {
                  float read[tile * tile];
                  for (std::int64_t r = 0; r < rows; ++r) {
                      float* run = read + r * tile;
                      const std::int64_t at = (row + r) * all_columns + column;
                      if (wide) {
                          std::copy(floats + at, floats + at + columns, run);
                      } else {
                          kernels::to_float(halves + at, run, columns);
                      }
                  }
                  for (std::int64_t c = 0; c < columns; ++c) {
                      float* to = values + (column + c) * stride + row;
                      for (std::int64_t r = 0; r < rows; ++r) {
                          to[r] = read[r * tile + c];
                      }
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
