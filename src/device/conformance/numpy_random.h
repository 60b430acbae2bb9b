#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace pome::device::conformance {

/// NumPy's `default_rng(seed)`: SeedSequence, PCG64 (XSL-RR) and the 256-strip ziggurat of
/// `standard_normal`, draw for draw; normals may differ in the last units of double, because NumPy
/// keeps its tables as literals. Published error figures of real engines come from arrays that it
/// made.
class NumpyRandom {
  public:
    explicit NumpyRandom(std::uint32_t seed) {
        const std::array<std::uint64_t, 4> words = seed_words(seed);
        const Wide start = (Wide{words[0]} << 64) | words[1];
        increment_ = (((Wide{words[2]} << 64) | words[3]) << 1) | 1U;
        step();
        state_ += start;
        step();
    }

    std::uint64_t bits() {
        step();
        const auto folded =
            static_cast<std::uint64_t>(state_ >> 64) ^ static_cast<std::uint64_t>(state_);
        const auto turn = static_cast<unsigned>(state_ >> 122);
        return (folded >> turn) | (folded << ((64U - turn) & 63U));
    }

    /// In [0, 1).
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

    double normal() {
        const Ziggurat& z = ziggurat();
        for (;;) {
            std::uint64_t r = bits();
            const auto strip = static_cast<std::size_t>(r & 0xFFU);
            r >>= 8;
            const bool negative = (r & 1U) != 0;
            const std::uint64_t magnitude = (r >> 1) & 0x000FFFFFFFFFFFFFU;
            const double value = static_cast<double>(magnitude) * z.width[strip];
            if (magnitude < z.inside[strip]) {
                return negative ? -value : value;
            }
            if (strip == 0) {
                for (;;) {
                    const double x = -std::log1p(-uniform()) / Ziggurat::tail;
                    const double y = -std::log1p(-uniform());
                    if (y + y > x * x) {
                        const double far = Ziggurat::tail + x;
                        return ((magnitude >> 8) & 1U) != 0 ? -far : far;
                    }
                }
            }
            if ((z.height[strip - 1] - z.height[strip]) * uniform() + z.height[strip] <
                std::exp(-0.5 * value * value)) {
                return negative ? -value : value;
            }
        }
    }

  private:
    __extension__ using Wide = unsigned __int128;

    struct Ziggurat {
        static constexpr double tail = 3.6541528853610088;
        std::array<std::uint64_t, 256> inside{};  // below it a draw is accepted at once
        std::array<double, 256> width{}, height{};

        Ziggurat() {
            constexpr double area = 0.004928673233974655;  // of each strip, tail included
            constexpr double mantissa = 0x1p52;
            double edge = tail;
            width[255] = edge / mantissa;
            height[255] = std::exp(-0.5 * edge * edge);
            inside[0] = static_cast<std::uint64_t>(edge * height[255] / area * mantissa);
            width[0] = area / height[255] / mantissa;
            height[0] = 1.0;
            for (std::size_t i = 254; i > 0; --i) {
                const double x = std::sqrt(-2.0 * std::log(area / edge + height[i + 1]));
                inside[i + 1] = static_cast<std::uint64_t>(x / edge * mantissa);
                width[i] = x / mantissa;
                height[i] = std::exp(-0.5 * x * x);
                edge = x;
            }
            inside[1] = 0;
        }
    };

    static const Ziggurat& ziggurat() {
        static const Ziggurat tables;
        return tables;
    }

    static std::array<std::uint64_t, 4> seed_words(std::uint32_t seed) {
        std::uint32_t constant = 0x43B0D7E5U;
        const auto hash = [&](std::uint32_t value) {
            value ^= constant;
            constant *= 0x931E8875U;
            value *= constant;
            return value ^ (value >> 16);
        };
        std::array<std::uint32_t, 4> pool{};
        for (std::size_t i = 0; i < 4; ++i) {
            pool[i] = hash(i == 0 ? seed : 0U);
        }
        for (std::size_t from = 0; from < 4; ++from) {
            for (std::size_t to = 0; to < 4; ++to) {
                if (from != to) {
                    const std::uint32_t mixed =
                        0xCA01F9DDU * pool[to] - 0x4973F715U * hash(pool[from]);
                    pool[to] = mixed ^ (mixed >> 16);
                }
            }
        }
        std::array<std::uint64_t, 4> words{};
        std::uint32_t out = 0x8B51F9DDU;
        for (std::size_t i = 0; i < 8; ++i) {
            std::uint32_t value = pool[i % 4] ^ out;
            out *= 0x58F38DEDU;
            value *= out;
            value ^= value >> 16;
            words[i / 2] |= std::uint64_t{value} << (32 * (i % 2));
        }
        return words;
    }

    void step() {
        constexpr Wide multiplier = (Wide{2549297995355413924U} << 64) | 4865540595714422341U;
        state_ = state_ * multiplier + increment_;
    }

    Wide state_ = 0, increment_ = 0;
};

}  // namespace pome::device::conformance
