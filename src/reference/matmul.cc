#include "reference/ops.h"

namespace pome::reference {
namespace {

Shape leading(const Shape& shape) {
    return Shape(std::vector<std::int64_t>(shape.begin(), shape.end() - 2));
}

/// Where each matrix of a batch starts, in elements: the batch's axes seen as rows of one element.
std::vector<std::int64_t> starts(const Shape& shape, const Shape& batch) {
    auto own = leading(shape).sizes(), sizes = batch.sizes();
    own.push_back(1);
    sizes.push_back(1);
    auto offsets = rows(Shape(own), Shape(sizes)).starts;
    for (std::int64_t& offset : offsets) {
        offset *= shape[-1] * shape[-2];
    }
    return offsets;
}

}  // namespace

Tensor matmul(const Tensor& x, const Tensor& y, bool transpose_x, bool transpose_y) {
    const std::int64_t m = x.shape[transpose_x ? -1 : -2], k = x.shape[transpose_x ? -2 : -1];
    const std::int64_t n = y.shape[transpose_y ? -2 : -1];
    Shape batch;
    broadcast(leading(x.shape), leading(y.shape), batch);
    auto sizes = batch.sizes();
    sizes.push_back(m);
    sizes.push_back(n);
    Tensor result{Shape(sizes)};
    const auto x_starts = starts(x.shape, batch), y_starts = starts(y.shape, batch);
    std::vector<double> turned(static_cast<std::size_t>(transpose_y ? k * n : 0));
    for (std::size_t b = 0; b < x_starts.size(); ++b) {
        const double* xs = x.data.data() + x_starts[b];
        const double* ys = y.data.data() + y_starts[b];
        if (transpose_y) {  // as [k, n], so that the inner loop runs along a row
            for (std::int64_t j = 0; j < n; ++j) {
                for (std::int64_t p = 0; p < k; ++p) {
                    turned[static_cast<std::size_t>(p * n + j)] = ys[j * k + p];
                }
            }
            ys = turned.data();
        }
        double* out = result.data.data() + static_cast<std::int64_t>(b) * m * n;
        for (std::int64_t i = 0; i < m; ++i) {
            for (std::int64_t p = 0; p < k; ++p) {
                const double factor = transpose_x ? xs[p * m + i] : xs[i * k + p];
                for (std::int64_t j = 0; j < n; ++j) {
                    out[i * n + j] += factor * ys[p * n + j];
                }
            }
        }
    }
    return result;
}

}  // namespace pome::reference
