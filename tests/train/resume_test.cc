#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "formats/checkpoint.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

/// Starts (with a config) or resumes the run in a child process, kills it when `now` says so, and
/// waits for its end. False when it ended first.
template <typename Now>
bool kill_a_run(const std::filesystem::path& run, const Config* config, Now now) {
    const pid_t child = fork();
    if (child == 0) {
        try {
            train_to_the_end(run, config);
        } catch (...) {
            _exit(3);
        }
        _exit(0);
    }
    int status = 0;
    while (!now()) {
        if (waitpid(child, &status, WNOHANG) == child) {
            EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
            return false;
        }
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
}

TEST(Resume, ARunKilledAnywhereHasTheSameLossesBitForBit) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.engine.product_scale = true;  // their scales are part of the state
    config.engine.product_scale_every = 4;
    train_to_the_end(work.path() / "whole", &config);
    const auto expected = losses(work.path() / "whole");
    ASSERT_EQ(expected.size(), 30U);
    EXPECT_LT(std::stod(expected.back().substr(expected.back().find(' '))), 5.0)
        << "the run did not learn";

    const auto run = work.path() / "killed";
    bool first = true;
    for (const std::size_t lines_before_kill :
         {4U, 11U, 19U, 26U}) {  // SIGKILL at some moment after that many reports
        kill_a_run(run, first ? &config : nullptr,
                   [&] { return usleep(1000), losses(run).size() >= lines_before_kill; });
        first = false;
    }
    train_to_the_end(run, nullptr);
    EXPECT_EQ(losses(run), expected);
}

TEST(Resume, ARunKilledWhileItWritesACheckpointKeepsThePreviousOne) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.save_every = 1;
    train_to_the_end(work.path() / "whole", &config);
    const auto expected = losses(work.path() / "whole");

    const auto run = work.path() / "killed", folder = run / "checkpoints";
    // The names under which checkpoints are written, and those that are whole.
    const auto names = [&](std::string_view prefix) {
        std::vector<std::string> found;
        std::error_code ignored;
        for (auto entry = std::filesystem::directory_iterator(folder, ignored);
             entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
            if (entry->path().filename().string().starts_with(prefix)) {
                found.push_back(entry->path().filename().string());
            }
        }
        std::sort(found.begin(), found.end());
        return found;
    };
    int torn = 0;
    for (int kills = 0; kills < 12; ++kills) {
        const std::size_t seen = losses(run).size();
        const bool killed = kill_a_run(run, std::filesystem::exists(run) ? nullptr : &config, [&] {
            return losses(run).size() > seen && !names(".tmp-step_").empty();
        });
        if (!killed) {
            break;
        }
        torn += names(".tmp-").empty() ? 0 : 1;
        // Each step is saved: the newest whole checkpoint is at most one step behind the metrics.
        const auto whole = names("step_");
        if (whole.empty()) {
            ASSERT_LE(losses(run).size(), 1U);
            continue;
        }
        const auto& newest = whole.back();
        const formats::Checkpoint checkpoint(folder / newest);
        EXPECT_GE(checkpoint.state().at("step").get<std::size_t>() + 1, losses(run).size());
    }
    EXPECT_GE(torn, 3) << "too few kills came during a write; the test proves little";
    train_to_the_end(run, nullptr);
    EXPECT_EQ(losses(run), expected);
}

}  // namespace
}  // namespace pome::train
