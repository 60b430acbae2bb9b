// Every vector target gives the bits of plain loops over the channels, in eight pieces.
#include "kernels/rmsnorm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/targets.h"
#include "support/normal_floats.h"

namespace pome::kernels {
namespace {

using test::normal_floats;

constexpr float epsilon = 1e-5F;

/// The sum of term(c) over all channels as the header says.
template <typename Term>
float sum_of(std::int64_t channels, Term term) {
    float sum = 0.0F;
    for (std::int64_t i = 0; i < 8; ++i) {
        float piece = 0.0F;
        for (std::int64_t c = channels * i / 8; c < channels * (i + 1) / 8; ++c) {
            piece += term(c);
        }
        sum = i == 0 ? piece : sum + piece;
    }
    return sum;
}

struct Case {
    explicit Case(std::int64_t channels_, std::int64_t positions_)
        : channels(channels_),
          positions(positions_),
          random(static_cast<std::uint64_t>(channels * 1000 + positions)),
          x(normal_floats(channels * positions, random)),
          dy(normal_floats(channels * positions, random)),
          dx(normal_floats(channels * positions, random)),
          gain(normal_floats(channels, random)),
          dgain(normal_floats(channels, random)),
          root(static_cast<std::size_t>(positions)) {
        for (std::int64_t s = 0; s < positions; ++s) {
            const float sum =
                sum_of(channels, [&](std::int64_t c) { return at(x, c, s) * at(x, c, s); });
            root[static_cast<std::size_t>(s)] =
                1.0F / std::sqrt(sum / static_cast<float>(channels) + epsilon);
        }
    }
    float& at(std::vector<float>& values, std::int64_t c, std::int64_t s) const {
        return values[static_cast<std::size_t>(c * positions + s)];
    }

    std::int64_t channels, positions;
    Random random;
    std::vector<float> x, dy, dx, gain, dgain, root;
};

template <typename Body>
void for_cases(Body body) {
    struct Size {
        std::int64_t channels, positions;
    };
    for (const Size& size :
         {Size{1, 1}, {3, 16}, {7, 23}, {16, 64}, {40, 130}, {5, 1}, {33, 200}, {300, 100}}) {
        SCOPED_TRACE(std::to_string(size.channels) + " x " + std::to_string(size.positions));
        for (const int threads : {1, 2}) {
            ThreadPool pool(threads);
            for_every_target([&] { body(Case(size.channels, size.positions), pool); });
        }
    }
}

TEST(RmsNorm, ForwardEqualsPlainLoops) {
    for_cases([](Case the, ThreadPool& pool) {
        std::vector<float> y(the.x.size()), root(the.root.size()), alone(the.root.size());
        rmsnorm(the.channels, the.positions, the.x.data(), the.gain.data(), epsilon, y.data(),
                root.data(), pool);
        rmsnorm_root(the.channels, the.positions, the.x.data(), epsilon, alone.data(), pool);
        EXPECT_EQ(root, the.root);
        EXPECT_EQ(alone, the.root);
        std::vector<float> expected(y.size());
        for (std::int64_t c = 0; c < the.channels; ++c) {
            for (std::int64_t s = 0; s < the.positions; ++s) {
                the.at(expected, c, s) = the.gain[static_cast<std::size_t>(c)] *
                                         the.at(the.x, c, s) *
                                         the.root[static_cast<std::size_t>(s)];
            }
        }
        EXPECT_EQ(y, expected);
    });
}

TEST(RmsNorm, BackwardEqualsPlainLoops) {
    for_cases([](Case the, ThreadPool& pool) {
        std::vector<float> dx = the.dx, dgain = the.dgain;
        rmsnorm_backward(the.channels, the.positions, the.x.data(), the.gain.data(),
                         the.root.data(), the.dy.data(), dx.data(), dgain.data(), pool);
        std::vector<float> expected = the.dx;
        for (std::int64_t s = 0; s < the.positions; ++s) {
            const float root = the.root[static_cast<std::size_t>(s)];
            float dot = sum_of(the.channels, [&](std::int64_t c) {
                return the.gain[static_cast<std::size_t>(c)] * the.at(the.dy, c, s) *
                       the.at(the.x, c, s);
            });
            dot *= root * root / static_cast<float>(the.channels);
            for (std::int64_t c = 0; c < the.channels; ++c) {
                the.at(expected, c, s) +=
                    root * (the.gain[static_cast<std::size_t>(c)] * the.at(the.dy, c, s) -
                            the.at(the.x, c, s) * dot);
            }
        }
        EXPECT_EQ(dx, expected);
        for (std::int64_t c = 0; c < the.channels; ++c) {
            double sum = 0.0, size = 0.0;
            for (std::int64_t s = 0; s < the.positions; ++s) {
                const float term = the.at(the.dy, c, s) * the.at(the.x, c, s) *
                                   the.root[static_cast<std::size_t>(s)];
                sum += static_cast<double>(term);
                size += std::fabs(static_cast<double>(term));
            }
            const auto i = static_cast<std::size_t>(c);
            EXPECT_NEAR(dgain[i], static_cast<double>(the.dgain[i]) + sum, 1e-6 * (1.0 + size));
        }
    });
}

TEST(RmsNorm, TheHalvesOfBackwardEqualTheWhole) {
    for_cases([](Case the, ThreadPool& pool) {
        std::vector<float> dx = the.dx, dgain = the.dgain, whole_dx = the.dx, whole = the.dgain;
        rmsnorm_backward(the.channels, the.positions, the.x.data(), the.gain.data(),
                         the.root.data(), the.dy.data(), whole_dx.data(), whole.data(), pool);
        rmsnorm_gain_gradient(the.channels, the.positions, the.x.data(), the.root.data(),
                              the.dy.data(), dgain.data(), pool);
        rmsnorm_backward(the.channels, the.positions, the.x.data(), the.gain.data(),
                         the.root.data(), the.dy.data(), dx.data(), nullptr, pool);
        EXPECT_EQ(dgain, whole);
        EXPECT_EQ(dx, whole_dx);
    });
}

TEST(RmsNorm, GainGradientsAreTheSameOnEveryTarget) {
    const Case the(31, 77);
    ThreadPool pool(2);
    std::vector<float> first;
    for_every_target([&] {
        std::vector<float> dgain = the.dgain;
        rmsnorm_gain_gradient(the.channels, the.positions, the.x.data(), the.root.data(),
                              the.dy.data(), dgain.data(), pool);
        if (first.empty()) {
            first = dgain;
        }
        EXPECT_EQ(dgain, first);
    });
}

}  // namespace
}  // namespace pome::kernels
