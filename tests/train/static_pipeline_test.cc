#include "train/static_pipeline.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "support/test_data.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

/// Runs as the command line does: a new device (a new process, as far as compiles go) after each
/// restart.
int run_with_restarts(const std::filesystem::path& run, const Config* config,
                      std::string_view chip = "m4") {
    ThreadPool pool(2);
    const std::atomic<bool> stop{false};
    for (int processes = 1;; ++processes) {
        const auto device = device::emulator::make_emulator(chip, {}, pool);
        const auto trainer = config != nullptr ? Trainer::create(*config, run, *device, pool)
                                               : Trainer::resume(run, *device, pool);
        config = nullptr;
        if (trainer->run([](const Report&) {}, stop) != Outcome::restart) {
            return processes;
        }
        if (trainer->config().engine.compile_limit < device->compiles()) {
            ADD_FAILURE() << device->compiles() << " compiles";
        }
    }
}

TEST(NextPhase, WalksEveryEdge) {
    using enum Phase;
    EXPECT_EQ(next_phase(running, {0, 0}, 1000), running);  // no limit
    EXPECT_EQ(next_phase(running, {52, 100}, 48), running);
    EXPECT_EQ(next_phase(running, {53, 100}, 48), saving);
    EXPECT_EQ(next_phase(running, {100, 100}, 0), running);  // nothing to compile
    EXPECT_EQ(next_phase(running, {0, 47}, 48), impossible);
    EXPECT_EQ(next_phase(running, {40, 47}, 48), impossible);
    EXPECT_EQ(next_phase(saving, {60, 100}, 48), handing_over);
    EXPECT_EQ(next_phase(handing_over, {0, 100}, 48), handing_over);
    EXPECT_EQ(next_phase(impossible, {0, 100}, 48), impossible);
}

/// On the engine a 1x1 convolution and a matrix product are the same sums of the same products.
TEST(StaticPipeline, HasTheDynamicPipelinesLossesBitForBitAcrossRestarts) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.report_every = 4;  // restarts fall between reports
    config.engine.pipeline = "dynamic";
    run_with_restarts(work.path() / "dynamic", &config);
    const auto expected = losses(work.path() / "dynamic");
    ASSERT_EQ(expected.size(), 8U);

    config.engine.pipeline = "static";
    config.engine.compile_limit = 0;  // by the client route a process compiles what it wants
    EXPECT_EQ(run_with_restarts(work.path() / "static", &config, "m4/client"), 1);
    EXPECT_EQ(losses(work.path() / "static"), expected);

    // 8 programs an update: a process makes its first staging and two updates, then hands over.
    config.engine.compile_limit = 25;
    EXPECT_EQ(run_with_restarts(work.path() / "restarts", &config), 11);
    EXPECT_EQ(losses(work.path() / "restarts"), expected);
}

TEST(StaticPipeline, AProcessKilledAroundARestartLosesNothing) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.steps = 16;
    config.engine.pipeline = "static";
    config.engine.compile_limit = 0;
    run_with_restarts(work.path() / "whole", &config, "m4/client");
    const auto expected = losses(work.path() / "whole");
    config.engine.compile_limit = 17;  // hands over after each update
    const auto run = work.path() / "killed";
    bool first = true;
    for (const useconds_t after : {30000, 50000, 70000, 90000, 45000, 60000, 75000, 85000}) {
        const pid_t child = fork();
        if (child == 0) {
            try {
                run_with_restarts(run, first ? &config : nullptr);
            } catch (...) {
                _exit(3);
            }
            _exit(0);
        }
        usleep(after);
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFEXITED(status)) {
            EXPECT_EQ(WEXITSTATUS(status), 0);
        }
        first = !std::filesystem::exists(run / "config.toml");
        if (first) {
            std::filesystem::remove_all(run);
        }
    }
    run_with_restarts(run, first ? &config : nullptr);
    EXPECT_EQ(losses(run), expected);
}

TEST(StaticPipeline, ABudgetThatNoUpdateFitsIntoIsRefused) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.engine.pipeline = "static";
    config.engine.compile_limit = 7;
    EXPECT_EQ(error_text([&] { run_with_restarts(work.path() / "run", &config); }),
              "[train] the static pipeline compiles 8 programs an update, engine.compile_limit is "
              "7: no process could make one; use engine.pipeline = \"dynamic\", or raise the limit "
              "if this system allows more");
}

TEST(Selection, GoesByTheChipAndAProbe) {
    ThreadPool pool(1);
    const auto m1 = device::emulator::make_emulator("m1", {}, pool);
    const auto m4 = device::emulator::make_emulator("m4", {}, pool);
    EXPECT_EQ(choose_pipeline("auto", *m1).pipeline, "static");
    EXPECT_EQ(m1->compiles(), 0);
    EXPECT_EQ(choose_pipeline("auto", *m4).pipeline, "dynamic");
    EXPECT_EQ(m4->compiles(), 1);  // the probe
    EXPECT_EQ(choose_pipeline("static", *m4).pipeline, "static");
    EXPECT_EQ(
        error_text([&] { choose_pipeline("dynamic", *m1); }),
        "[train.pipeline] engine.pipeline is 'dynamic', but emulator:m1 does not run programs "
        "whose weights are inputs (capability runtime_weights); use engine.pipeline = "
        "\"static\" or \"auto\"");
    Config config;
    config.engine.pipeline = "static";
    config.engine.product_scale = true;
    EXPECT_EQ(error_text([&] { resolve(config, *m4); }),
              "[train.pipeline] engine.product_scale needs the scales as inputs, which only the "
              "dynamic and resident pipelines have; this run uses 'static' (engine.pipeline asks "
              "for it); set "
              "engine.product_scale = false");
}

TEST(Selection, AnUpdateOfCompiledWeightsTakesTenSequences) {
    ThreadPool pool(1);
    const auto m1 = device::emulator::make_emulator("m1", {}, pool);
    Config config;
    resolve(config, *m1);
    EXPECT_EQ(config.engine.pipeline, "static");
    EXPECT_EQ(config.run.batch, 10);
    config.run.batch = 3;
    resolve(config, *m1);
    EXPECT_EQ(config.run.batch, 3);
}

/// An emulator whose compiler fails at some compiles.
class FailingDevice final : public device::Device {
  public:
    FailingDevice(ThreadPool& pool, std::set<int> failing)
        : inner_(device::emulator::make_emulator("m4", {}, pool)), failing_(std::move(failing)) {}
    std::string name() const override { return inner_->name(); }
    const device::Profile& profile() const override { return inner_->profile(); }

  private:
    std::unique_ptr<device::Executable> build(const mil::Package& package,
                                              std::string_view function) override {
        if (failing_.contains(++count_)) {
            fail(Code::compile_failed, "test", "ANECCompile() FAILED");
        }
        return inner_->compile(package, function);
    }
    std::unique_ptr<device::Device> inner_;
    std::set<int> failing_;
    int count_ = 0;
};

TEST(CompileQueue, OneFailureIsTriedAgainTwoStopTheRun) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.run.steps = 2;
    config.engine.pipeline = "static";
    const auto train = [&](const std::string& name, std::set<int> failing) {
        ThreadPool pool(1);
        FailingDevice device(pool, std::move(failing));
        const std::atomic<bool> stop{false};
        Trainer::create(config, work.path() / name, device, pool)->run([](const Report&) {}, stop);
    };
    train("once", {2, 5, 9});
    EXPECT_EQ(losses(work.path() / "once").size(), 2U);
    const auto kept = (work.path() / "twice" / "failed_program").string();
    EXPECT_EQ(error_text([&] {
                  train("twice", {3, 4});
              }),
              "[train.compile] the attention forward program of block 2 failed to compile twice: "
              "[test] ANECCompile() FAILED; the program is kept in " +
                  kept + "; choose another engine.pipeline or engine.device, or a smaller model");
    EXPECT_TRUE(std::filesystem::exists(kept + "/model.mil"));
    EXPECT_TRUE(std::filesystem::exists(kept + "/weights/wq.bin"));
}

}  // namespace
}  // namespace pome::train
