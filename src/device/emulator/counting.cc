#include "device/emulator/counting.h"

#include <algorithm>
#include <array>
#include <span>

#include "reference/chip/multiply_accumulate.h"

namespace pome::device::emulator {
namespace {

constexpr int least_exponent = -14;  // subnormals count as the smallest normal numbers
constexpr int exponents = 31;        // -14 to 16: exponent 31 is ordinary on this path

int exponent_of(fp16 value) {
    return std::max((value.bits >> 10) & 31, 1) - 15;
}
bool is_subnormal(fp16 value) {
    return !is_zero(value) && (value.bits & 0x7C00) == 0;
}

/// The non-zero factors of one k: normal ones by exponent, subnormal ones one by one, because their
/// products may round to zero without being dropped.
struct Factors {
    std::array<std::int64_t, exponents> normal{};
    std::vector<fp16> subnormal;
    std::vector<fp16> all;

    Factors(const fp16* values, std::int64_t count, std::int64_t stride) {
        for (std::int64_t i = 0; i < count; ++i) {
            const fp16 value = values[i * stride];
            if (is_subnormal(value)) {
                subnormal.push_back(value);
            } else if (!is_zero(value)) {
                ++normal[static_cast<std::size_t>(exponent_of(value) - least_exponent)];
            }
        }
    }
    /// The normal factors, wanted where the other side has subnormal ones.
    void list(const fp16* values, std::int64_t count, std::int64_t stride) {
        for (std::int64_t i = 0; i < count; ++i) {
            const fp16 value = values[i * stride];
            if (!is_subnormal(value) && !is_zero(value)) {
                all.push_back(value);
            }
        }
    }
};

/// The scalar model's answer for one product of non-zero factors.
bool vanishes(fp16 x, fp16 w, const Numerics::MultiplyAccumulate& rules) {
    return is_zero(
        reference::chip::multiply_accumulate(std::span(&x, 1), std::span(&w, 1), 0.0F, rules));
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
    if (!rules.fixed_point) {
        return vanished;
    }
    for (const auto& job : jobs) {
        const kernels::Matrix &left = job.a, &right = job.b;
        for (std::int64_t k = 0; k < left.columns; ++k) {
            const fp16 *a_values = left.data + k * left.column_stride,
                       *b_values = right.data + k * right.row_stride;
            Factors a(a_values, left.rows, left.row_stride),
                b(b_values, right.columns, right.column_stride);
            for (int i = 0; i < exponents; ++i) {
                for (int j = 0; j < exponents; ++j) {
                    if (rules.drop && i + j + 2 * least_exponent <= rules.drop_exponent) {
                        vanished += a.normal[static_cast<std::size_t>(i)] *
                                    b.normal[static_cast<std::size_t>(j)];
                    }
                }
            }
            if (!a.subnormal.empty()) {
                b.list(b_values, right.columns, right.column_stride);
            }
            if (!b.subnormal.empty()) {
                a.list(a_values, left.rows, left.row_stride);
            }
            const auto one_by_one = [&](const std::vector<fp16>& some,
                                        const std::vector<fp16>& others) {
                for (const fp16 x : some) {
                    for (const fp16 w : others) {
                        vanished += vanishes(x, w, rules) ? 1 : 0;
                    }
                }
            };
            one_by_one(a.subnormal, b.all);
            one_by_one(a.subnormal, b.subnormal);
            one_by_one(b.subnormal, a.all);
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
