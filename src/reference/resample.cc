#include <algorithm>
#include <cmath>

#include "reference/ops.h"

namespace pome::reference {
namespace {

/// A coordinate as a position in pixels, the first of which has its centre at 0.
double pixels(double coordinate, std::int64_t size, Coordinates kind, bool align_corners) {
    const auto pixel_count = static_cast<double>(size);
    if (kind == Coordinates::pixels) {
        return coordinate;
    }
    const double part =
        kind == Coordinates::minus_one_to_one ? (coordinate + 1.0) / 2.0 : coordinate;
    return align_corners ? part * (pixel_count - 1.0) : part * pixel_count - 0.5;
}

/// The position that has what the border shows at `at`; beyond the image only with Border::value.
double folded(double at, std::int64_t size, Border border) {
    constexpr double far = 1e9;  // beyond every image; integers hold it
    if (std::isnan(at)) {
        return border == Border::value ? -far : 0.0;
    }
    const double last = static_cast<double>(size) - 1.0;
    at = std::clamp(at, -far, far);
    const auto reflected = [](double distance, double length) {
        const double within = length > 0.0 ? std::fmod(std::abs(distance), 2.0 * length) : 0.0;
        return std::min(within, 2.0 * length - within);
    };
    switch (border) {
        case Border::value:
            return at;
        case Border::edge:
            return std::clamp(at, 0.0, last);
        case Border::reflection:
            return reflected(at, last);
        case Border::symmetric:
            return std::clamp(reflected(at + 0.5, last + 1.0) - 0.5, 0.0, last);
    }
    return at;
}

class Image {
  public:
    Image(const double* pixels, std::int64_t height, std::int64_t width, const Sampler& sampler)
        : pixels_(pixels), height_(height), width_(width), sampler_(sampler) {}

    double at(double column, double row) const {
        column = folded(column, width_, sampler_.border);
        row = folded(row, height_, sampler_.border);
        if (sampler_.is_nearest) {
            return pixel(std::nearbyint(column), std::nearbyint(row));
        }
        const double left = std::floor(column), top = std::floor(row);
        // Weights of 0 take no part, so that an infinite neighbour is not met.
        const auto mix = [](auto first, auto second, double part) {
            return part == 0.0 ? first() : first() * (1.0 - part) + second() * part;
        };
        const auto along = [&](double y) {
            return mix([&] { return pixel(left, y); }, [&] { return pixel(left + 1.0, y); },
                       column - left);
        };
        return mix([&] { return along(top); }, [&] { return along(top + 1.0); }, row - top);
    }

  private:
    double pixel(double column, double row) const {
        if (column < 0.0 || row < 0.0 || column >= static_cast<double>(width_) ||
            row >= static_cast<double>(height_)) {
            return sampler_.value;
        }
        return pixels_[static_cast<std::int64_t>(row) * width_ + static_cast<std::int64_t>(column)];
    }

    const double* pixels_;
    std::int64_t height_, width_;
    const Sampler& sampler_;
};

/// y [N, C, height, width]: position(n, i, j) of image image(n) of x.
template <typename Which, typename Position>
Tensor sample(const Tensor& x, std::int64_t number, std::int64_t height, std::int64_t width,
              const Sampler& sampler, Which image, Position position) {
    const std::int64_t channels = x.shape[1], h = x.shape[2], w = x.shape[3];
    Tensor y({number, channels, height, width});
    auto out = y.data.begin();
    for (std::int64_t n = 0; n < number; ++n) {
        for (std::int64_t c = 0; c < channels; ++c) {
            const Image plane(x.data.data() + (image(n) * channels + c) * h * w, h, w, sampler);
            for (std::int64_t i = 0; i < height; ++i) {
                for (std::int64_t j = 0; j < width; ++j) {
                    const auto [column, row] = position(n, i, j);
                    *out++ = plane.at(column, row);
                }
            }
        }
    }
    return y;
}

}  // namespace

Tensor resample(const Tensor& x, const Tensor& coordinates, const ResampleRules& rules) {
    const std::int64_t height = coordinates.shape[1], width = coordinates.shape[2];
    return sample(
        x, x.shape[0], height, width, rules.sampler, [](std::int64_t n) { return n; },
        [&](std::int64_t n, std::int64_t i, std::int64_t j) {
            const double* pair = coordinates.data.data() + ((n * height + i) * width + j) * 2;
            return std::pair{pixels(pair[0], x.shape[3], rules.coordinates, rules.align_corners),
                             pixels(pair[1], x.shape[2], rules.coordinates, rules.align_corners)};
        });
}

Tensor affine(const Tensor& x, const Tensor& transforms, std::int64_t height, std::int64_t width,
              const Sampler& sampler) {
    const auto from_end_to_end = [](std::int64_t i, std::int64_t size) {
        return size > 1 ? -1.0 + 2.0 * static_cast<double>(i) / static_cast<double>(size - 1) : 0.0;
    };
    return sample(
        x, x.shape[0], height, width, sampler, [](std::int64_t n) { return n; },
        [&](std::int64_t n, std::int64_t i, std::int64_t j) {
            const double* t = transforms.data.data() + (transforms.shape[0] == 1 ? 0 : n) * 6;
            const double column = from_end_to_end(j, width), row = from_end_to_end(i, height);
            return std::pair{pixels(t[0] * column + t[1] * row + t[2], x.shape[3],
                                    Coordinates::minus_one_to_one, true),
                             pixels(t[3] * column + t[4] * row + t[5], x.shape[2],
                                    Coordinates::minus_one_to_one, true)};
        });
}

Tensor crop_resize(const Tensor& x, const Tensor& boxes, const Tensor& indices,
                   const CropRules& rules) {
    // Positions of all boxes' samples along one axis; those outside the image count as NaN, which
    // is beyond it as a whole: they are not mixed with its outer pixels.
    const auto positions = [&](int axis, std::int64_t to) {
        const std::int64_t size = x.shape[2 + axis];
        const int first = axis == (rules.width_first ? 1 : 0) ? 0 : 1;
        std::vector<double> all;
        for (std::int64_t n = 0; n < boxes.shape[0]; ++n) {
            const double* box = boxes.data.data() + n * 4;
            const double unit =
                rules.scale * (rules.are_normalized ? static_cast<double>(size - 1) : 1.0);
            double start = box[first] * unit, end = box[first + 2] * unit;
            if (rules.centers) {
                const double center = start, extent = end;
                start = center - extent / 2.0, end = center + extent / 2.0;
            }
            if (!std::isfinite(start) || !std::isfinite(end)) {
                all.insert(all.end(), static_cast<std::size_t>(to), std::nan(""));
                continue;
            }
            for (const double offset : sample_positions(end - start + 1.0, to, rules.sampling)) {
                const double at = start + offset;
                const bool is_inside = at >= 0.0 && at <= static_cast<double>(size - 1);
                all.push_back(is_inside ? at : std::nan(""));
            }
        }
        return all;
    };
    const auto rows = positions(0, rules.height), columns = positions(1, rules.width);
    const Sampler sampler{false, Border::value, rules.beyond};
    const auto image = [&](std::int64_t n) {
        const double index = indices.data[static_cast<std::size_t>(n)];
        const auto last = static_cast<double>(x.shape[0] - 1);
        return static_cast<std::int64_t>(std::isnan(index) ? last : std::clamp(index, 0.0, last));
    };
    return sample(x, boxes.shape[0], rules.height, rules.width, sampler, image,
                  [&](std::int64_t n, std::int64_t i, std::int64_t j) {
                      return std::pair{columns[static_cast<std::size_t>(n * rules.width + j)],
                                       rows[static_cast<std::size_t>(n * rules.height + i)]};
                  });
}

}  // namespace pome::reference
