#include "device/emulator/counting.h"

#include <algorithm>
#include <array>

namespace pome::device::emulator {
namespace {

constexpr int least_exponent = -14;  // subnormals count as the smallest normal numbers
constexpr int exponents = 31;        // -14 to 16: exponent 31 is ordinary on this path

/// Index of a non-zero value's exponent.
std::size_t exponent_index(fp16 value) {
    const int biased = (value.bits >> 10) & 31;
    return static_cast<std::size_t>(std::max(biased, 1) - 1);
}

using Histogram = std::array<std::int64_t, exponents>;

Histogram histogram(const fp16* values, std::int64_t count, std::int64_t stride) {
    Histogram result{};
    for (std::int64_t i = 0; i < count; ++i) {
        const fp16 value = values[i * stride];
        if (!is_zero(value)) {
            ++result[exponent_index(value)];
        }
    }
    return result;
}

/// Strides of `shape` seen as `result`, 0 where it is repeated.
std::vector<std::int64_t> broadcast_strides(const Shape& shape, const Shape& result) {
    std::vector<std::int64_t> strides(static_cast<std::size_t>(result.rank()), 0);
    const auto own = shape.strides();
    for (int axis = 0; axis < shape.rank(); ++axis) {
        if (shape[axis] != 1) {
            strides[static_cast<std::size_t>(result.rank() - shape.rank() + axis)] =
                own[static_cast<std::size_t>(axis)];
        }
    }
    return strides;
}

}  // namespace

std::int64_t vanished_products(const std::vector<kernels::MatmulJob>& jobs,
                               const Numerics::MultiplyAccumulate& rules) {
    std::int64_t vanished = 0;
    if (!rules.fixed_point || !rules.drop) {
        return vanished;
    }
    for (const auto& job : jobs) {
        for (std::int64_t k = 0; k < job.a.columns; ++k) {
            const Histogram a =
                histogram(job.a.data + k * job.a.column_stride, job.a.rows, job.a.row_stride);
            const Histogram b =
                histogram(job.b.data + k * job.b.row_stride, job.b.columns, job.b.column_stride);
            for (int i = 0; i < exponents; ++i) {
                for (int j = 0; j < exponents; ++j) {
                    if (i + j + 2 * least_exponent <= rules.drop_exponent) {
                        vanished += a[static_cast<std::size_t>(i)] * b[static_cast<std::size_t>(j)];
                    }
                }
            }
        }
    }
    return vanished;
}

std::int64_t count_infinite(const fp16* values, std::int64_t count) {
    return std::count_if(values, values + count, [](fp16 value) { return is_infinite(value); });
}

std::int64_t count_nan(const fp16* values, std::int64_t count) {
    return std::count_if(values, values + count, [](fp16 value) { return is_nan(value); });
}

std::int64_t count_indeterminate(std::string_view op, const fp16* x, const Shape& x_shape,
                                 const fp16* y, const Shape& y_shape, const Shape& result) {
    const auto undefined = [&](fp16 a, fp16 b) {
        if (is_nan(a) || is_nan(b)) {
            return false;
        }
        const bool both = is_infinite(a) && is_infinite(b);
        const bool same_sign = ((a.bits ^ b.bits) & 0x8000U) == 0;
        if (op == "add" || op == "sub") {
            return both && same_sign == (op == "sub");
        }
        if (op == "mul") {
            return (is_infinite(a) && is_zero(b)) || (is_zero(a) && is_infinite(b));
        }
        return op == "real_div" && (both || (is_zero(a) && is_zero(b)));
    };
    const auto x_strides = broadcast_strides(x_shape, result),
               y_strides = broadcast_strides(y_shape, result);
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < result.elements(); ++i) {
        std::int64_t rest = i, x_at = 0, y_at = 0;
        for (int axis = result.rank() - 1; axis >= 0; --axis) {
            const std::int64_t index = rest % result[axis];
            rest /= result[axis];
            x_at += index * x_strides[static_cast<std::size_t>(axis)];
            y_at += index * y_strides[static_cast<std::size_t>(axis)];
        }
        count += undefined(x[x_at], y[y_at]) ? 1 : 0;
    }
    return count;
}

bool only_moves(std::string_view op) {
    static constexpr std::array<std::string_view, 20> ops{
        "reshape",        "expand_dims",    "squeeze",        "identity",
        "transpose",      "slice_by_size",  "slice_by_index", "slice_update",
        "concat",         "split",          "stack",          "pad",
        "tile",           "reverse",        "gather",         "gather_along_axis",
        "depth_to_space", "space_to_depth", "pixel_shuffle",  "cast"};
    return std::find(ops.begin(), ops.end(), op) != ops.end();
}

}  // namespace pome::device::emulator
