#include "device/profile.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/test_data.h"

namespace pome::device {
namespace {

const Fact& fact(const Profile& profile, std::string_view key) {
    const auto found = std::find_if(profile.facts.begin(), profile.facts.end(),
                                    [&](const Fact& entry) { return entry.key == key; });
    EXPECT_NE(found, profile.facts.end()) << key;
    return *found;
}

TEST(Profile, EveryChipByEveryRouteReadsWithSourcesForAllValues) {
    EXPECT_EQ(known_chips().size(), 19U);
    for (const auto& chip : known_chips()) {
        for (const auto& route : known_routes()) {
            const Profile& profile = find_profile(chip + "/" + route);
            EXPECT_EQ(profile.chip, chip);
            EXPECT_EQ(profile.route, route);
            EXPECT_GE(profile.facts.size(), 50U);
            for (const Fact& entry : profile.facts) {
                EXPECT_GE(entry.source.size(), 5U) << chip << " " << entry.key;
            }
        }
        EXPECT_EQ(find_profile(chip).route, "in-memory");
    }
}

TEST(Profile, TheM4HasTheDefaultNumericsAndOthersSayWhatDiffers) {
    EXPECT_EQ(find_profile("m4").numerics, Numerics{});
    EXPECT_EQ(find_profile("m4max").numerics, Numerics{});
    EXPECT_TRUE(find_profile("m1").numerics.slice.width_gain);
    EXPECT_TRUE(find_profile("m2pro").numerics.slice.width_gain);
    EXPECT_FALSE(find_profile("m3").numerics.slice.width_gain);
    EXPECT_TRUE(find_profile("m5").numerics.convolution.winograd_width);
    EXPECT_TRUE(find_profile("m6").numerics.convolution.winograd_width);
    EXPECT_EQ(find_profile("m3").limits.max_width, 16384);
    EXPECT_EQ(find_profile("m4").limits.max_width, 65536);
    EXPECT_FALSE(find_profile("m2").capabilities.trigonometry);
    EXPECT_TRUE(find_profile("m3").capabilities.trigonometry);
    EXPECT_EQ(find_profile("m6").engines, 2);
}

TEST(Profile, WhatNobodyMeasuredOnAChipIsAssumedThere) {
    const Fact& taken = fact(find_profile("m3"), "numerics.multiply_accumulate.fraction_bits");
    EXPECT_EQ(taken.evidence, "assumed");
    EXPECT_TRUE(taken.source.starts_with("taken over; there derived: ")) << taken.source;
    EXPECT_EQ(fact(find_profile("m1"), "numerics.slice.width_gain").evidence, "measured");
    // A route's facts are not weakened by a chip's inheritance.
    EXPECT_EQ(fact(find_profile("m3"), "limits.loaded_programs").evidence, "measured");
}

TEST(Profile, AlternativesLieOnTop) {
    const Profile& even = find_profile("m1+output-ties-even");
    EXPECT_EQ(even.numerics.multiply_accumulate.output, Rounding::nearest_even);
    EXPECT_EQ(find_profile("m1").numerics.multiply_accumulate.output, Rounding::nearest_away);
    const Profile& both = find_profile("m4/e5rt+lsb17+minimum-49152");
    EXPECT_EQ(both.numerics.multiply_accumulate.fraction_bits, 17);
    EXPECT_EQ(both.surfaces.minimum_bytes, 49152);
    EXPECT_EQ(both.limits.compile_budget, 0);
    EXPECT_EQ(both.name, "m4/e5rt+lsb17+minimum-49152");
    for (const auto& alternative : known_alternatives()) {
        EXPECT_NO_THROW(find_profile("m4+" + alternative)) << alternative;
    }
}

TEST(Profile, UnknownNamesAreRefusedWithTheKnownOnes) {
    EXPECT_EQ(error_text([] { find_profile("m9"); }),
              "[device.profile] no chip 'm9'; known: m1, m1max, m1pro, m1ultra, m2, m2max, m2pro, "
              "m2ultra, m3, m3max, m3pro, m3ultra, m4, m4max, m4pro, m5, m5max, m5pro, m6");
    EXPECT_EQ(error_text([] { find_profile("m4/usb"); }),
              "[device.profile] no route 'usb'; known: client, e5rt, in-memory");
    EXPECT_NE(error_text([] { find_profile("m4+odd"); }).find("no alternative 'odd'; known: "),
              std::string::npos);
    EXPECT_NE(error_text([] { find_profile(""); }).find("no chip ''"), std::string::npos);
    EXPECT_NE(error_text([] { find_profile("engine"); }).find("no chip 'engine'"),
              std::string::npos);
}

std::string_view chip_text;

std::optional<std::string_view> file(std::string_view name) {
    if (name == "m1") {
        return chip_text;
    }
    if (name == "loop") {
        return "inherit = \"loop\"\n";
    }
    return name == "routes/r" ? std::optional<std::string_view>("") : std::nullopt;
}

std::string refusal(std::string_view text) {
    chip_text = text;
    return error_text([] { read_profile("m1/r", file); });
}

TEST(Profile, BrokenFilesAreRefusedInTheseWords) {
    EXPECT_EQ(refusal("chip = \"x\""),
              "[device.profile] profiles/m1.toml: 'chip' must be a table {value, evidence, "
              "source}");
    EXPECT_EQ(refusal("chip = { value = \"x\", evidence = \"measured\" }"),
              "[device.profile] profiles/m1.toml: 'chip' names no source");
    EXPECT_EQ(refusal("chip = { value = \"x\", evidence = \"heard\", source = \"s\" }"),
              "[device.profile] profiles/m1.toml: 'chip' needs evidence = \"measured\", "
              "\"derived\" or \"assumed\"");
    EXPECT_EQ(refusal("chip = { value = \"x\", evidence = \"measured\", source = \"s\", n = 1 }"),
              "[device.profile] profiles/m1.toml: 'chip' has an unknown part 'n'");
    EXPECT_EQ(refusal("chip = { value = 1, evidence = \"measured\", source = \"s\" }"),
              "[device.profile] profiles/m1.toml: 'chip' must be a text");
    EXPECT_EQ(refusal("inherit = \"none\"\n"),
              "[device.profile] profile 'none' is inherited but not there");
    EXPECT_EQ(refusal("inherit = \"loop\"\n"),
              "[device.profile] profiles/loop.toml: more than 4 profiles inherit each other");
    EXPECT_NE(refusal("x = [\n").find("profiles/m1.toml:"), std::string::npos);
    EXPECT_EQ(
        refusal("chip = { value = \"m1\", evidence = \"measured\", source = \"s\" }\n"
                "[routes.usb.limits]\nmax_rank = { value = 4, evidence = \"measured\", source "
                "= \"s\" }"),
        "[device.profile] profiles/m1.toml: 'routes.usb' is no route");
}

TEST(Profile, WhatHoldsForAChipByOneRouteOnlyHoldsThere) {
    for (const char* raw : {"m1", "m1/client", "m2", "m2max/client"}) {
        EXPECT_FALSE(find_profile(raw).capabilities.terse_dialect) << raw;
        EXPECT_FALSE(find_profile(raw).capabilities.fp32_cast) << raw;
    }
    for (const char* free : {"m1/e5rt", "m2/e5rt", "m3", "m4/client"}) {
        EXPECT_TRUE(find_profile(free).capabilities.terse_dialect) << free;
    }
    EXPECT_EQ(find_profile("m3max").failures.tile, Reaction::poisoned);
    EXPECT_EQ(find_profile("m3max/e5rt").failures.tile, Reaction::works);
    EXPECT_EQ(find_profile("m1").limits.matmul_inner_multiple, 32);
    EXPECT_EQ(find_profile("m2").limits.matmul_inner_multiple, 0);
    EXPECT_EQ(fact(find_profile("m1"), "capabilities.terse_dialect").evidence, "measured");
    EXPECT_EQ(find_profile("m2").limits.layer_norm_one_passes.size(), 6U);
    EXPECT_TRUE(find_profile("m4+macos15").blobs.size);
    EXPECT_FALSE(find_profile("m4+macos26").blobs.size);
    EXPECT_TRUE(find_profile("m4+budget-reclaimed").failures.budget_reclaimed);
}

}  // namespace
}  // namespace pome::device
