#pragma once

// What each op means, in double precision: one op a file beside this, plain loops, never fast.
// Shapes were checked by the op's schema (src/mil/ops); nothing here reports errors. Ops that work
// element by element are in scalar.h.

#include <cstdint>
#include <string_view>
#include <vector>

#include "reference/elementwise.h"
#include "reference/scalar.h"
#include "reference/tensor.h"

namespace pome::reference {

// Products.

/// y[.., m, n] = sum_k x[.., m, k] y[.., k, n]; leading axes broadcast; a transposed operand is
/// read with its last two axes swapped.
Tensor matmul(const Tensor& x, const Tensor& y, bool transpose_x, bool transpose_y);
/// y[.., n] = bias[n] + sum_k x[.., k] weight[n, k]; bias may be nullptr.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor* bias);

/// How a kernel moves over the spatial axes (those after batch and channels), one entry an axis.
struct Window {
    std::vector<std::int64_t> strides, dilations;
    std::vector<std::int64_t> before,
        after;  ///< padding on either side; of conv_transpose, what is cut off
};
/// x [N, C, spatial..], weight [Co, C / groups, kernel..], bias [Co] or nullptr; y has the shape
/// `result`. One to three spatial axes.
Tensor conv(const Tensor& x, const Tensor& weight, const Tensor* bias, const Window& window,
            std::int64_t groups, const Shape& result);
/// The transpose of conv: x [N, C, spatial..], weight [C, Co / groups, kernel..].
Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor* bias,
                      const Window& window, std::int64_t groups, const Shape& result);
/// softmax(query key^T / sqrt(E) + mask) value; query [.., L, E], key [.., S, E], value [.., S, V].
/// `mask` broadcasts to [.., L, S] and is added; nullptr for none.
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor* mask);

/// Products of x and y summed over the labels that the result does not have; one label an axis. The
/// matmul-like forms: no label twice in one operand.
Tensor einsum(const Tensor& x, const Tensor& y, std::string_view x_labels,
              std::string_view y_labels, std::string_view result_labels, const Shape& result);

// Reductions: along `axes`, each in [0, rank); the reduced axes keep size 1.

Tensor reduce_sum(const Tensor& x, const std::vector<int>& axes);
Tensor reduce_mean(const Tensor& x, const std::vector<int>& axes);
Tensor reduce_max(const Tensor& x, const std::vector<int>& axes);  ///< -infinity of nothing
Tensor reduce_min(const Tensor& x, const std::vector<int>& axes);  ///< infinity of nothing
Tensor reduce_prod(const Tensor& x, const std::vector<int>& axes);
Tensor reduce_sum_square(const Tensor& x, const std::vector<int>& axes);
Tensor reduce_l1_norm(const Tensor& x, const std::vector<int>& axes);
Tensor reduce_l2_norm(const Tensor& x, const std::vector<int>& axes);
Tensor reduce_log_sum(const Tensor& x, const std::vector<int>& axes);
/// log sum exp(x) = m + log sum exp(x - m), m = max x, which keeps exp finite.
Tensor reduce_log_sum_exp(const Tensor& x, const std::vector<int>& axes);
/// The index of the largest (smallest) element along an axis, the first of equals. The axis keeps
/// size 1.
Tensor reduce_argmax(const Tensor& x, int axis);
Tensor reduce_argmin(const Tensor& x, int axis);

/// y = exp(x - m) / sum exp(x - m) along axis, m = max x.
Tensor softmax(const Tensor& x, int axis);
/// Sums of x up to each element along axis: without the element itself if `exclusive`, from the end
/// if `reverse`.
Tensor cumsum(const Tensor& x, int axis, bool exclusive, bool reverse);
/// The k largest (smallest if `ascending`) elements along axis in order, and their indices; equals
/// keep their order.
struct TopK {
    Tensor values, indices;
};
TopK topk(const Tensor& x, std::int64_t k, int axis, bool ascending);

// Normalization. gamma and beta may be nullptr.

/// (x - mean) / sqrt(variance + epsilon) gamma + beta; mean and variance along `axes`; gamma and
/// beta have the shape of those axes.
Tensor layer_norm(const Tensor& x, const std::vector<int>& axes, const Tensor* gamma,
                  const Tensor* beta, double epsilon);
/// x [N, C, ..]: normalized along the axes after C; gamma and beta [C].
Tensor instance_norm(const Tensor& x, const Tensor* gamma, const Tensor* beta, double epsilon);
/// x [N, C, ..] with given mean and variance [C]; gamma and beta [C].
Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor* gamma,
                  const Tensor* beta, double epsilon);
/// x / sqrt(sum of x^2 over the last three axes + epsilon).
Tensor l2_norm(const Tensor& x, double epsilon);

/// x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta; (size - 1) / 2 of
/// them before the channel itself, fewer at the ends.
Tensor local_response_norm(const Tensor& x, std::int64_t size, double alpha, double beta, double k);

// Windows over spatial axes of x [N, C, spatial..].

/// The largest x of each window; padding does not count.
Tensor max_pool(const Tensor& x, const std::vector<std::int64_t>& kernel, const Window& window,
                const Shape& result);
/// The mean of each window. Padding counts as zeros unless `exclude_padding`.
Tensor avg_pool(const Tensor& x, const std::vector<std::int64_t>& kernel, const Window& window,
                bool exclude_padding, const Shape& result);

/// The square root of the sum of squares of each window; padding counts as zeros.
Tensor l2_pool(const Tensor& x, const std::vector<std::int64_t>& kernel, const Window& window,
               const Shape& result);

// Images: the last two axes are height and width.

/// Where Core ML's resize ops take their samples.
enum class Sampling : std::uint8_t {
    strict_align_corners,  ///< first and last samples on the corners
    align_corners,         ///< the same, and the middle when there is one sample
    plain,                 ///< "DEFAULT": the last one a step before the end
    offset_corners,
    unalign_corners,  ///< samples in the middle of their share of the image
};
/// `to` positions between 0 and from - 1; those of a box that runs backwards are below 0.
std::vector<double> sample_positions(double from, std::int64_t to, Sampling sampling);
/// Element i of n comes from element floor(i * size / n).
Tensor resize_nearest(const Tensor& x, std::int64_t height, std::int64_t width);
/// Linear between the four neighbours of each position.
Tensor resize_bilinear(const Tensor& x, std::int64_t height, std::int64_t width, Sampling sampling);

/// What a sampler finds beyond an image.
enum class Border : std::uint8_t {
    value,       ///< `Sampler::value` everywhere
    edge,        ///< the nearest pixel of the image
    reflection,  ///< the image reflected at the centres of its outer pixels: 3 2 | 1 2 3 | 2 1
    symmetric,   ///< at their edges: 2 1 | 1 2 3 | 3 2
};
struct Sampler {
    bool is_nearest = false;  ///< halfway the even pixel; otherwise linear between four neighbours
    Border border = Border::value;
    double value = 0.0;
};
/// What coordinates mean.
enum class Coordinates : std::uint8_t { pixels, minus_one_to_one, zero_to_one };

struct ResampleRules {
    Sampler sampler;
    Coordinates coordinates = Coordinates::pixels;
    bool align_corners = true;  ///< the ends are the centres of the outer pixels, not their edges
};
/// x [B, C, H, W] at coordinates [B, H2, W2, 2] (horizontal, vertical), y [B, C, H2, W2]. A NaN is
/// beyond the image, or 0 where there is no beyond.
Tensor resample(const Tensor& x, const Tensor& coordinates, const ResampleRules& rules);

/// x [B, C, H, W] under transforms [B or 1, 6]: y [B, C, height, width] is taken from
/// a0 column + a1 row + a2 and b0 column + b1 row + b2, all from -1 to 1, aligned at the corners.
Tensor affine(const Tensor& x, const Tensor& transforms, std::int64_t height, std::int64_t width,
              const Sampler& sampler);

struct CropRules {
    std::int64_t height = 1, width = 1;
    bool are_normalized = false;  ///< boxes are parts of size - 1
    bool width_first = false;     ///< of each pair of a box's numbers
    bool centers = false;         ///< a box is its centre and size, not two corners
    double scale = 1.0;           ///< multiplies the boxes
    Sampling sampling = Sampling::plain;
    double beyond = 0.0;  ///< samples outside the image
};
/// Box n of boxes [N, 4] out of image indices[n] of x [B, C, H, W], linear between four neighbours,
/// y [N, C, height, width]. A box from `a` to `b` counts as b - a + 1 pixels. An index that is no
/// image's stops at the nearest.
Tensor crop_resize(const Tensor& x, const Tensor& boxes, const Tensor& indices,
                   const CropRules& rules);

// Layout.

/// Channels to a block of positions and back (x [N, C, H, W]): depth_to_space takes the block's
/// offsets from the outer part of the channels, pixel_shuffle from the inner part.
Tensor depth_to_space(const Tensor& x, std::int64_t block);
Tensor space_to_depth(const Tensor& x, std::int64_t block);
Tensor pixel_shuffle(const Tensor& x, std::int64_t factor);
Tensor pixel_unshuffle(const Tensor& x, std::int64_t factor);
/// Blocks of positions to the batch and back; the block's offsets are the outer part of the batch.
Tensor space_to_batch(const Tensor& x, std::int64_t block_h, std::int64_t block_w);
Tensor batch_to_space(const Tensor& x, std::int64_t block_h, std::int64_t block_w);
/// x with the elements begin + i * stride of every axis replaced by update's.
Tensor slice_update(const Tensor& x, const Tensor& update, const std::vector<std::int64_t>& begin,
                    const std::vector<std::int64_t>& stride, const Shape& size);

/// result axis i is x's axis perm[i].
Tensor transpose(const Tensor& x, const std::vector<int>& perm);
/// The elements begin + i * stride of every axis, size of them; strides may be negative.
Tensor slice(const Tensor& x, const std::vector<std::int64_t>& begin,
             const std::vector<std::int64_t>& stride, const Shape& size);
/// Values joined along axis; interleaved, element i of every value in turn (equal shapes).
Tensor concat(const std::vector<const Tensor*>& values, int axis, bool interleave,
              const Shape& result);
/// Equal shapes joined along a new axis.
Tensor stack(const std::vector<const Tensor*>& values, int axis);
/// x surrounded by `value`; `before` names the elements added in front of each axis.
Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before, const Shape& result,
           double value);
/// x surrounded by its own elements: mirrored without the edge (reflect), or the edge repeated
/// (replicate).
Tensor pad_reflect(const Tensor& x, const std::vector<std::int64_t>& before, const Shape& result);
Tensor pad_replicate(const Tensor& x, const std::vector<std::int64_t>& before, const Shape& result);
Tensor tile(const Tensor& x, const Shape& result);
Tensor reverse(const Tensor& x, const std::vector<int>& axes);
/// Rows of x along `axis` by index (negative ones count from the end): the axis is replaced by the
/// indices' axes after the first `batch_dims`, which x and indices share.
Tensor gather(const Tensor& x, const Tensor& indices, int axis, int batch_dims,
              const Shape& result);
/// y[.., i, ..] = x[.., indices[.., i, ..], ..] along axis.
Tensor gather_along_axis(const Tensor& x, const Tensor& indices, int axis);
/// The parts of x that rows of indices name: each row holds an index for each axis after the first
/// `batch_dims`, which x and indices share.
Tensor gather_nd(const Tensor& x, const Tensor& indices, int batch_dims, const Shape& result);
/// a where cond is not 0, else b; broadcast.
Tensor select(const Tensor& cond, const Tensor& a, const Tensor& b);
/// x, below 0 alpha[c] x, c the index along axis 1.
Tensor prelu(const Tensor& x, const Tensor& alpha);
/// alpha[c] log(1 + exp(beta[c] x)), c the index along axis 1.
Tensor softplus_parametric(const Tensor& x, const Tensor& alpha, const Tensor& beta);

// Quantization. scale and zero_point have one element, or one for each index along `axis`;
// zero_point may be nullptr.

/// scale (q - zero_point).
Tensor dequantize(const Tensor& q, const Tensor& scale, const Tensor* zero_point, int axis);
/// round(x / scale) + zero_point, halves to even, clamped to [low, high].
Tensor quantize(const Tensor& x, const Tensor& scale, const Tensor* zero_point, int axis,
                double low, double high);
/// scale (data - offset), where one element of scale and offset serves a block of data: the sizes
/// of scale divide data's.
Tensor blockwise_shift_scale(const Tensor& data, const Tensor& scale, const Tensor* offset);

}  // namespace pome::reference
