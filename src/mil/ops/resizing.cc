#include "mil/ops/families.h"
#include "mil/sampling.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

using reference::Sampling;

constexpr double most = 65536.0;

std::vector<Type> sized(const Arguments& in, double height, double width) {
    Type y = in.type("x");
    if (y.shape.rank() < 2 || y.shape[-1] < 1 || y.shape[-2] < 1) {
        in.fail("x {} has no height and width", y.shape.text());
    }
    if (!(height >= 1.0 && width >= 1.0 && height <= most && width <= most)) {
        in.fail("height {} and width {} must be between 1 and 65536", height, width);
    }
    y.shape[-2] = static_cast<std::int64_t>(height);
    y.shape[-1] = static_cast<std::int64_t>(width);
    return {y};
}

std::vector<Type> infer_target(const Arguments& in) {
    return sized(in, static_cast<double>(in.integer("target_size_height")),
                 static_cast<double>(in.integer("target_size_width")));
}

std::vector<Type> infer_factor(const Arguments& in) {
    const Shape& x = in.type("x").shape;
    if (x.rank() < 2) {
        in.fail("x {} has no height and width", x.text());
    }
    return sized(in, static_cast<double>(x[-2]) * in.number("scale_factor_height"),
                 static_cast<double>(x[-1]) * in.number("scale_factor_width"));
}

std::vector<Type> infer_whole_factor(const Arguments& in) {
    in.integer("scale_factor_height");
    in.integer("scale_factor_width");
    return infer_factor(in);
}

/// The entries of `shape` for the last two axes; 0 keeps x's own size.
std::vector<Type> infer_resize(const Arguments& in) {
    const Shape& x = in.type("x").shape;
    const auto shape = in.integers("shape");
    const std::int64_t resized = in.integer("resized_dims");
    if (resized != 2 || shape.size() < 2 || x.rank() < 2) {
        in.fail("two resized_dims, of {} entries of shape, are expected; it has {}", shape.size(),
                resized);
    }
    const std::string& mode = in.text("interpolation_mode");
    if (mode != "LINEAR" && mode != "NEAREST_NEIGHBOR") {
        in.fail("interpolation_mode '{}' is not LINEAR or NEAREST_NEIGHBOR", mode);
    }
    sampling_mode(in);
    const auto size = [&](std::size_t from_end, int axis) {
        const std::int64_t one = shape[shape.size() - from_end];
        return static_cast<double>(one == 0 ? x[axis] : one);
    };
    return sized(in, size(2, -2), size(1, -1));
}

std::vector<Type> infer_resize_bilinear(const Arguments& in) {
    sampling_mode(in);
    return infer_target(in);
}

template <std::vector<Type> (*infer)(const Arguments&)>
std::vector<reference::Tensor> nearest(const Arguments& in) {
    const Shape shape = infer(in).front().shape;
    return {reference::resize_nearest(in.tensor("x"), shape[-2], shape[-1])};
}

std::vector<reference::Tensor> bilinear(const Arguments& in, const Shape& shape,
                                        Sampling sampling) {
    return {reference::resize_bilinear(in.tensor("x"), shape[-2], shape[-1], sampling)};
}

std::vector<reference::Tensor> evaluate_resize(const Arguments& in) {
    return in.text("interpolation_mode") == "LINEAR"
               ? bilinear(in, infer_resize(in).front().shape, sampling_mode(in))
               : nearest<infer_resize>(in);
}

std::vector<reference::Tensor> evaluate_resize_bilinear(const Arguments& in) {
    return bilinear(in, infer_target(in).front().shape, sampling_mode(in));
}

std::vector<reference::Tensor> evaluate_upsample_bilinear(const Arguments& in) {
    return bilinear(
        in, infer_factor(in).front().shape,
        in.boolean("align_corners") ? Sampling::strict_align_corners : Sampling::unalign_corners);
}

}  // namespace

std::vector<Schema> resizing() {
    const Parameter x = tensor("x", floats);
    return {
        {"resize",
         "the last two axes at other sizes, nearest or linear",
         {x, constant("shape"), constant("resized_dims", Literal::integer(2)),
          constant("interpolation_mode", Literal::text("LINEAR")),
          constant("sampling_mode", Literal::text("DEFAULT"))},
         infer_resize,
         evaluate_resize},
        {"resize_bilinear",
         "linear between the four neighbours of each sample",
         {x, constant("target_size_height"), constant("target_size_width"),
          constant("sampling_mode", Literal::text("DEFAULT"))},
         infer_resize_bilinear,
         evaluate_resize_bilinear},
        {"resize_nearest_neighbor",
         "element i of n is element floor(i * size / n)",
         {x, constant("target_size_height"), constant("target_size_width")},
         infer_target,
         nearest<infer_target>},
        {"upsample_bilinear",
         "the size times the factors, linear between four neighbours",
         {x, constant("scale_factor_height"), constant("scale_factor_width"),
          constant("align_corners", Literal::boolean(true))},
         infer_factor,
         evaluate_upsample_bilinear},
        {"upsample_nearest_neighbor",
         "every element repeated by whole factors",
         {x, constant("scale_factor_height"), constant("scale_factor_width")},
         infer_whole_factor,
         nearest<infer_whole_factor>},
    };
}

}  // namespace pome::mil::ops
