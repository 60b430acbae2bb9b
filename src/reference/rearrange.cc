#include "reference/ops.h"

namespace pome::reference {
namespace {

/// x under another shape, its axes permuted, under a third shape.
Tensor permuted(const Tensor& x, const Shape& split, const std::vector<int>& perm,
                const Shape& joined) {
    Tensor y = transpose(Tensor(split, x.data), perm);
    y.shape = joined;
    return y;
}

}  // namespace

Tensor depth_to_space(const Tensor& x, std::int64_t block) {
    const std::int64_t n = x.shape[0], c = x.shape[1] / (block * block), h = x.shape[2],
                       w = x.shape[3];
    return permuted(x, {n, block, block, c, h, w}, {0, 3, 4, 1, 5, 2},
                    {n, c, h * block, w * block});
}

Tensor space_to_depth(const Tensor& x, std::int64_t block) {
    const std::int64_t n = x.shape[0], c = x.shape[1], h = x.shape[2] / block,
                       w = x.shape[3] / block;
    return permuted(x, {n, c, h, block, w, block}, {0, 3, 5, 1, 2, 4},
                    {n, c * block * block, h, w});
}

Tensor pixel_shuffle(const Tensor& x, std::int64_t factor) {
    const std::int64_t n = x.shape[0], c = x.shape[1] / (factor * factor), h = x.shape[2],
                       w = x.shape[3];
    return permuted(x, {n, c, factor, factor, h, w}, {0, 1, 4, 2, 5, 3},
                    {n, c, h * factor, w * factor});
}

Tensor pixel_unshuffle(const Tensor& x, std::int64_t factor) {
    const std::int64_t n = x.shape[0], c = x.shape[1], h = x.shape[2] / factor,
                       w = x.shape[3] / factor;
    return permuted(x, {n, c, h, factor, w, factor}, {0, 1, 3, 5, 2, 4},
                    {n, c * factor * factor, h, w});
}

Tensor space_to_batch(const Tensor& x, std::int64_t block_h, std::int64_t block_w) {
    const std::int64_t n = x.shape[0], c = x.shape[1], h = x.shape[2] / block_h,
                       w = x.shape[3] / block_w;
    return permuted(x, {n, c, h, block_h, w, block_w}, {3, 5, 0, 1, 2, 4},
                    {block_h * block_w * n, c, h, w});
}

Tensor batch_to_space(const Tensor& x, std::int64_t block_h, std::int64_t block_w) {
    const std::int64_t n = x.shape[0] / (block_h * block_w), c = x.shape[1], h = x.shape[2],
                       w = x.shape[3];
    return permuted(x, {block_h, block_w, n, c, h, w}, {2, 3, 4, 0, 5, 1},
                    {n, c, h * block_h, w * block_w});
}

}  // namespace pome::reference
