#include "train/config.h"

#include <gtest/gtest.h>

#include "support/test_data.h"

namespace pome::train {
namespace {

TEST(Config, MistakesAreNamed) {
    const std::string model = "[model]\npreset = \"stories260K\"\n";
    const auto text = [&](const std::string& more, const std::vector<std::string>& settings = {}) {
        return error_text([&] { parse_config(model + more, "c.toml", settings, "/"); });
    };
    EXPECT_EQ(text("[train]\nstep = 5\n"), "[train.config] c.toml: unknown key 'train.step'");
    EXPECT_EQ(text("[train]\nsteps = \"five\"\n"),
              "[train.config] c.toml: 'train.steps' must be an integer");
    EXPECT_EQ(text("", {"train.steps=0"}),
              "[train.config] train.steps is 0, it must be from 1 to 1000000000000");
    EXPECT_EQ(text("", {"steps"}),
              "[train.config] --set 'steps' is not of the form section.key=value");
    EXPECT_EQ(text("", {"engine.loss_scale=100.0"}),
              "[train.config] engine.loss_scale 100 and engine.loss_scale_maximum 65536 must be "
              "powers of two, the first not above the second");
    EXPECT_EQ(text("", {"model.heads=7"}),
              "[model.config] width 64 over 7 heads is no even head size; choose heads so that "
              "width / heads is even");
    const Config config = parse_config(model, "c.toml", {"train.sequence=64"}, "/");
    const Config again = parse_config(config.text(), "again", {}, "/");
    EXPECT_EQ(again.text(), config.text());
    const Config tuned =
        parse_config(model, "c.toml", {"model.weights=m/a.bin", "model.rope=false"}, "/base");
    EXPECT_EQ(tuned.weights, "/base/m/a.bin");
    EXPECT_FALSE(tuned.model.rope);
    EXPECT_EQ(parse_config(tuned.text(), "again", {}, "/other").text(), tuned.text());
}

}  // namespace
}  // namespace pome::train
