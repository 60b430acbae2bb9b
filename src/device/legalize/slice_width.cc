// Slices that begin inside the last axis, which M1 and M2 move through a fixed-point path: the axis
// is exchanged with its neighbour, sliced there and exchanged back. Moves keep every bit.
#include <algorithm>
#include <numeric>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {
namespace {

constexpr std::string_view ops[] = {"slice_by_size", "slice_by_index", "split"};

/// Exchanges the last two axes; where one of them has size 1 that is a reshape.
mil::Value exchange(mil::Builder& b, const mil::Value& x) {
    const int rank = x.shape().rank();
    if (x.shape()[-1] == 1 || x.shape()[-2] == 1) {
        Shape shape = x.shape();
        std::swap(shape[rank - 1], shape[rank - 2]);
        return b.reshape(x, shape);
    }
    std::vector<std::int64_t> perm(static_cast<std::size_t>(rank));
    std::iota(perm.begin(), perm.end(), 0);
    std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
    return b.transpose(x, perm);
}

/// x with two axes at least.
mil::Value at_least_two_axes(mil::Builder& b, const mil::Value& x) {
    return x.shape().rank() >= 2 ? x : b.reshape(x, {1, x.shape()[0]});
}

std::string what(const Site& site) {
    return fmt::format(
        "the last axis is exchanged with its neighbour for the {}: there a begin "
        "other than 0 would multiply by 16 and lose what exceeds 4094",
        site.operation.op);
}

bool apply_slice_by_size(const Site& site) {
    const Shape& result = site.operation.results.front().type.shape;
    auto begin = site.in.integers("begin");
    if (begin.empty() || begin.back() == 0) {
        return false;
    }
    mil::Builder& b = site.ops();
    const mil::Value x =
        exchange(b, at_least_two_axes(b, *site.emission.operand(site.operation, "x")));
    std::vector<std::int64_t> from(static_cast<std::size_t>(x.shape().rank()), 0);
    Shape size = x.shape();
    from[from.size() - 2] = begin.back();
    size[-2] = result[-1];
    mil::Value part = exchange(b, b.slice(x, from, size.sizes()));
    // The other axes, one of which may be the neighbour, in a slice of their own.
    begin.back() = 0;
    if (part.shape().rank() == result.rank() && part.shape() != result) {
        part = b.slice(part, begin, result.sizes());
    }
    return site.replace(what(site), {b.reshape(part, result)});
}

bool apply_slice_by_index(const Site& site) {
    const Shape& shape = site.in.type("x").shape;
    if (shape.rank() == 0) {
        return false;
    }
    const auto rank = static_cast<std::size_t>(shape.rank()), last = rank - 1;
    const auto integers = [&](std::string_view name, std::int64_t value) {
        return site.in.has(name) ? site.in.integers(name) : std::vector<std::int64_t>(rank, value);
    };
    const auto masks = [&](std::string_view name) {
        return site.in.has(name) ? site.in.booleans(name) : std::vector<std::int64_t>(rank, 0);
    };
    auto begin = integers("begin", 0), end = integers("end", 0), stride = integers("stride", 1);
    auto begin_mask = masks("begin_mask"), end_mask = masks("end_mask");
    const auto squeeze = masks("squeeze_mask");
    std::int64_t first = begin[last] < 0 ? begin[last] + shape[-1] : begin[last];
    if (squeeze[last] == 0) {
        first = begin_mask[last] != 0 ? 0 : std::max<std::int64_t>(0, first);
    }
    // Going back begins at the end of the axis.
    const bool back = squeeze[last] == 0 && stride[last] < 0;
    if (first == 0 && !back) {
        return false;
    }
    mil::Builder& b = site.ops();
    const auto flags = [&](const std::vector<std::int64_t>& mask) {
        return b.constant(
            mil::Literal::tensor(DType::boolean, {static_cast<std::int64_t>(mask.size())},
                                 {mask.begin(), mask.end()}),
            "mask");
    };
    // Only the last axis, where its neighbour was.
    const mil::Value x =
        exchange(b, at_least_two_axes(b, *site.emission.operand(site.operation, "x")));
    const auto axes = static_cast<std::size_t>(x.shape().rank());
    std::vector<std::int64_t> from(axes, 0), to(axes, 0), step(axes, 1), from_start(axes, 1),
        to_end(axes, 1);
    from[axes - 2] = squeeze[last] != 0 ? first : begin[last];
    to[axes - 2] = squeeze[last] != 0 ? first + 1 : end[last];
    step[axes - 2] = squeeze[last] != 0 ? 1 : stride[last];
    from_start[axes - 2] = squeeze[last] != 0 ? 0 : begin_mask[last];
    to_end[axes - 2] = squeeze[last] != 0 ? 0 : end_mask[last];
    const auto slice =
        [&](const mil::Value& of, std::vector<std::int64_t> starts, std::vector<std::int64_t> ends,
            std::vector<std::int64_t> strides, std::vector<std::int64_t> start_mask,
            std::vector<std::int64_t> stop_mask, std::vector<std::int64_t> squeezed) {
            return b.call("slice_by_index",
                          {{"begin", b.integers(starts)},
                           {"begin_mask", flags(start_mask)},
                           {"end", b.integers(ends)},
                           {"end_mask", flags(stop_mask)},
                           {"squeeze_mask", flags(squeezed)},
                           {"stride", b.integers(strides)},
                           {"x", of}},
                          "slice");
        };
    mil::Value part = exchange(
        b, slice(x, from, to, step, from_start, to_end, std::vector<std::int64_t>(axes, 0)));
    // The other axes, and what is squeezed.
    const Shape& result = site.operation.results.front().type.shape;
    bool more = std::any_of(squeeze.begin(), squeeze.end(), [](auto flag) { return flag != 0; });
    for (std::size_t i = 0; i < last; ++i) {
        const bool from_first = begin_mask[i] != 0 || begin[i] == 0;
        const bool whole = end_mask[i] != 0 || end[i] >= shape[static_cast<int>(i)];
        more = more || !from_first || !whole || stride[i] != 1;
    }
    if (rank >= 2 && more) {
        begin[last] = 0, end[last] = 0, stride[last] = 1, begin_mask[last] = end_mask[last] = 1;
        part = slice(part, begin, end, stride, begin_mask, end_mask, squeeze);
    }
    return site.replace(what(site), {b.reshape(part, result)});
}

bool apply_split(const Site& site) {
    const Shape& shape = site.in.type("x").shape;
    const std::int64_t given = site.in.integer("axis"), rank = shape.rank();
    if ((given < 0 ? given + rank : given) != rank - 1 || site.operation.results.size() < 2) {
        return false;
    }
    mil::Builder& b = site.ops();
    const mil::Value x =
        exchange(b, at_least_two_axes(b, *site.emission.operand(site.operation, "x")));
    std::vector<std::int64_t> begin(static_cast<std::size_t>(x.shape().rank()), 0);
    std::vector<mil::Value> parts;
    for (const auto& result : site.operation.results) {
        Shape size = x.shape();
        size[-2] = result.type.shape[-1];
        parts.push_back(b.reshape(exchange(b, b.slice(x, begin, size.sizes())), result.type.shape));
        begin[begin.size() - 2] += size[-2];
    }
    return site.replace(what(site), parts);
}

bool apply(const Site& site) {
    return site.operation.op == "split"            ? apply_split(site)
           : site.operation.op == "slice_by_index" ? apply_slice_by_index(site)
                                                   : apply_slice_by_size(site);
}

}  // namespace

Rule slice_width_rule() {
    return {{"slice-width", "numerics.slice.width_gain is true",
             "slices and splits that begin inside the last axis are done along the axis before it",
             Equality::bits},
            [](const Profile& profile) { return profile.numerics.slice.width_gain; },
            ops,
            apply};
}

}  // namespace pome::device::legalizing
