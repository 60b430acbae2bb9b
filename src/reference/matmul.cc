#include <algorithm>

#include "reference/ops.h"

namespace pome::reference {
namespace {

/// Where each matrix of a broadcast batch starts, in elements.
std::vector<std::int64_t> starts(const Shape& shape, const Shape& result) {
    std::vector<std::int64_t> offsets{0};
    const auto strides = shape.strides();
    for (int axis = 0; axis < result.rank() - 2; ++axis) {
        const int own = axis - (result.rank() - shape.rank());
        const std::int64_t stride =
            own >= 0 && shape[own] != 1 ? strides[static_cast<std::size_t>(own)] : 0;
        std::vector<std::int64_t> next;
        for (const std::int64_t offset : offsets) {
            for (std::int64_t i = 0; i < result[axis]; ++i) {
                next.push_back(offset + i * stride);
            }
        }
        offsets = std::move(next);
    }
    return offsets;
}

}  // namespace

Tensor matmul(const Tensor& x, const Tensor& y, bool transpose_x, bool transpose_y) {
    const std::int64_t m = x.shape[transpose_x ? -1 : -2], k = x.shape[transpose_x ? -2 : -1];
    const std::int64_t n = y.shape[transpose_y ? -2 : -1];
    const auto leading = [](const Shape& shape) {
        return Shape(std::vector<std::int64_t>(shape.begin(), shape.end() - 2));
    };
    Shape batch;
    broadcast(leading(x.shape), leading(y.shape), batch);
    auto sizes = batch.sizes();
    sizes.push_back(m);
    sizes.push_back(n);
    Tensor result{Shape(sizes)};
    const auto x_starts = starts(x.shape, result.shape), y_starts = starts(y.shape, result.shape);
    std::vector<double> y_rows(
        static_cast<std::size_t>(k * n));  // [k, n]: the inner loop runs along a row
    for (std::size_t b = 0; b < x_starts.size(); ++b) {
        const double* xs = x.data.data() + x_starts[b];
        const double* ys = y.data.data() + y_starts[b];
        for (std::int64_t p = 0; p < k; ++p) {
            for (std::int64_t j = 0; j < n; ++j) {
                y_rows[static_cast<std::size_t>(p * n + j)] =
                    transpose_y ? ys[j * k + p] : ys[p * n + j];
            }
        }
        double* out = result.data.data() + static_cast<std::int64_t>(b) * m * n;
        for (std::int64_t i = 0; i < m; ++i) {
            for (std::int64_t p = 0; p < k; ++p) {
                const double factor = transpose_x ? xs[p * m + i] : xs[i * k + p];
                const double* row = y_rows.data() + p * n;
                for (std::int64_t j = 0; j < n; ++j) {
                    out[i * n + j] += factor * row[j];
                }
            }
        }
    }
    return result;
}

}  // namespace pome::reference
