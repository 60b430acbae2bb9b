// The losses that the original program printed on an M4 Max (seed document), and the other lines of
// its replay by an independent scalar model; nothing here was recorded from this code.
#include "train/tiny_regression.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "device/emulator/emulator.h"
#include "support/test_data.h"

namespace pome::train {
namespace {

/// step -> loss as printed; restarts at their negative step, the end at 2000. A device stands for a
/// process, as far as compiles go, and everything else goes through the checkpoint's file.
std::map<std::int64_t, std::string> losses(const TinyConfig& config) {
    ThreadPool pool(1);
    std::map<std::int64_t, std::string> found;
    std::int64_t restarts = 0;
    device::emulator::Options options;
    if (config.numerics == "fast") {
        options.mode = device::emulator::Mode::fast;
    }
    const TemporaryDirectory work;
    const auto file = work.path() / "checkpoint.bin";
    formats::write_tiny_checkpoint(file, begin_tiny(config));
    for (bool finished = false; !finished;) {
        const auto device = device::emulator::make_emulator(
            config.device.substr(std::string("emulator:").size()), options, pool);
        auto checkpoint = formats::read_tiny_checkpoint(file);
        finished = run_tiny(config, checkpoint, *device, [&](const TinyReport& line) {
            const bool restart = line.kind == TinyReport::Kind::restart;
            restarts += restart ? 1 : 0;
            if (restart) {
                EXPECT_EQ(line.compiles, 100);
                EXPECT_EQ(device->compiles(), 100);
            }
            if (line.printed) {
                found[restart ? -line.step : line.step] = fmt::format("{:.6f}", line.loss);
            }
        });
        formats::write_tiny_checkpoint(file, checkpoint);
    }
    EXPECT_EQ(restarts, (config.steps - 1) / 480);
    return found;
}

TEST(GoldenTrace, ReplaysTheM4MaxRunDigitForDigit) {
    const std::map<std::int64_t, std::string> expected{
        {0, "0.500921"},     {50, "0.500798"},   {100, "0.500504"},  {150, "0.500296"},
        {200, "0.499994"},   {250, "0.499789"},  {300, "0.499073"},  {350, "0.494323"},
        {400, "0.360518"},   {450, "0.150306"},  {-480, "0.121289"}, {480, "0.140871"},
        {530, "0.127078"},   {580, "0.121741"},  {630, "0.118208"},  {680, "0.105653"},
        {730, "0.087973"},   {780, "0.042563"},  {830, "0.015541"},  {880, "0.003584"},
        {930, "0.002238"},   {-960, "0.001957"}, {960, "0.001754"},  {1010, "0.001653"},
        {1060, "0.001585"},  {1110, "0.001568"}, {1160, "0.001555"}, {1210, "0.001548"},
        {1260, "0.001536"},  {1310, "0.001528"}, {1360, "0.001516"}, {1410, "0.001511"},
        {-1440, "0.001506"}, {1440, "0.001503"}, {1490, "0.001496"}, {1540, "0.001485"},
        {1590, "0.001477"},  {1640, "0.001467"}, {1690, "0.001461"}, {1740, "0.001451"},
        {1790, "0.001444"},  {1840, "0.001435"}, {1890, "0.001430"}, {-1920, "0.001428"},
        {1920, "0.001424"},  {1970, "0.001419"}, {2000, "0.001416"}};
    const auto found = losses({});
    for (const auto& [step, loss] : expected) {
        const auto line = found.find(step);
        ASSERT_NE(line, found.end()) << "no line for step " << step;
        EXPECT_EQ(line->second, loss) << "step " << step;
    }
}

TEST(GoldenTrace, IeeeSumsMissIt) {
    TinyConfig config;
    config.steps = 400;
    config.numerics = "fast";
    const auto found = losses(config);
    EXPECT_EQ(found.at(0), "0.500919");
    EXPECT_EQ(found.at(200), "0.136683");
}

/// What each rule does to the loss at step 400, as an independent replay found it.
TEST(GoldenTrace, OtherRulesMissItAsPublished) {
    TinyConfig config;
    config.steps = 410;
    config.device = "emulator:m4max+output-ties-even";
    const auto found = losses(config);
    EXPECT_EQ(found.at(200), "0.499994");
    EXPECT_EQ(found.at(400), "0.360544");
}

/// The device's budget is a real one: a run that does not keep to it ends there.
TEST(TinyRun, NeedsItsBudgetBelowTheDevices) {
    ThreadPool pool(1);
    TinyConfig config;
    config.compile_budget = 1000;
    const auto device = device::emulator::make_emulator("m4max", {}, pool);
    auto checkpoint = begin_tiny(config);
    const std::string said =
        error_text([&] { run_tiny(config, checkpoint, *device, [](const TinyReport&) {}); });
    EXPECT_NE(said.find("W1 backward failed to compile twice: [device.compile] emulator:m4max: "
                        "_ANECompiler : ANECCompile() FAILED err=(): the process has compiled 119 "
                        "programs"),
              std::string::npos)
        << said;
    EXPECT_EQ(device->compiles(), 119);
}

TEST(TinyRun, RefusesACheckpointOfOtherSizes) {
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4max", {}, pool);
    TinyConfig config;
    auto checkpoint = begin_tiny(config);
    config.hidden = 64;
    EXPECT_EQ(error_text([&] { run_tiny(config, checkpoint, *device, [](const TinyReport&) {}); }),
              "[train.tiny] the checkpoint's hidden is 128, the config has tiny.hidden = 64");
    EXPECT_EQ(device->compiles(), 0);
}

TEST(TinyConfig, IsReadAsItIsWritten) {
    TinyConfig config;
    config.steps = 77;
    config.learning_rate = 0.1;
    config.device = "emulator:m1";
    EXPECT_EQ(parse_tiny_config(config.text(), "t.toml", {}).text(), config.text());
}

TEST(TinyConfig, MistakesAreNamed) {
    const auto refusal = [](const std::string& text) {
        return error_text([&] { parse_tiny_config(text, "t.toml", {}); });
    };
    EXPECT_EQ(refusal("[tiny]\nwidths = 3\n"), "[train.config] t.toml: unknown key 'tiny.widths'");
    EXPECT_EQ(refusal("[tiny]\nwidth = 0\n"),
              "[train.tiny] tiny.width is 0, it must be from 1 to 4096");
    EXPECT_EQ(refusal("[tiny]\ncompile_budget = 7\n"),
              "[train.tiny] tiny.compile_budget is 7, it must be from 8 to 1000000");
    EXPECT_EQ(refusal("[tiny]\nlearning_rate = -1.0\n"),
              "[train.tiny] tiny.learning_rate is -1, it must be above 0 and at most 1000");
    EXPECT_TRUE(is_tiny_config("[tiny]\n"));
    EXPECT_FALSE(is_tiny_config("[model]\n"));
    EXPECT_FALSE(is_tiny_config("[tiny"));
}

}  // namespace
}  // namespace pome::train
