#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fp16.h"

namespace pome::kernels {

// Functions of one fp16 value that consist of 32 lines, as most of the engine's tables do, in
// vectors. Nothing is assumed about a function: a form is found by trying, and it is kept only if
// it gives all of the function's 65,536 results on the vectors of this machine.

constexpr std::size_t line_count = 32;
/// A function's results by the bits of x.
using Results = std::span<const fp16, 65536>;

/// y = intercept + slope x on each of 32 equal segments of (low, high), whose width is a power of
/// two, and one line each for x <= low and x >= high; rounded once, ties away from zero, -0
/// becoming +0.
struct Segments {
    struct Line {
        float intercept, slope;
    };
    std::array<float, line_count> intercepts, slopes;
    float low, high;
    Line below, above;
    bool is_odd;  ///< then these are the lines of |x|, and low is 0
};

/// y = 2^(x factor), the product rounded to fp16: 32 lines over the fraction of the exponent
/// (docs/softmax.md).
struct Exponential {
    /// Added to y it leaves floor(32 y) - 8 in the lowest bits.
    static constexpr float unit = 0x1.8p18F - 0.25F;
    /// By the lowest five bits of that: of the line over the fraction above the segment's begin.
    /// The intercepts lack (floor(32 y) - 8) / 32, which the exponent's bits bring, and have 2^-20
    /// more, half a unit of what they are cut to.
    std::array<float, line_count> intercepts, slopes;
    float factor;
};

/// The form that gives these results; none where there is none, or where this machine's vectors are
/// no faster than a look-up (without AVX-512).
std::optional<Segments> find_segments(Results results);
std::optional<Exponential> find_exponential(Results results);

/// out[i] = f(x[i]) for i < count, the few elements that are not in the form's reach by `results`.
/// out may be x. False, and nothing done, on vectors that have no fast way.
bool apply(const Segments& form, Results results, const fp16* x, fp16* out, std::int64_t count);
bool apply(const Exponential& form, Results results, const fp16* x, fp16* out, std::int64_t count);

}  // namespace pome::kernels
