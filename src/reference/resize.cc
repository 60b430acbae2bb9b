#include <algorithm>
#include <cmath>

#include "reference/ops.h"

namespace pome::reference {
namespace {

/// Between 0 and `end`, which may be below 0.
double limited(double at, double end) {
    return std::clamp(at, std::min(0.0, end), std::max(0.0, end));
}

/// Planes of the last two axes, each made by fill(plane, result plane).
template <typename Fill>
Tensor planes(const Tensor& x, std::int64_t height, std::int64_t width, Fill fill) {
    Shape shape = x.shape;
    shape[-2] = height, shape[-1] = width;
    Tensor y(shape);
    const std::int64_t from = x.shape[-2] * x.shape[-1], to = height * width;
    for (std::int64_t plane = 0; plane < (from == 0 ? 0 : x.size() / from); ++plane) {
        fill(x.data.data() + plane * from, y.data.data() + plane * to);
    }
    return y;
}

}  // namespace

std::vector<double> sample_positions(double in, std::int64_t to, Sampling sampling) {
    std::vector<double> at(static_cast<std::size_t>(to));
    const auto out = static_cast<double>(to);
    double start = 0.0, step = 0.0;
    switch (sampling) {
        case Sampling::strict_align_corners:
        case Sampling::align_corners:
            step = to > 1 ? (in - 1.0) / (out - 1.0) : 0.0;
            start = to == 1 && sampling == Sampling::align_corners ? (in - 1.0) / 2.0 : 0.0;
            break;
        case Sampling::plain:
            step = to > 1 ? (in - in / out) / (out - 1.0) : 0.0;
            break;
        case Sampling::offset_corners:
            step = std::max(1.0, in - 1.0) / out;
            start = 0.5 * step;
            break;
        case Sampling::unalign_corners:
            step = in / out;
            start = 0.5 * step - 0.5;
            break;
    }
    for (std::size_t i = 0; i < at.size(); ++i) {
        at[i] = limited(start + static_cast<double>(i) * step, in - 1.0);
    }
    return at;
}

Tensor resize_nearest(const Tensor& x, std::int64_t height, std::int64_t width) {
    const std::int64_t h = x.shape[-2], w = x.shape[-1];
    return planes(x, height, width, [&](const double* from, double* to) {
        for (std::int64_t i = 0; i < height; ++i) {
            for (std::int64_t j = 0; j < width; ++j) {
                *to++ = from[i * h / height * w + j * w / width];
            }
        }
    });
}

Tensor resize_bilinear(const Tensor& x, std::int64_t height, std::int64_t width,
                       Sampling sampling) {
    const std::int64_t h = x.shape[-2], w = x.shape[-1];
    const auto rows = sample_positions(static_cast<double>(h), height, sampling),
               columns = sample_positions(static_cast<double>(w), width, sampling);
    return planes(x, height, width, [&](const double* from, double* to) {
        for (const double row : rows) {
            const auto top = static_cast<std::int64_t>(row);
            const std::int64_t bottom = std::min(top + 1, h - 1);
            const double down = row - static_cast<double>(top);
            for (const double column : columns) {
                const auto left = static_cast<std::int64_t>(column);
                const std::int64_t right = std::min(left + 1, w - 1);
                const double across = column - static_cast<double>(left);
                // Weights of 0 take no part, so that an infinite neighbour is not met.
                const auto mix = [&](double a, double b, double part) {
                    return part == 0.0 ? a : a * (1.0 - part) + b * part;
                };
                *to++ = mix(mix(from[top * w + left], from[top * w + right], across),
                            mix(from[bottom * w + left], from[bottom * w + right], across), down);
            }
        }
    });
}

}  // namespace pome::reference
