#pragma once

#include "reference/ops.h"
#include "reference/spatial.h"

namespace pome::reference {

/// Visits every window of every channel plane of x: visit(first element of the plane, window) ->
/// result element, where window holds for each axis the first and last (exclusive) position,
/// clamped to x, and the number of positions that x and its padding together have in it.
struct PoolWindow {
    Spatial first, last;
    std::int64_t padded_positions;
};

template <typename Visit>
Tensor pool(const Tensor& x, const std::vector<std::int64_t>& kernel_sizes, const Window& form,
            const Shape& result, Visit visit) {
    Tensor y(result);
    const Spatial in = spatial(x.shape), out = spatial(result), kernel = three(kernel_sizes, 1);
    const Spatial stride = three(form.strides, 1), before = three(form.before, 0),
                  after = three(form.after, 0);
    auto to = y.data.begin();
    for (std::int64_t plane = 0; plane < result[0] * result[1]; ++plane) {
        for (std::int64_t at = 0; at < volume(out); ++at) {
            const Spatial index{at / (out[1] * out[2]), at / out[2] % out[1], at % out[2]};
            PoolWindow window{{}, {}, 1};
            for (std::size_t a = 0; a < 3; ++a) {
                const std::int64_t start = index[a] * stride[a] - before[a];
                window.first[a] = std::max<std::int64_t>(start, 0);
                window.last[a] = std::min(start + kernel[a], in[a]);
                window.padded_positions *= std::min(start + kernel[a], in[a] + after[a]) - start;
            }
            *to++ = visit(x.data.data() + plane * volume(in), window);
        }
    }
    return y;
}

/// total = f(total, x) over a window.
template <typename F>
double over(const double* plane, const Spatial& sizes, const PoolWindow& window, double total,
            F f) {
    for (std::int64_t d = window.first[0]; d < window.last[0]; ++d) {
        for (std::int64_t h = window.first[1]; h < window.last[1]; ++h) {
            for (std::int64_t w = window.first[2]; w < window.last[2]; ++w) {
                total = f(total, plane[(d * sizes[1] + h) * sizes[2] + w]);
            }
        }
    }
    return total;
}

}  // namespace pome::reference
