#include "reference/ops.h"

namespace pome::reference {

Tensor select(const Tensor& cond, const Tensor& a, const Tensor& b) {
    Shape both, shape;
    broadcast(a.shape, b.shape, both);
    broadcast(cond.shape, both, shape);
    Tensor y(shape);
    const Rows from_cond = rows(cond.shape, shape), from_a = rows(a.shape, shape),
               from_b = rows(b.shape, shape);
    const std::int64_t length = shape.rank() == 0 ? 1 : shape[-1];
    double* out = y.data.data();
    for (std::size_t row = 0; row < from_cond.starts.size(); ++row) {
        for (std::int64_t i = 0; i < length; ++i) {
            const auto at = [&](const Tensor& t, const Rows& r) {
                return t.data[static_cast<std::size_t>(r.starts[row] + i * r.step)];
            };
            *out++ = at(cond, from_cond) != 0.0 ? at(a, from_a) : at(b, from_b);
        }
    }
    return y;
}

}  // namespace pome::reference
