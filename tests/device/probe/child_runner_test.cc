// Trials that go through files to another process say what they say in this one.
#include "device/probe/child_runner.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <regex>

#include "base/file.h"
#include "device/emulator/emulator.h"
#include "device/probe/identify.h"
#include "device/probe/results.h"

namespace pome::device::probe {
namespace {

class ChildRunnerTest : public testing::Test {
  protected:
    std::unique_ptr<Device> open() {
        return emulator::make_emulator("m4/in-memory", {.strictness = Strictness::as_hardware},
                                       pool);
    }
    ChildRunner::Options options(
        std::function<ChildEnd(const std::filesystem::path&, double)> start) {
        return {std::move(start), directory, std::chrono::milliseconds(0),
                std::chrono::milliseconds(60000)};
    }
    void SetUp() override {
        std::string name = testing::TempDir() + "pome_child_runner_XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        directory = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory); }
    /// The text of what an action throws.
    template <typename Action>
    std::string thrown(const Action& action) {
        try {
            action();
        } catch (const Error& error) {
            return error.text();
        }
        return "nothing";
    }
    ThreadPool pool{1};
    std::filesystem::path directory;
};

TEST_F(ChildRunnerTest, FindsWhatARunnerInThisProcessFinds) {
    DeviceRunner here([&] { return open(); });
    ChildRunner there(options([&](const std::filesystem::path& orders, double) {
        run_child_trials(orders, [&] { return open(); });
        return ChildEnd{};
    }));
    const Options everything{.risk = Risk::risky, .budget = true, .progress = {}};
    const Origin origin{"m4/in-memory", "emulated", "2026-11-27"};
    // But for the lines of messages: a program that was written and read has other ones.
    const auto text = [&](Runner& runner) {
        return std::regex_replace(results_text(run_probes(runner, everything), origin),
                                  std::regex("line [0-9]+"), "line N");
    };
    EXPECT_EQ(text(there), text(here));
    EXPECT_TRUE(std::filesystem::is_empty(directory));  // no orders are left
}

/// Killed, or ended by somebody's exit().
TEST_F(ChildRunnerTest, AProcessThatDiesStopsTheTrialsThatItHadNotAnswered) {
    for (const auto& [end, words] :
         {std::pair{ChildEnd{false, 0, "signal 6"}, "its process was stopped: signal 6"},
          {ChildEnd{true, 3, "gone"}, "its process ended with status 3: gone"}}) {
        int calls = 0;
        ChildRunner runner(
            options([&, ended = end](const std::filesystem::path& orders, double seconds) {
                EXPECT_GE(seconds, 60 + 2 * 30);
                run_child_trials(orders, [&] { return open(); });
                std::filesystem::remove(orders / "answer_1.cbor");
                ++calls;
                return ended;
            }));
        Trial trial;
        trial.inputs = {{"x", {1, 32, 1, 32}, DType::fp16, {}, 0}};
        trial.package = text_program(trial.inputs, "tensor<fp16, [1, 32, 1, 32]> y = relu(x = x);",
                                     mil::Dialect::terse);
        const Trial both[] = {trial, trial};
        const auto outcomes = runner.run(both);
        ASSERT_EQ(outcomes.size(), 2U);
        EXPECT_EQ(outcomes[0].status, Outcome::Status::done);
        EXPECT_EQ(outcomes[0].values, std::vector<double>(1024, 0.0));
        EXPECT_EQ(outcomes[1].status, Outcome::Status::stopped);
        EXPECT_EQ(outcomes[1].message, words);
        EXPECT_EQ(calls, 1);
    }
}

TEST_F(ChildRunnerTest, AProcessThatCannotBeginIsAnError) {
    ChildRunner runner(options([](const std::filesystem::path&, double) {
        return ChildEnd{true, 1, "no engine"};
    }));
    const std::string said =
        "[device.probe] trials are not run: its process ended with status 1: no engine";
    EXPECT_EQ(thrown([&] { runner.run(std::vector<Trial>(1)); }), said);
    EXPECT_EQ(thrown([&] { runner.exhaust({}, true, 3); }), said);
    write_file_atomic(directory / "orders.cbor", std::string_view("\xff"));
    EXPECT_NE(
        thrown([&] { run_child_trials(directory, [&] { return open(); }); }).find("orders.cbor: "),
        std::string::npos);
}

TEST_F(ChildRunnerTest, AProcessThatDiesOfItsBudgetSaysSo) {
    ChildRunner runner(options([](const std::filesystem::path&, double) {
        return ChildEnd{false, 0, "signal 6"};
    }));
    EXPECT_EQ(thrown([&] { runner.exhaust({}, true, 3); }),
              "[device.probe] trials are not run: its process was stopped: signal 6");
}

TEST_F(ChildRunnerTest, ABudgetThatCannotBeUsedUpIsLeftOpenAndTheRestIsKept) {
    class Dying final : public Runner {
      public:
        explicit Dying(Runner& inner) : inner_(inner) {}
        std::vector<Outcome> run(std::span<const Trial> trials) override {
            return inner_.run(trials);
        }
        Exhaustion exhaust(const mil::Package&, bool, std::int64_t) override {
            fail(Code::unsupported, "tests", "signal 6");
        }

      private:
        Runner& inner_;
    };
    DeviceRunner inner([&] { return open(); });
    Dying runner(inner);
    const Report report =
        run_probes(runner, {.risk = Risk::harmless, .budget = true, .progress = {}});
    const std::string text = results_text(report, {"m4/in-memory", "emulated", "2026-11-27"});
    EXPECT_NE(text.find("drop_exponent = "), std::string::npos);
    EXPECT_EQ(text.find("\ncompile_budget = "), std::string::npos);
    EXPECT_NE(text.find("signal 6"), std::string::npos);
}

TEST_F(ChildRunnerTest, StoredResultsStandOverTheBuiltInProfile) {
    const Origin origin = engine_origin("m4/in-memory", "24D70", true);
    EXPECT_EQ(engine_profile(directory, origin).limits.compile_budget,
              find_profile("m4/in-memory").limits.compile_budget);
    Report report;
    report.settings.push_back({"limits.compile_budget", std::int64_t{77}, "the 78th was refused"});
    save_results(results_path(directory, origin), results_text(report, origin));
    std::filesystem::path file;
    EXPECT_EQ(engine_profile(directory, origin, &file).limits.compile_budget, 77);
    EXPECT_EQ(file, results_path(directory, origin));
    // Another build of macOS, and the system itself, are other places.
    for (const Origin& other : {engine_origin("m4/in-memory", "25A1", true),
                                engine_origin("m4/in-memory", "24D70", false)}) {
        EXPECT_NE(engine_profile(directory, other).limits.compile_budget, 77);
    }
    write_file_atomic(file, std::string_view("limits = 3"));
    EXPECT_NE(thrown([&] { engine_profile(directory, origin); }).find("24D70"), std::string::npos);
}

}  // namespace
}  // namespace pome::device::probe
