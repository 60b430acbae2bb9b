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
