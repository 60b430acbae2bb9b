#include <map>
#include <numeric>

#include "reference/ops.h"
#include "reference/walk.h"

namespace pome::reference {

Tensor einsum(const Tensor& x, const Tensor& y, std::string_view x_labels,
              std::string_view y_labels, std::string_view result_labels, const Shape& result) {
    std::map<char, std::int64_t> sizes;
    const auto add = [&](std::string_view labels, const Shape& shape) {
        for (std::size_t i = 0; i < labels.size(); ++i) {
            sizes[labels[i]] = shape[static_cast<int>(i)];
        }
    };
    add(x_labels, x.shape);
    add(y_labels, y.shape);
    const auto strides_of = [](std::string_view labels, const Shape& shape) {
        std::map<char, std::int64_t> strides;
        const auto own = shape.strides();
        for (std::size_t i = 0; i < labels.size(); ++i) {
            strides[labels[i]] += own[i];
        }
        return strides;
    };
    auto of_x = strides_of(x_labels, x.shape), of_y = strides_of(y_labels, y.shape),
         of_result = strides_of(result_labels, result);
    std::vector<std::int64_t> all, from_x, from_y;
    std::vector<std::int64_t> to;
    for (const auto& [label, size] : sizes) {
        all.push_back(size);
        from_x.push_back(of_x[label]);
        from_y.push_back(of_y[label]);
        to.push_back(of_result[label]);
    }
    Tensor z(result);
    std::vector<std::size_t> at_y;
    walk(all, from_y, to, 0, 0, [&](std::size_t from, std::size_t) { at_y.push_back(from); });
    std::size_t visit = 0;
    walk(all, from_x, to, 0, 0, [&](std::size_t from, std::size_t target) {
        z.data[target] += x.data[from] * y.data[at_y[visit++]];
    });
    return z;
}

}  // namespace pome::reference
