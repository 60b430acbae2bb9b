#include "train/config.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "model/architecture.h"
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
    EXPECT_EQ(text("", {"engine.recompute=\"some\""}),
              "[train.config] engine.recompute is 'some', not nothing, cheap or everything");
    const Config config = parse_config(model, "c.toml", {"train.sequence=64"}, "/");
    const Config again = parse_config(config.text(), "again", {}, "/");
    EXPECT_EQ(again.text(), config.text());
    const Config tuned =
        parse_config(model, "c.toml", {"model.weights=m/a.bin", "model.rope=false"}, "/base");
    EXPECT_EQ(tuned.weights, "/base/m/a.bin");
    EXPECT_FALSE(tuned.model.rope);
    EXPECT_EQ(parse_config(tuned.text(), "again", {}, "/other").text(), tuned.text());
}

/// The training configs of the repository, as their shapes were published.
TEST(Config, TheRepositorysOwnAreSound) {
    const std::filesystem::path folder = std::filesystem::path(POME_SOURCE_DIR) / "configs";
    int read = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const Config config = parse_config(read_text(entry.path()), entry.path().string(), {}, "/");
        EXPECT_EQ(config.data.directory.substr(0, 1), "/");
        ++read;
    }
    EXPECT_GE(read, 4);
    for (const char* name : {"stories110M.toml", "stories110M_static.toml"}) {
        const Config config = parse_config(read_text(folder / name), name, {}, "/");
        EXPECT_EQ(model::architecture(config.model).parameter_count(), 109'529'856) << name;
        EXPECT_EQ(config.run.sequence, 256) << name;
        EXPECT_EQ(config.run.batch, 10) << name;
    }
}

}  // namespace
}  // namespace pome::train
