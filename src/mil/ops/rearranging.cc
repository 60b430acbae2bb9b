#include <algorithm>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

void expect_image(const Arguments& in) {
    if (in.type("x").shape.rank() != 4) {
        in.fail("x {} must have rank 4", in.type("x").shape.text());
    }
}

std::int64_t factor_of(const Arguments& in, std::string_view name) {
    const std::int64_t factor = in.integer(name);
    if (factor < 1 || factor > 65536) {
        in.fail("{} must be between 1 and 65536, it is {}", name, factor);
    }
    return factor;
}

/// Channels become positions.
template <const char* const& name>
std::vector<Type> infer_to_space(const Arguments& in) {
    expect_image(in);
    Type y = in.type("x");
    const std::int64_t factor = factor_of(in, name);
    if (y.shape[1] % (factor * factor) != 0) {
        in.fail("the {} channels of x {} are no multiple of {}", y.shape[1], y.shape.text(),
                factor * factor);
    }
    y.shape[1] /= factor * factor;
    y.shape[2] *= factor, y.shape[3] *= factor;
    return {y};
}

/// Positions become channels.
template <const char* const& name>
std::vector<Type> infer_to_depth(const Arguments& in) {
    expect_image(in);
    Type y = in.type("x");
    const std::int64_t factor = factor_of(in, name);
    if (y.shape[2] % factor != 0 || y.shape[3] % factor != 0) {
        in.fail("height and width of x {} are no multiples of {}", y.shape.text(), factor);
    }
    y.shape[1] *= factor * factor;
    y.shape[2] /= factor, y.shape[3] /= factor;
    return {y};
}

template <const char* const& name,
          reference::Tensor (*rearrange)(const reference::Tensor&, std::int64_t)>
std::vector<reference::Tensor> evaluate_factor(const Arguments& in) {
    return {rearrange(in.tensor("x"), in.integer(name))};
}

/// Two numbers that are at least `least`.
std::vector<std::int64_t> pair(const Arguments& in, std::string_view name, std::size_t count,
                               std::int64_t least) {
    const auto values = in.integers(name);
    if (values.size() != count) {
        in.fail("{} must have {} entries, it has {}", name, count, values.size());
    }
    for (const std::int64_t value : values) {
        if (value < least || value > 65536) {
            in.fail("{} must be between {} and 65536, it has {}", name, least, value);
        }
    }
    return values;
}

std::vector<Type> infer_space_to_batch(const Arguments& in) {
    expect_image(in);
    Type y = in.type("x");
    const auto block = pair(in, "block_shape", 2, 1), pad = pair(in, "paddings", 4, 0);
    for (std::size_t i = 0; i < 2; ++i) {
        const int axis = static_cast<int>(i) + 2;
        const std::int64_t size = y.shape[axis] + pad[2 * i] + pad[2 * i + 1];
        if (size % block[i] != 0) {
            in.fail("axis {} of x {} has {} positions with padding, no multiple of {}", axis,
                    in.type("x").shape.text(), size, block[i]);
        }
        y.shape[axis] = size / block[i];
        y.shape[0] *= block[i];
    }
    return {y};
}

std::vector<reference::Tensor> evaluate_space_to_batch(const Arguments& in) {
    const auto& x = in.tensor("x");
    const auto block = in.integers("block_shape"), pad = in.integers("paddings");
    Shape padded = x.shape;
    padded[2] += pad[0] + pad[1], padded[3] += pad[2] + pad[3];
    return {reference::space_to_batch(reference::pad(x, {0, 0, pad[0], pad[2]}, padded, 0.0),
                                      block[0], block[1])};
}

std::vector<Type> infer_batch_to_space(const Arguments& in) {
    expect_image(in);
    Type y = in.type("x");
    const auto block = pair(in, "block_shape", 2, 1), crops = pair(in, "crops", 4, 0);
    if (y.shape[0] % (block[0] * block[1]) != 0) {
        in.fail("the batch of x {} is no multiple of {}", y.shape.text(), block[0] * block[1]);
    }
    y.shape[0] /= block[0] * block[1];
    for (std::size_t i = 0; i < 2; ++i) {
        const int axis = static_cast<int>(i) + 2;
        y.shape[axis] = y.shape[axis] * block[i] - crops[2 * i] - crops[2 * i + 1];
        if (y.shape[axis] < 1) {
            in.fail("crops leave nothing of axis {} of x {}", axis, in.type("x").shape.text());
        }
    }
    return {y};
}

std::vector<reference::Tensor> evaluate_batch_to_space(const Arguments& in) {
    const auto block = in.integers("block_shape"), crops = in.integers("crops");
    return {reference::slice(reference::batch_to_space(in.tensor("x"), block[0], block[1]),
                             {0, 0, crops[0], crops[2]}, {1, 1, 1, 1},
                             infer_batch_to_space(in).front().shape)};
}

std::vector<Type> infer_crop(const Arguments& in) {
    expect_image(in);
    Type y = in.type("x");
    const auto height = pair(in, "crop_height", 2, 0), width = pair(in, "crop_width", 2, 0);
    y.shape[2] -= height[0] + height[1];
    y.shape[3] -= width[0] + width[1];
    if (y.shape[2] < 1 || y.shape[3] < 1) {
        in.fail("nothing is left of x {}", in.type("x").shape.text());
    }
    return {y};
}

std::vector<reference::Tensor> evaluate_crop(const Arguments& in) {
    return {reference::slice(in.tensor("x"),
                             {0, 0, in.integers("crop_height")[0], in.integers("crop_width")[0]},
                             {1, 1, 1, 1}, infer_crop(in).front().shape)};
}

std::vector<Type> infer_flatten2d(const Arguments& in) {
    const Type& x = in.type("x");
    const std::int64_t given = in.integer("axis");
    const int rank = x.shape.rank();
    if (given < -rank || given > rank) {
        in.fail("axis {0} is not in [-{1}, {1}]", given, rank);
    }
    const int at = static_cast<int>(given < 0 ? given + rank : given);
    std::int64_t outer = 1, inner = 1;
    for (int i = 0; i < rank; ++i) {
        (i < at ? outer : inner) *= x.shape[i];
    }
    return {Type::tensor(x.dtype, {outer, inner})};
}

/// The sizes of the parts that begins, ends and end_masks name, one after another.
std::vector<Type> infer_reshape_like(const Arguments& in) {
    const auto references = in.types("ref_tensors");
    const auto begins = in.integers("begins"), ends = in.integers("ends");
    auto masks = in.has("end_masks") ? in.booleans("end_masks")
                                     : std::vector<std::int64_t>(references.size(), 0);
    if (begins.size() != references.size() || ends.size() != references.size() ||
        masks.size() != references.size()) {
        in.fail("{} ref_tensors need as many begins, ends and end_masks", references.size());
    }
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < references.size(); ++i) {
        const Shape& shape = references[i].shape;
        const auto at = [&](std::int64_t value) {
            return value < 0 ? value + shape.rank() : value;
        };
        const std::int64_t first = at(begins[i]), last = masks[i] != 0 ? shape.rank() : at(ends[i]);
        if (first < 0 || last > shape.rank() || first > last) {
            in.fail("axes {} to {} are not in ref_tensors {} {}", begins[i], ends[i], i,
                    shape.text());
        }
        sizes.insert(sizes.end(), shape.begin() + first, shape.begin() + last);
    }
    const Type& x = in.type("x");
    const Shape shape(sizes);
    if (shape.elements() != x.shape.elements()) {
        in.fail("x {} does not have the elements of {}", x.shape.text(), shape.text());
    }
    return {Type::tensor(x.dtype, shape)};
}

template <std::vector<Type> (*infer)(const Arguments&)>
std::vector<reference::Tensor> evaluate_view(const Arguments& in) {
    return {reference::Tensor(infer(in).front().shape, in.tensor("x").data)};
}

constexpr const char* block_size = "block_size";
constexpr const char* upscale = "upscale_factor";
constexpr const char* downscale = "downscale_factor";

}  // namespace

std::vector<Schema> rearranging() {
    const auto one = [](std::string_view name, std::string_view meaning, std::string_view factor,
                        auto infer, auto evaluate) {
        return Schema{name, meaning, {tensor("x"), constant(factor)}, infer, evaluate};
    };
    return {
        one("depth_to_space", "y[n,c,h*b+i,w*b+j] = x[n,(i*b+j)*C+c,h,w], b = block_size",
            block_size, infer_to_space<block_size>,
            evaluate_factor<block_size, reference::depth_to_space>),
        one("space_to_depth", "the inverse of depth_to_space", block_size,
            infer_to_depth<block_size>, evaluate_factor<block_size, reference::space_to_depth>),
        one("pixel_shuffle", "y[n,c,h*r+i,w*r+j] = x[n,c*r*r+i*r+j,h,w], r = upscale_factor",
            upscale, infer_to_space<upscale>, evaluate_factor<upscale, reference::pixel_shuffle>),
        one("pixel_unshuffle", "the inverse of pixel_shuffle", downscale, infer_to_depth<downscale>,
            evaluate_factor<downscale, reference::pixel_unshuffle>),
        {"space_to_batch",
         "x padded with zeros, then blocks of positions moved to the batch",
         {tensor("x"), constant("block_shape"), constant("paddings")},
         infer_space_to_batch,
         evaluate_space_to_batch},
        {"batch_to_space",
         "the inverse of space_to_batch, then crops cut off",
         {tensor("x"), constant("block_shape"), constant("crops")},
         infer_batch_to_space,
         evaluate_batch_to_space},
        {"crop",
         "x without the given rows and columns at its ends",
         {tensor("x"), constant("crop_height"), constant("crop_width")},
         infer_crop,
         evaluate_crop},
        {"flatten2d",
         "x as a matrix: axes before `axis`, axes from it on",
         {tensor("x"), constant("axis", Literal::integer(1))},
         infer_flatten2d,
         evaluate_view<infer_flatten2d>},
        {"reshape_like",
         "x under a shape made of parts of other shapes",
         {tensor("x"), tensors("ref_tensors"), constant("begins"), constant("ends"),
          optional_constant("end_masks")},
         infer_reshape_like,
         evaluate_view<infer_reshape_like>},
    };
}

}  // namespace pome::mil::ops
