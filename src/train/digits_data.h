#pragma once

#include <cstdint>
#include <vector>

namespace pome::train {

constexpr std::int64_t digit_side = 28;
constexpr std::int64_t digit_pixels = digit_side * digit_side;
constexpr std::int64_t digit_classes = 10;

/// Drawn digits, the size of MNIST's.
struct Digits {
    std::vector<float> images;  ///< [count][28][28], 0 paper, 1 ink
    std::vector<int> labels;    ///< 0 .. 9
    std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

/// Draws `count` digits with a pen: each a stroke pattern that is shifted, turned, sheared and
/// scaled at random, its corners moved, with a pen of random width, noise on every pixel and, on
/// some, a stray stroke. The same seed gives the same digits on every platform.
Digits draw_digits(std::int64_t count, std::uint64_t seed);

}  // namespace pome::train
