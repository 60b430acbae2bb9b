// Probes see programs and their outcomes only; what they say must be what the profile says.
#include "device/probe/probe.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "device/emulator/emulator.h"
#include "device/probe/identify.h"
#include "support/expect_error.h"

namespace pome::device::probe {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

const Options everything{.risk = Risk::risky, .budget = true, .progress = {}};

Report probe_emulator(const std::string& profile, const Options& options = everything,
                      std::optional<Numerics> numerics = {}) {
    ThreadPool pool(1);
    DeviceRunner runner([&] {
        return emulator::make_emulator(
            profile, {.numerics = numerics, .strictness = Strictness::as_hardware}, pool);
    });
    return run_probes(runner, options);
}

std::string listed(const std::vector<Difference>& all) {
    std::string text;
    for (const auto& [key, found, expected] : all) {
        text += fmt::format("{} = {}, the profile has {}\n", key, found, expected);
    }
    return text;
}

std::set<std::string> keys(const std::vector<Remark>& remarks) {
    std::set<std::string> all;
    for (const Remark& remark : remarks) {
        all.insert(remark.key);
    }
    return all;
}

/// Chips that no program tells apart, by a route: same arithmetic, same limits.
std::vector<std::string> alike(const std::string& chip, const std::string& route) {
    const std::vector<std::vector<std::string>> generations{
        {"m1", "m1max", "m1pro", "m1ultra"},
        {"m2", "m2max", "m2pro", "m2ultra"},
        {"m3", "m3max", "m3pro", "m3ultra"},
        {"m4", "m4max", "m4pro"},
        {"m5", "m5max"},
        // Only the width of layer_norm differs, which raw routes do not compile.
        route == "e5rt" ? std::vector<std::string>{"m5pro"}
                        : std::vector<std::string>{"m5pro", "m6"},
        {"m6"}};
    for (const auto& generation : generations) {
        if (std::find(generation.begin(), generation.end(), chip) != generation.end()) {
            return generation;
        }
    }
    return {};
}

class Profiles : public testing::TestWithParam<std::string> {};

/// What no program shows on this profile, by its own data.
std::set<std::string> hidden(const Profile& profile) {
    std::set<std::string> keys{"limits.max_inner"};  // no value is wider
    if (profile.front_end == FrontEnd::sweep) {
        keys.insert(
            {"capabilities.fp32_cast", "capabilities.texture", "failures.last_axis_gather"});
    }
    if (!profile.capabilities.terse_dialect) {
        keys.insert("capabilities.attention_mask");
    }
    if (!profile.capabilities.norms) {
        keys.insert(
            {"limits.layer_norm_one", "limits.layer_norm_one_passes", "limits.layer_norm_both"});
    }
    if (profile.limits.compile_budget > 0) {
        keys.insert("limits.loaded_programs");
    }
    return keys;
}

TEST_P(Profiles, AreNamedWithoutBeingTold) {
    const std::string name = GetParam();
    const Profile& profile = find_profile(name);
    const Report report = probe_emulator(name);
    EXPECT_EQ(listed(differences(report, profile)), "");
    EXPECT_EQ(keys(report.open), hidden(profile));
    // All of the arithmetic is found, every single value of it.
    for (const Fact& fact : profile.facts) {
        if (fact.key.starts_with("numerics.") || fact.key.starts_with("surfaces.")) {
            EXPECT_NE(report.find(fact.key), nullptr) << fact.key;
        }
    }
    const Identity identity = identify(report);
    std::vector<std::string> found, wanted;
    for (const Match& match : identity.matches) {
        EXPECT_THAT(match.differences, IsEmpty()) << match.profile;
        found.push_back(match.profile);
    }
    for (const auto& chip : alike(profile.chip, profile.route)) {
        wanted.push_back(chip + "/" + profile.route);
    }
    EXPECT_EQ(found, wanted);
    EXPECT_THAT(identity.families(), Contains(profile.family));
}

std::vector<std::string> all_profiles() {
    std::vector<std::string> all;
    for (const auto& chip : known_chips()) {
        for (const auto& route : known_routes()) {
            all.push_back(chip + "/" + route);
        }
    }
    return all;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
    std::string name = info.param;
    std::replace_if(
        name.begin(), name.end(),
        [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
    return name;
}

INSTANTIATE_TEST_SUITE_P(Every, Profiles, testing::ValuesIn(all_profiles()), test_name);

/// Alternatives that change no outcome of any program: what pipelines choose, times, how a file is
/// read that is read so anyway.
bool shows(const std::string& alternative) {
    return alternative != "runtime-weights" && alternative != "never-off" &&
           alternative != "working-set-32mb" && alternative != "macos15" &&
           alternative != "dispatch-macos26";
}

class Alternatives : public testing::TestWithParam<std::string> {};

TEST_P(Alternatives, OfDisputedFactsAreNamed) {
    const std::string alternative = GetParam();
    bool shown = false;
    for (const std::string base : {"m1/in-memory", "m1/e5rt", "m4/in-memory", "m5/e5rt"}) {
        if (alternative == "minimum-49152" && base.ends_with("e5rt")) {
            continue;  // about the raw routes: nothing fails for the size of a surface by e5rt
        }
        const std::string name = base + "+" + alternative;
        SCOPED_TRACE(name);
        const Report report = probe_emulator(name);
        EXPECT_EQ(listed(differences(report, find_profile(name))), "");
        const bool differs = !differences(report, find_profile(base)).empty();
        shown = shown || differs;
        std::vector<std::string> found;
        for (const Match& match : identify(report).matches) {
            EXPECT_THAT(match.differences, IsEmpty()) << match.profile;
            found.push_back(match.profile);
        }
        EXPECT_THAT(found, Contains(differs ? name : base));
    }
    EXPECT_EQ(shown, shows(alternative));
}

INSTANTIATE_TEST_SUITE_P(Every, Alternatives, testing::ValuesIn(known_alternatives()), test_name);

/// Arithmetic that no chip has is found as well: probes reason, they do not look up.
TEST(Probes, FindNumericsThatNoProfileHas) {
    std::mt19937 random(20);
    const auto pick = [&](int least, int most) {
        return least + static_cast<int>(random() % static_cast<unsigned>(most - least + 1));
    };
    constexpr Rounding roundings[] = {Rounding::nearest_even, Rounding::nearest_away,
                                      Rounding::toward_zero};
    constexpr const char* names[] = {"nearest_even", "nearest_away", "toward_zero"};
    for (int i = 0; i < 40; ++i) {
        Numerics n;
        auto& mac = n.multiply_accumulate;
        const int product = pick(0, 2), output = pick(0, 2), elementwise = pick(0, 2),
                  reduction = pick(0, 2);
        mac.fraction_bits = pick(9, 22);
        mac.product = roundings[product];
        mac.drop_exponent = pick(-mac.fraction_bits - 1, -8);
        mac.limit_exponent = pick(14, 18);
        mac.sticky = mac.limit_exponent > 15 || pick(0, 1) == 1;
        mac.output = roundings[output];
        n.convolution.winograd_width = pick(0, 1) == 1;
        n.slice.width_gain = pick(0, 1) == 1;
        n.elementwise.output = roundings[elementwise];
        n.elementwise.coerce_nan = pick(0, 1) == 1;
        n.reduction.tile = pick(2, 64);
        n.reduction.tile_fraction_bits = pick(8, 24);
        n.reduction.output = roundings[reduction];
        const Report report =
            probe_emulator("m4", {.risk = Risk::harmless, .budget = false, .progress = {}}, n);
        std::map<std::string, std::string> wanted{
            {"multiply_accumulate.fixed_point", "true"},
            {"multiply_accumulate.fraction_bits", std::to_string(mac.fraction_bits)},
            {"multiply_accumulate.product", names[product]},
            {"multiply_accumulate.drop", "true"},
            {"multiply_accumulate.drop_exponent", std::to_string(mac.drop_exponent)},
            {"multiply_accumulate.limit_exponent", std::to_string(mac.limit_exponent)},
            {"multiply_accumulate.sticky", mac.sticky ? "true" : "false"},
            {"multiply_accumulate.output", names[output]},
            {"convolution.winograd_width", n.convolution.winograd_width ? "true" : "false"},
            {"convolution.single_channel_bypass", "true"},
            {"slice.width_gain", n.slice.width_gain ? "true" : "false"},
            {"elementwise.output", names[elementwise]},
            {"elementwise.coerce_nan", n.elementwise.coerce_nan ? "true" : "false"},
            {"tables.enabled", "true"},
            {"softmax.narrow", "true"},
            {"reduction.narrow", "true"},
            {"reduction.tile", std::to_string(n.reduction.tile)},
            {"reduction.tile_fraction_bits", std::to_string(n.reduction.tile_fraction_bits)},
            {"reduction.output", names[reduction]}};
        for (const auto& [key, value] : wanted) {
            const Value* found = report.find("numerics." + key);
            EXPECT_EQ(found == nullptr ? "nothing" : text_of(*found), value)
                << key << " in round " << i;
        }
    }
}

TEST(Probes, TellFloatingPointFromFixed) {
    const Report report = probe_emulator(
        "m4", {.risk = Risk::harmless, .budget = false, .progress = {}}, emulator::fast_numerics());
    for (const auto& [key, value] :
         std::map<std::string, std::string>{{"multiply_accumulate.fixed_point", "false"},
                                            {"multiply_accumulate.output", "nearest_even"},
                                            {"elementwise.output", "nearest_even"},
                                            {"elementwise.coerce_nan", "false"},
                                            {"tables.enabled", "false"},
                                            {"softmax.narrow", "false"},
                                            {"reduction.narrow", "false"},
                                            {"reduction.output", "nearest_even"}}) {
        const Value* found = report.find("numerics." + key);
        EXPECT_EQ(found == nullptr ? "nothing" : text_of(*found), value) << key;
    }
    EXPECT_EQ(report.find("numerics.multiply_accumulate.fraction_bits"), nullptr);
}

/// A device that answers everything alike.
class Stubborn final : public Runner {
  public:
    explicit Stubborn(Outcome answer) : answer_(std::move(answer)) {}
    std::vector<Outcome> run(std::span<const Trial> trials) override {
        return std::vector<Outcome>(trials.size(), answer_);
    }
    Exhaustion exhaust(const mil::Package& /*package*/, bool /*hold*/,
                       std::int64_t /*most*/) override {
        return {0, answer_.message};
    }

  private:
    Outcome answer_;
};

TEST(Probes, SayWhenNothingRuns) {
    Stubborn none({Outcome::Status::refused, "no engine", {}});
    test::expect_error(Code::unsupported,
                       "[device.probe] not even relu runs, in neither dialect: terse does not "
                       "compile: no engine; canonical does not compile: no engine",
                       [&] { run_probes(none, everything); });
}

/// Runs the first trial only: everything after it was stopped. Nothing may be found then.
class OneTrial final : public Runner {
  public:
    std::vector<Outcome> run(std::span<const Trial> trials) override {
        const Outcome::Status status = first_ ? Outcome::Status::done : Outcome::Status::stopped;
        first_ = false;
        return std::vector<Outcome>(trials.size(), {status, "after 30 s", {}});
    }
    Exhaustion exhaust(const mil::Package& /*package*/, bool /*hold*/,
                       std::int64_t /*most*/) override {
        return {0, "after 30 s"};
    }

  private:
    bool first_ = true;
};

TEST(Probes, FindNoArithmeticInTrialsThatWereStopped) {
    OneTrial runner;
    const Report report =
        run_probes(runner, {.risk = Risk::harmless, .budget = false, .progress = {}});
    ASSERT_EQ(report.settings.size(), 1U);
    EXPECT_EQ(report.settings[0].key, "capabilities.terse_dialect");
    EXPECT_THAT(keys(report.open), Contains("numerics.multiply_accumulate.*"));
}

TEST(Probes, GoFromHarmlessToRiskyAndNoFurtherThanAllowed) {
    std::vector<std::string> ran;
    Risk last = Risk::harmless;
    probe_emulator("m4", {.risk = Risk::failures, .budget = false, .progress = [&](const Probe& p) {
                              EXPECT_GE(p.risk, last);
                              last = p.risk;
                              ran.emplace_back(p.name);
                          }});
    EXPECT_EQ(ran.size() + 3, probes().size());  // without weight files, poison and budget
    EXPECT_EQ(last, Risk::failures);
}

}  // namespace
}  // namespace pome::device::probe
