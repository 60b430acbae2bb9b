// The three products against plain loops.
#include "kernels/classifier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "support/normal_floats.h"

namespace pome::kernels {
namespace {

using test::normal_floats;

constexpr std::int64_t channels = 24, positions = 40, vocabulary = 70;
constexpr ClassifierSizes sizes{channels, positions, vocabulary};

class Classifier : public testing::Test {
  protected:
    static double at(const std::vector<float>& values, std::int64_t index) {
        return static_cast<double>(values[static_cast<std::size_t>(index)]);
    }
    template <typename Term>
    static double sum(std::int64_t count, Term term) {
        double sum = 0.0;
        for (std::int64_t i = 0; i < count; ++i) {
            sum += term(i);
        }
        return sum;
    }

    Random random_{1};
    ThreadPool pool_{2};
    MatmulScratch scratch_;
    std::vector<float> x_ = normal_floats(channels * positions, random_),
                       weights_ = normal_floats(vocabulary * channels, random_),
                       logits_ = normal_floats(positions * vocabulary, random_);
};

TEST_F(Classifier, Logits) {
    auto y = normal_floats(positions * vocabulary, random_);  // overwritten
    classifier_logits(sizes, x_.data(), weights_.data(), y.data(), pool_, scratch_);
    for (std::int64_t s = 0; s < positions; ++s) {
        for (std::int64_t v = 0; v < vocabulary; ++v) {
            EXPECT_NEAR(at(y, s * vocabulary + v),
                        sum(channels,
                            [&](std::int64_t c) {
                                return at(weights_, v * channels + c) * at(x_, c * positions + s);
                            }),
                        1e-4);
        }
    }
}

TEST_F(Classifier, InputGradient) {
    auto dx = normal_floats(channels * positions, random_);  // overwritten
    classifier_input_gradient(sizes, weights_.data(), logits_.data(), 0.5F, dx.data(), pool_,
                              scratch_);
    for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t s = 0; s < positions; ++s) {
            EXPECT_NEAR(at(dx, c * positions + s),
                        0.5 * sum(vocabulary,
                                  [&](std::int64_t v) {
                                      return at(weights_, v * channels + c) *
                                             at(logits_, s * vocabulary + v);
                                  }),
                        1e-4);
        }
    }
}

TEST_F(Classifier, WeightGradientIsAdded) {
    const auto before = normal_floats(vocabulary * channels, random_);
    auto dw = before;
    classifier_weight_gradient(sizes, logits_.data(), x_.data(), 0.5F, dw.data(), pool_, scratch_);
    for (std::int64_t v = 0; v < vocabulary; ++v) {
        for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t i = v * channels + c;
            EXPECT_NEAR(at(dw, i),
                        at(before, i) + 0.5 * sum(positions,
                                                  [&](std::int64_t s) {
                                                      return at(logits_, s * vocabulary + v) *
                                                             at(x_, c * positions + s);
                                                  }),
                        1e-4);
        }
    }
}

}  // namespace
}  // namespace pome::kernels
