// Products whose sums have a number of terms that the chip does not take: filled up with zeros.
#include <algorithm>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"matmul"};

/// The operand with `count` zeros after the elements of one of its last two axes.
mil::Value filled(const Site& site, std::string_view argument, int axis, std::int64_t count) {
    mil::Builder& b = site.ops();
    const mil::Literal* constant = site.in.constant(argument);
    if (constant != nullptr && is_readable(*constant, site.work.weights)) {
        const mil::Literal plain{constant->type, site.work.weights.resolve(*constant)};
        const Shape& shape = constant->type.shape;
        mil::Literal whole = plain;
        whole.type.shape[axis] += count;
        auto& bytes = std::get<mil::Literal::Bytes>(whole.payload);
        bytes.clear();
        std::int64_t outer = 1, row = static_cast<std::int64_t>(size_in_memory(plain.type.dtype));
        for (int i = 0; i < shape.rank(); ++i) {
            (i < axis ? outer : row) *= i == axis ? 1 : shape[i];
        }
        const auto& from = std::get<mil::Literal::Bytes>(plain.payload);
        for (std::int64_t i = 0; i < outer; ++i) {
            const auto begin = from.begin() + i * shape[axis] * row;
            bytes.insert(bytes.end(), begin, begin + shape[axis] * row);
            bytes.resize(bytes.size() + static_cast<std::size_t>(count * row));
        }
        return site.emission.constant_like(
            *constant, std::move(whole),
            fmt::format("{}_{}", site.operation.results.front().name, argument));
    }
    const mil::Value x = *site.emission.operand(site.operation, argument);
    std::vector<std::int64_t> pad(2 * static_cast<std::size_t>(x.shape().rank()), 0);
    pad[2 * static_cast<std::size_t>(axis) + 1] = count;
    return b.call("pad", {{"constant_val", b.number(x.type.dtype, 0.0)},
                          {"mode", b.text("constant")},
                          {"pad", b.integers(pad)},
                          {"x", x}});
}

bool apply(const Site& site) {
    const Limits& limits = site.work.profile.limits;
    const Shape &x = site.in.type("x").shape, &y = site.in.type("y").shape;
    const bool tx = site.in.boolean("transpose_x"), ty = site.in.boolean("transpose_y");
    const int x_axis = x.rank() - (tx ? 2 : 1), y_axis = y.rank() - (ty ? 1 : 2);
    const std::int64_t inner = x[x_axis], rest = inner % limits.matmul_inner_multiple;
    // Sums that are too long are cut first.
    if (rest == 0 || (limits.max_inner > 0 && inner > limits.max_inner)) {
        return false;
    }
    const std::int64_t count = limits.matmul_inner_multiple - rest;
    return site.replace(
        fmt::format("sums of {} products filled up with zeros to {}: others than multiples of {} "
                    "give zeros",
                    inner, inner + count, limits.matmul_inner_multiple),
        {site.ops().matmul(filled(site, "x", x_axis, count), filled(site, "y", y_axis, count), tx,
                           ty)});
}

}  // namespace

Rule inner_multiple_rule() {
    return {
        {"inner-multiple", "limits.matmul_inner_multiple",
         "the operands of a matmul get zeros until its sums have a multiple of so many products",
         Equality::bits},
        [](const Profile& profile) { return profile.limits.matmul_inner_multiple > 1; },
        ops,
        apply};
}

}  // namespace pome::device::legalizing
