#include <cmath>

#include "reference/ops.h"

namespace pome::reference {

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor* mask) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(query.shape[-1]));
    Tensor scores =
        unary(matmul(query, key, false, true), [scale](double score) { return score * scale; });
    if (mask != nullptr) {
        scores = binary(scores, *mask, add);
    }
    return matmul(softmax(scores, scores.shape.rank() - 1), value, false, false);
}

}  // namespace pome::reference
