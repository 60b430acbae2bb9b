#include "train/resident_state.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "device/emulator/emulator.h"
#include "support/test_data.h"
#include "train/surface_io.h"

namespace pome::train {
namespace {

constexpr double unit_roundoff = 0x1p-11;  // of fp16

/// AdamW in double.
struct Exact {
    double w = 0.0, m = 0.0, v = 0.0;
    /// Returns the change of w.
    double update(const kernels::AdamW& rule, double g, bool decays) {
        const auto b1 = static_cast<double>(rule.beta1), b2 = static_cast<double>(rule.beta2),
                   rate = static_cast<double>(rule.learning_rate),
                   t = static_cast<double>(rule.update);
        g *= static_cast<double>(rule.gradient_factor);
        m = b1 * m + (1.0 - b1) * g;
        v = b2 * v + (1.0 - b2) * g * g;
        const double direction =
            m / (1.0 - std::pow(b1, t)) /
            (std::sqrt(v / (1.0 - std::pow(b2, t))) + static_cast<double>(rule.epsilon));
        const double change =
            rate * (direction + (decays ? static_cast<double>(rule.weight_decay) * w : 0.0));
        w -= change;
        return change;
    }
};

kernels::AdamW rule_of(double rate, double beta2) {
    kernels::AdamW rule{};
    rule.learning_rate = static_cast<float>(rate);
    rule.beta1 = 0.9F;
    rule.beta2 = static_cast<float>(beta2);
    rule.epsilon = 1e-8F;
    rule.weight_decay = 0.1F;
    rule.gradient_factor = 1.0F / 1024.0F;
    return rule;
}

/// A tensor on a device and the same in double.
class Pair {
  public:
    Pair(device::Device& device, const model::StateForm& form)
        : state_(device, pool_, times_, {{"w", rows, columns, true, 0, {1, rows, 1, 64}}}, form),
          exact_(count) {
        std::vector<float> weights(count);
        for (std::size_t i = 0; i < count; ++i) {
            weights[i] = static_cast<float>(0.3 * random_.normal());
            exact_[i].w = static_cast<double>(weights[i]);
        }
        state_.set_weights(0, weights);
    }

    /// One update of both with a gradient, rounded to what the engine has.
    void step(std::vector<float> g, const kernels::AdamW& rule) {
        auto& surface = state_.gradient_target(0);
        store(g.data(), surface, pool_);
        load(surface, g.data(), pool_);
        state_.take_gradients(0);
        EXPECT_TRUE(std::isfinite(state_.sum_of_squares()));
        state_.update(rule);
        travelled_ += static_cast<double>(rule.learning_rate);
        for (std::size_t i = 0; i < count; ++i) {
            exact_[i].update(rule, static_cast<double>(g[i]), true);
        }
    }

    /// `updates` with gradients that differ in size from element to element by up to 2^-spread;
    /// `drift` is the part of them that is always the same.
    void run(std::int64_t updates, kernels::AdamW rule, double size, int spread, double drift) {
        std::vector<float> g(count);
        for (rule.update = 1; rule.update <= updates; ++rule.update) {
            for (std::size_t i = 0; i < count; ++i) {
                const double own = std::ldexp(size, -static_cast<int>(i) % (spread + 1));
                const double noise = random_.uniform(0.5, 1.0) * (random_.below(2) == 0 ? 1 : -1);
                g[i] = static_cast<float>(own * (drift + (1.0 - drift) * noise));
            }
            step(g, rule);
        }
    }

    /// The largest error of a weight in units of what its bound allows.
    double error() {
        std::vector<float> weights(count);
        state_.get_weights(0, weights);
        // A step is rate * u, u = m / sqrt(v), |u| < 4.5 for beta2 = 0.95. In units of the roundoff
        // G has two errors, each step of m three more and m remembers ten steps, so m / sqrt(v) is
        // off by 2 + 3 * 10; v by (2 * 2 + 3) / 2 in its root; root, sum, quotient, rate and
        // product by 2.4 + 1 + 1 + 1 + 1; the betas' own rounding by 1.
        const double step = (32.0 + 4.5 * (3.5 + 6.4 + 1.0)) * unit_roundoff;
        double worst = 0.0;
        for (std::size_t i = 0; i < count; ++i) {
            const double bound = travelled_ * step + std::fabs(exact_[i].w) * 0x1p-20;
            worst =
                std::max(worst, std::fabs(static_cast<double>(weights[i]) - exact_[i].w) / bound);
        }
        return worst;
    }

    ResidentState& state() { return state_; }
    ThreadPool& pool() { return pool_; }

    static constexpr std::int64_t rows = 12, columns = 64;
    static constexpr std::size_t count = rows * columns;

  private:
    ThreadPool pool_{1};
    Times times_;
    Random random_{7};
    ResidentState state_;
    std::vector<Exact> exact_;
    double travelled_ = 0.0;  // sum of the rates
};

TEST(ResidentState, TheUpdateIsAdamWWithinTheBoundOfItsRoundings) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    for (const double beta2 : {0.95, 0.999}) {
        for (const double size : {0.02, 1.0, 300.0, 30000.0}) {
            Pair pair(*m4, {});
            pair.run(150, rule_of(1e-3, beta2), size, 6, 0.2);
            EXPECT_LT(pair.error(), 1.0) << beta2 << " " << size;
        }
    }
}

TEST(ResidentState, OneSurfaceStallsWhereTwoDoNot) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    const model::StateForm one{.weights = false, .second_moment = false};
    // No step reaches half of a weight's last bit.
    Pair compensated(*m4, {}), plain(*m4, one);
    compensated.run(300, rule_of(1e-6, 0.95), 1.0, 6, 0.9);
    EXPECT_LT(compensated.error(), 1.0);
    plain.run(300, rule_of(1e-6, 0.95), 1.0, 6, 0.9);
    EXPECT_GT(plain.error(), 10.0);
    // Large steps survive in one surface.
    Pair fast(*m4, one);
    fast.run(50, rule_of(1e-2, 0.95), 1.0, 6, 0.2);
    EXPECT_LT(fast.error(), 1.0);
}

TEST(ResidentState, ASecondMomentOfOneSurfaceStopsShortOfItsGradients) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    // v approaches g^2 = 1 by a thousandth of the rest a step; what is less than half of its last
    // bit is lost, so it stops a quarter short and steps are an eighth too long.
    const std::vector<float> ones(Pair::count, 1.0F);
    const auto error = [&](const model::StateForm& form) {
        Pair pair(*m4, form);
        auto rule = rule_of(1e-4, 0.999);
        for (rule.update = 1; rule.update <= 2500; ++rule.update) {
            pair.step(ones, rule);
        }
        return pair.error();
    };
    const double two = error({}), one = error({.weights = true, .second_moment = false});
    EXPECT_LT(two, 0.2);
    EXPECT_GT(one, 5.0 * two);
    EXPECT_GT(one, 0.5);
}

TEST(ResidentState, SmallGradientsBesideLargeOnesTakeTheirOwnSteps) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    for (const double beta2 : {0.95, 0.999}) {
        Pair pair(*m4, {});
        std::vector<float> g(Pair::count), before(Pair::count), after(Pair::count);
        for (std::size_t i = 0; i < g.size(); ++i) {
            g[i] = static_cast<float>(std::ldexp(256.0, -static_cast<int>(i % 28)));
        }
        pair.state().get_weights(0, before);
        auto rule = rule_of(1e-4, beta2);
        rule.weight_decay = 0.0F;
        for (rule.update = 1; rule.update <= 100; ++rule.update) {
            pair.step(g, rule);
        }
        pair.state().get_weights(0, after);
        for (std::size_t i = 0; i < g.size(); ++i) {
            // Adam's step is the rate, whatever the size; 2^-17 of the largest and below, epsilon's
            // floor makes it shorter, and nothing makes it longer.
            const double travelled = static_cast<double>(before[i] - after[i]) / (100 * 1e-4);
            EXPECT_LT(travelled, 1.1) << beta2 << " 2^-" << i % 28;
            if (i % 28 <= 12) {
                EXPECT_GT(travelled, 0.9) << beta2 << " 2^-" << i % 28;
            }
            EXPECT_GE(travelled, 0.0) << beta2 << " 2^-" << i % 28;
        }
    }
}

TEST(ResidentState, UnitsFollowGradientsThatFadeAndGrow) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    Pair pair(*m4, {});
    auto rule = rule_of(1e-3, 0.95);
    std::vector<float> g(Pair::count);
    Random random(3);
    for (rule.update = 1; rule.update <= 400; ++rule.update) {
        // From 1 down to 2^-12 and at once back: v moves by 24 octaves.
        const double size = std::exp2(-12.0 * static_cast<double>(rule.update % 200) / 200.0);
        for (float& value : g) {
            value = static_cast<float>(size * random.normal());
        }
        pair.step(g, rule);
    }
    EXPECT_LT(pair.error(), 1.0);
    EXPECT_EQ(m4->compiles(), 2);
}

TEST(ResidentState, SumsABatchAndMeasuresIt) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    for (const double size : {1e-3, 1.0, 2000.0}) {
        Pair pair(*m4, {});
        std::vector<double> total(Pair::count, 0.0);
        std::vector<float> g(Pair::count);
        Random random(5);
        for (int sequence = 0; sequence < 10; ++sequence) {
            for (float& value : g) {
                value = static_cast<float>(size * random.normal());
            }
            auto& target = pair.state().gradient_target(0);
            store(g.data(), target, pool);
            load(target, g.data(), pool);
            pair.state().take_gradients(0);
            for (std::size_t i = 0; i < g.size(); ++i) {
                total[i] += static_cast<double>(g[i]);
            }
        }
        double squares = 0.0;
        for (const double value : total) {
            squares += value * value;
        }
        // Each square three roundings; a sum of four drops what lies below 2^-11 of its largest.
        EXPECT_NEAR(pair.state().sum_of_squares() / squares, 1.0, 4.0 * 2.0 * unit_roundoff);
    }
}

TEST(ResidentState, BundlesShareProgramsAndKeepTheirGradientsApart) {
    ThreadPool pool(1);
    Times times;
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    ResidentState state(*m4, pool, times,
                        {{"a.0", 4, 32, true, 0, {1, 4, 1, 32}},
                         {"b.0", 4, 32, true, 0, {1, 4, 1, 32}},
                         {"a.1", 4, 32, true, 1, {1, 4, 1, 32}},
                         {"b.1", 4, 32, true, 1, {1, 4, 1, 32}}},
                        {});
    EXPECT_EQ(m4->compiles(), 2);
    const std::vector<float> ones(128, 1.0F), twos(128, 2.0F), zeros(128, 0.0F);
    for (int sequence = 0; sequence < 2; ++sequence) {
        // As backward programs do: both outputs at once, then both are taken; then the next
        // layer's.
        EXPECT_NE(&state.gradient_target(0), &state.gradient_target(1));
        store(ones.data(), state.gradient_target(0), pool);
        store(twos.data(), state.gradient_target(1), pool);
        state.take_gradients(0);
        store(zeros.data(), state.gradient_target(2), pool);
        store(twos.data(), state.gradient_target(3), pool);
        state.take_gradients(1);
    }
    EXPECT_EQ(state.sum_of_squares(), 128 * (2.0 * 2.0 + 4.0 * 4.0 + 4.0 * 4.0));
    EXPECT_EQ(m4->compiles(), 3);
}

TEST(ResidentState, AnInfiniteGradientShowsBeforeTheUpdate) {
    ThreadPool pool(1);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    Pair pair(*m4, {});
    std::vector<float> g(Pair::count, 1.0F), before(Pair::count), after(Pair::count);
    pair.state().get_weights(0, before);
    g[77] = std::numeric_limits<float>::infinity();
    store(g.data(), pair.state().gradient_target(0), pool);
    pair.state().take_gradients(0);
    EXPECT_TRUE(std::isinf(pair.state().sum_of_squares()));
    pair.state().discard_gradients();
    pair.state().get_weights(0, after);
    EXPECT_EQ(before, after);
    EXPECT_EQ(error_text([&] { pair.state().sum_of_squares(); }),
              "[train.resident] 'w' has no gradient");
    std::fill(g.begin(), g.end(), 0.0F);  // nothing at all is no overflow
    store(g.data(), pair.state().gradient_target(0), pool);
    pair.state().take_gradients(0);
    EXPECT_EQ(pair.state().sum_of_squares(), 0.0);
}

}  // namespace
}  // namespace pome::train
