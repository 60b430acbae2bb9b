#include "train/digits_data.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/random.h"

namespace pome::train {
namespace {

struct Point {
    double x, y;
};
using Stroke = std::vector<Point>;

/// Strokes in the unit square, y downwards.
const std::array<std::vector<Stroke>, digit_classes>& patterns() {
    static const std::array<std::vector<Stroke>, digit_classes> all{{
        {{{0.5, 0.0},
          {0.2, 0.15},
          {0.1, 0.5},
          {0.2, 0.85},
          {0.5, 1.0},
          {0.8, 0.85},
          {0.9, 0.5},
          {0.8, 0.15},
          {0.5, 0.0}}},
        {{{0.3, 0.2}, {0.55, 0.0}, {0.55, 1.0}}},
        {{{0.15, 0.25},
          {0.35, 0.02},
          {0.7, 0.05},
          {0.85, 0.3},
          {0.6, 0.6},
          {0.15, 1.0},
          {0.9, 1.0}}},
        {{{0.15, 0.1},
          {0.5, 0.0},
          {0.8, 0.2},
          {0.7, 0.42},
          {0.4, 0.5},
          {0.75, 0.6},
          {0.85, 0.8},
          {0.55, 1.0},
          {0.15, 0.9}}},
        {{{0.65, 1.0}, {0.65, 0.0}, {0.1, 0.65}, {0.9, 0.65}}},
        {{{0.85, 0.0},
          {0.25, 0.0},
          {0.2, 0.45},
          {0.6, 0.4},
          {0.85, 0.65},
          {0.7, 0.95},
          {0.4, 1.0},
          {0.15, 0.88}}},
        {{{0.75, 0.0},
          {0.4, 0.2},
          {0.18, 0.6},
          {0.3, 0.95},
          {0.65, 1.0},
          {0.85, 0.75},
          {0.65, 0.5},
          {0.25, 0.6}}},
        {{{0.1, 0.0}, {0.9, 0.0}, {0.55, 0.5}, {0.35, 1.0}}},
        {{{0.5, 0.48},
          {0.2, 0.3},
          {0.3, 0.03},
          {0.7, 0.03},
          {0.8, 0.3},
          {0.5, 0.48},
          {0.15, 0.72},
          {0.3, 0.98},
          {0.7, 0.98},
          {0.85, 0.72},
          {0.5, 0.48}}},
        {{{0.78, 0.4},
          {0.45, 0.52},
          {0.18, 0.35},
          {0.3, 0.05},
          {0.65, 0.0},
          {0.8, 0.25},
          {0.75, 0.6},
          {0.5, 1.0}}},
    }};
    return all;
}

double distance(Point p, Point a, Point b) {
    const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
    double t = length > 0.0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / length : 0.0;
    t = std::clamp(t, 0.0, 1.0);
    return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

void draw(const Stroke& stroke, double radius, float* image) {
    for (std::int64_t row = 0; row < digit_side; ++row) {
        for (std::int64_t column = 0; column < digit_side; ++column) {
            const Point pixel{static_cast<double>(column), static_cast<double>(row)};
            double nearest = 1e9;
            for (std::size_t i = 1; i < stroke.size(); ++i) {
                nearest = std::min(nearest, distance(pixel, stroke[i - 1], stroke[i]));
            }
            float& ink = image[row * digit_side + column];
            ink = std::max(ink, static_cast<float>(std::clamp(radius + 0.5 - nearest, 0.0, 1.0)));
        }
    }
}

}  // namespace

Digits draw_digits(std::int64_t count, std::uint64_t seed) {
    constexpr double size = 17.0, middle = 13.5, corner = 0.06, noise = 0.12;
    Random random(seed);
    Digits digits;
    digits.images.assign(static_cast<std::size_t>(count * digit_pixels), 0.0F);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto label = static_cast<int>(random.below(digit_classes));
        digits.labels.push_back(label);
        float* image = digits.images.data() + i * digit_pixels;
        const double turn = random.uniform(-0.3, 0.3), shear = random.uniform(-0.35, 0.35);
        const double wide = size * random.uniform(0.6, 1.1),
                     high = size * random.uniform(0.75, 1.1);
        const Point shift{middle + random.uniform(-3.5, 3.5), middle + random.uniform(-3.0, 3.0)};
        const double radius = random.uniform(0.6, 1.7);
        const auto place = [&](Point p) {
            const double x = (p.x - 0.5 + shear * (0.5 - p.y)) * wide, y = (p.y - 0.5) * high;
            return Point{shift.x + std::cos(turn) * x - std::sin(turn) * y,
                         shift.y + std::sin(turn) * x + std::cos(turn) * y};
        };
        for (const Stroke& pattern : patterns()[static_cast<std::size_t>(label)]) {
            Stroke stroke;
            for (const Point& p : pattern) {
                const double x = p.x + corner * random.normal(), y = p.y + corner * random.normal();
                stroke.push_back(place({x, y}));
            }
            draw(stroke, radius, image);
        }
        if (random.uniform() < 0.25) {
            const double x = random.uniform(0.0, 27.0), y = random.uniform(0.0, 27.0);
            draw({{x, y}, {x + random.uniform(-8.0, 8.0), y + random.uniform(-8.0, 8.0)}}, 0.6,
                 image);
        }
        for (std::int64_t at = 0; at < digit_pixels; ++at) {
            image[at] =
                std::clamp(image[at] + static_cast<float>(noise * random.normal()), 0.0F, 1.0F);
        }
    }
    return digits;
}

}  // namespace pome::train
