// What passes between the start of the program and its first training step, and what each program
// of a step takes to compile.
#include <fmt/core.h>

#include <memory>
#include <vector>

#include "cli/bench/benchmarks.h"
#include "cli/bench/report.h"
#include "cli/bench/timing.h"
#include "cli/bench/training.h"
#include "cli/bench/training_step.h"
#include "cli/commands.h"
#include "cli/process.h"
#include "device/apple/child_trial.h"

namespace pome::cli::bench {
namespace {

struct StartupOptions {
    StepOptions step;
    std::string json;
    DeviceOptions device;
};

/// Milliseconds of a process that only says its version.
double launch_ms() {
    return median_ms([] {
        constexpr double seconds = 60.0;
        const auto ended = device::apple::run_child({program_path(), "--version"}, seconds);
        if (ended.kind != device::apple::ChildResult::Kind::exited || ended.status != 0) {
            fail(Code::io, "cli.bench", "{} --version does not end well: {}", program_path(),
                 ended.output);
        }
    });
}

/// Rows of programs, each compiled on the same new device, then once more.
void add_compiles(Report& report, const std::vector<mil::Package>& programs,
                  const StartupOptions& options, ThreadPool& pool) {
    const auto device = open_device(options.device, pool);
    for (std::size_t i = 0; i < programs.size(); ++i) {
        const double first = milliseconds([&] { device->compile(programs[i]); });
        const double again = milliseconds([&] { device->compile(programs[i]); });
        report.row({fmt::format("compile {} of {}", i + 1, programs.size()), first,
                    fmt::format("again {:.1f}; {} operations", again,
                                programs[i].program.functions.front().operations.size())});
    }
}

void run(const StartupOptions& options) {
    Report report("startup", options.device.device,
                  fmt::format("measured on this machine: wall time, {} numerics; compiling is the "
                              "device's, an emulator's is no chip's",
                              options.device.numerics));
    report.define("launch", "a process that says its version, from start to end, the median");
    report.define("weights", "random numbers for every parameter, zeros for gradients and moments");
    report.define("pipeline", "programs made, differentiated and compiled, weights staged");
    report.define("first step",
                  "forward, backward, AdamW, staging; touches memory for the first time");
    report.define("compile",
                  "a program of the step on a new device, in this order: the first also "
                  "makes the device's tables");
    report.columns({{"part", "part"}, {"ms", "ms"}, {"note", ""}});
    const double launch = launch_ms();
    report.row({"launch", launch, ""});

    ThreadPool pool(options.device.threads);
    std::vector<mil::Package> programs;  // what the device was asked to compile
    std::unique_ptr<device::Device> device;
    const double opened = milliseconds([&] { device = open_device(options.device, pool); });
    report.row({"device", opened, device->name()});
    const auto config = options.step.config();
    const auto architecture = model::architecture(config);
    Random random(1);
    std::unique_ptr<train::ParameterSet> weights;
    const double made = milliseconds([&] {
        weights = std::make_unique<train::ParameterSet>(architecture);
        weights->initialize(random);
    });
    report.row(
        {"weights", made,
         fmt::format("{:.1f} million", static_cast<double>(architecture.parameter_count()) / 1e6)});
    device->on_compile([&programs](const mil::Package& package, std::string_view) {
        programs.push_back(package);
    });
    std::unique_ptr<TrainingStep> step;
    const double prepared = milliseconds([&] {
        step = std::make_unique<TrainingStep>(architecture, *device, pool, options.step.sequence,
                                              TrainingStep::Options{}, std::move(*weights));
    });
    report.row({"pipeline", prepared, ""});
    const auto tokens = random_tokens(1, options.step.sequence, config.vocabulary, random);
    const StepFigures first = step->run(tokens), second = step->run(tokens);
    report.row({"first step", first.ms, ""});
    report.row({"second step", second.ms, ""});
    if (!(second.loss < first.loss)) {
        fail(Code::diverged, "cli.bench",
             "the loss did not fall ({} to {}): what was timed is wrong", first.loss, second.loss);
    }
    const double sum = launch + opened + made + prepared + first.ms;
    report.row({"launch to first step", sum, "their sum"});
    report.field("launch_to_first_step_ms", sum);
    report.field("model", options.step.preset);
    add_compiles(report, programs, options, pool);
    report.finish(options.json);
}

}  // namespace

void add_startup(CLI::App& bench) {
    auto options = std::make_shared<StartupOptions>();
    CLI::App* command =
        bench.add_subcommand("startup", "Time from launch to the first step, and of each compile");
    options->step.add_to(*command);
    command->add_option("--json", options->json, "also write the figures to this file");
    options->device.add_to(*command);
    command->footer("Example:\n  pome bench startup --model stories15M");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
