// Results are a part of a profile: what is stored reads back as found, and nothing else gets in.
#include "device/probe/results.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "device/emulator/emulator.h"
#include "device/probe/identify.h"
#include "support/expect_error.h"

namespace pome::device::probe {
namespace {

const Origin origin{"emulator:m4", "24D81", "2026-11-27"};

Report probe_emulator(const Profile& profile) {
    ThreadPool pool(1);
    DeviceRunner runner([&] {
        return emulator::make_emulator(profile, {.strictness = Strictness::as_hardware}, pool);
    });
    return run_probes(runner, {.risk = Risk::harmless, .budget = false, .progress = nullptr});
}

TEST(Results, OfOneChipMakeAnotherComputeLikeIt) {
    const Report m5 = probe_emulator(find_profile("m5+output-ties-even"));
    const Profile changed = read_measured_profile("m1", results_text(m5, origin), "m5.toml");
    EXPECT_EQ(changed.name, "m1+measured");
    EXPECT_EQ(changed.chip, "m1");
    EXPECT_EQ(changed.numerics, find_profile("m5+output-ties-even").numerics);
    EXPECT_NE(changed.numerics, find_profile("m1").numerics);
    EXPECT_EQ(changed.limits.max_width, find_profile("m1").limits.max_width);
    const Report again = probe_emulator(changed);
    ASSERT_EQ(again.settings.size(), m5.settings.size());
    for (std::size_t i = 0; i < again.settings.size(); ++i) {
        EXPECT_EQ(text_of(again.settings[i].value), text_of(m5.settings[i].value))
            << again.settings[i].key;
    }
}

TEST(Results, KeepEveryKindOfValueAndHostileWords) {
    Report report;
    report.settings = {
        {"front_end", std::string("sweep"), "a \"quote\"\\ and\nlines ] = {"},
        {"limits.layer_norm_one_passes", std::vector<std::string>{"2048", "3072"}, "\x01\xff"},
        {"limits.max_width", std::int64_t{4096}, ""},
        {"failures.tile", std::string("poisoned"), "tile"},
        {"capabilities.gelu", true, "compiles"}};
    report.open = {{"limits.max_inner", "two\n[limits]\nmax_rank = 9"}};
    const Profile read = read_measured_profile("m4", results_text(report, origin), "r.toml");
    EXPECT_EQ(read.front_end, FrontEnd::sweep);
    EXPECT_EQ(read.limits.layer_norm_one_passes, (std::vector<std::int64_t>{2048, 3072}));
    EXPECT_EQ(read.limits.max_width, 4096);
    EXPECT_EQ(read.limits.max_rank, 5);
    EXPECT_EQ(read.failures.tile, Reaction::poisoned);
    EXPECT_TRUE(read.capabilities.gelu);
    EXPECT_EQ(differences(report, read).size(), 0U);
    EXPECT_EQ(differences(report, find_profile("m4")).size(), 5U);
}

TEST(Results, RefuseWhatIsNoResult) {
    const auto refuse = [](std::string_view text, std::string_view words) {
        test::expect_error(Code::malformed_file, words,
                           [&] { read_measured_profile("m4", text, "r.toml"); });
    };
    refuse("",
           "[device.profile] r.toml: probe_version is missing, this pome reads \"1\"; probe again");
    refuse("probe_version = \"2\"",
           "[device.profile] r.toml: probe_version is \"2\", this pome reads \"1\"; probe again");
    const std::string head = "probe_version = \"1\"\n";
    const std::string tail = ", evidence = \"measured\", source = \"s\" }";
    refuse(head + "chip = { value = \"m9\"" + tail,
           "[device.profile] r.toml: 'chip' is nothing that probes measure");
    refuse(head + "time.dispatch_us = { value = 1.0" + tail,
           "[device.profile] r.toml: 'time.dispatch_us' is nothing that probes measure");
    refuse(head + "limits.max_rank = { value = \"5\"" + tail,
           "[device.profile] r.toml: 'limits.max_rank' must be an integer from 0 to 1099511627776");
    refuse(head + "numerics.multiply_accumulate.fraction_bits = { value = 99" + tail,
           "[device.profile] r.toml: 'numerics.multiply_accumulate.fraction_bits' must be an "
           "integer from 8 to 24");
    EXPECT_THROW(read_measured_profile("m4", head + "limits.unheard_of = { value = 1" + tail, "r"),
                 Error);
    EXPECT_THROW(read_measured_profile("m4", head + "[[[", "r"), Error);
}

TEST(Results, PathsStayBelowTheirDirectory) {
    EXPECT_EQ(results_path("/d", origin), "/d/probes/24D81/emulator_m4.toml");
    EXPECT_EQ(results_path("/d", {"../../x", "..", ""}), "/d/probes/_../_.._.._x.toml");
    EXPECT_EQ(results_path("/d", {"", "a/b", ""}), "/d/probes/a_b/_.toml");
}

TEST(Results, AreWrittenWholeOrNotAtAll) {
    const TemporaryDirectory directory;
    const auto path = directory.path() / "new" / "r.toml";
    save_results(path, "one");
    save_results(path, "two");
    EXPECT_EQ(read_text(path), "two");
    std::ofstream(directory.path() / "file") << "x";
    EXPECT_THROW(save_results(directory.path() / "file" / "r.toml", "three"), Error);
}

}  // namespace
}  // namespace pome::device::probe
