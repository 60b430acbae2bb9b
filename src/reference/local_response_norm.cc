#include <algorithm>
#include <cmath>

#include "reference/ops.h"

namespace pome::reference {

Tensor local_response_norm(const Tensor& x, std::int64_t size, double alpha, double beta,
                           double k) {
    Tensor y(x.shape);
    const std::int64_t channels = x.shape[1],
                       inner = x.size() / std::max<std::int64_t>(1, x.shape[0] * channels);
    for (std::int64_t n = 0; n < x.shape[0]; ++n) {
        for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t first = std::max<std::int64_t>(0, c - (size - 1) / 2),
                               last = std::min(channels, c - (size - 1) / 2 + size);
            for (std::int64_t i = 0; i < inner; ++i) {
                double total = 0.0;
                for (std::int64_t other = first; other < last; ++other) {
                    const double value =
                        x.data[static_cast<std::size_t>((n * channels + other) * inner + i)];
                    total += value * value;
                }
                const auto at = static_cast<std::size_t>((n * channels + c) * inner + i);
                y.data[at] =
                    x.data[at] / std::pow(k + alpha / static_cast<double>(size) * total, beta);
            }
        }
    }
    return y;
}

}  // namespace pome::reference
