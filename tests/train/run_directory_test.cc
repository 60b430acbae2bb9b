#include "train/run_directory.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace pome::train {
namespace {

TEST(RunDirectory, ListsNumberedCheckpointsNewestFirst) {
    const TemporaryDirectory run;
    EXPECT_TRUE(numbered_checkpoints(run.path()).empty());
    for (const char* name :
         {"best", "step_00000009", "step_123456789", "step_00000010", ".tmp-step_00000011"}) {
        std::filesystem::create_directories(run.path() / "checkpoints" / name);
    }
    std::vector<std::string> names;
    for (const auto& path : numbered_checkpoints(run.path())) {
        names.push_back(path.filename().string());
    }
    EXPECT_EQ(names,
              (std::vector<std::string>{"step_123456789", "step_00000010", "step_00000009"}));
    EXPECT_EQ(checkpoint_name(10), "step_00000010");
}

}  // namespace
}  // namespace pome::train
