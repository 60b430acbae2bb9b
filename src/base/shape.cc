#include "base/shape.h"

#include <algorithm>

#include "base/error.h"

namespace pome {

bool Shape::is_static() const {
    return std::all_of(sizes_.begin(), sizes_.end(), [](std::int64_t n) { return n >= 0; });
}

std::int64_t Shape::elements() const {
    constexpr std::int64_t limit = std::int64_t{1} << 62;
    std::int64_t product = 1;
    bool empty = false;
    for (const std::int64_t n : sizes_) {
        if (n < 0) {
            fail(Code::invalid_argument, "base.shape", "shape {} has an unknown size", text());
        }
        if (n == 0) {
            empty = true;
        } else if (product > limit / n) {
            fail(Code::invalid_argument, "base.shape", "shape {} has more than 2^62 elements",
                 text());
        } else {
            product *= n;
        }
    }
    return empty ? 0 : product;
}

std::vector<std::int64_t> Shape::strides() const {
    std::vector<std::int64_t> strides(sizes_.size(), 1);
    for (std::size_t i = sizes_.size(); i-- > 1;) {
        strides[i - 1] = strides[i] * sizes_[i];
    }
    return strides;
}

std::string Shape::text() const {
    std::string text = "[";
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
        if (i > 0) {
            text += ',';
        }
        text += sizes_[i] < 0 ? "?" : std::to_string(sizes_[i]);
    }
    return text + "]";
}

bool broadcast(const Shape& a, const Shape& b, Shape& result) {
    const int rank = std::max(a.rank(), b.rank());
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(rank), 1);
    for (int i = 1; i <= rank; ++i) {
        const std::int64_t x = i <= a.rank() ? a[-i] : 1;
        const std::int64_t y = i <= b.rank() ? b[-i] : 1;
        if (x != y && x != 1 && y != 1) {
            return false;
        }
        sizes[static_cast<std::size_t>(rank - i)] = x == 1 ? y : x;
    }
    result = Shape(std::move(sizes));
    return true;
}

}  // namespace pome
