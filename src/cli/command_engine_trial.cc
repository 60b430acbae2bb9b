#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "device/apple/apple_device.h"
#include "device/probe/child_runner.h"

namespace pome::cli {
namespace {

// The child's half of `pome probe` on an engine: what a trial does to its process ends here.
void add_probe_trial(CLI::App& app) {
    struct ProbeTrial {
        std::string route, directory;
        double call_seconds = 60;
    };
    auto options = std::make_shared<ProbeTrial>();
    CLI::App* command = app.add_subcommand("probe-trial", "")->group("");
    command->add_option("route", options->route)->required();
    command->add_option("directory", options->directory)->required();
    command->add_option("--call-seconds", options->call_seconds);
    command->footer("Example:\n  pome probe-trial in-memory DIRECTORY");
    command->callback([options] {
        namespace apple = device::apple;
        apple::Options made;
        made.routes = {options->route};
        made.evaluate_seconds = options->call_seconds;
        made.compile_seconds = options->call_seconds * 5;
        // What the system does is the question: nothing of ours may refuse, count or correct it.
        made.canary = false;
        made.check_nan = false;
        made.least_allocation = std::size_t{1} << 16;  // more than any minimum that is known
        made.keep_failed_programs = false;             // a refusal is an answer here
        made.profile = [](const std::string& name, const apple::Machine&, bool) {
            const device::Profile& known = device::find_profile(name);
            device::Profile open;
            open.name = known.name;
            open.chip = known.chip;
            open.route = known.route;
            return open;
        };
        device::probe::run_child_trials(options->directory,
                                        [&] { return apple::open_apple_device(made); });
    });
}

}  // namespace

// The child's half of a trial (device::apple::Trial): a crash or a hang ends this process only.
void add_engine_trial(CLI::App& app) {
    add_probe_trial(app);
    struct TrialCommand {
        std::string route, directory;
        double call_seconds = 60;
    };
    auto options = std::make_shared<TrialCommand>();
    CLI::App* command = app.add_subcommand("engine-trial", "")->group("");
    command->add_option("route", options->route)->required();
    command->add_option("directory", options->directory);
    command->add_option("--call-seconds", options->call_seconds);
    command->footer("Example:\n  pome engine-trial in-memory");
    command->callback([options] {
        device::apple::Options made;
        made.routes = {options->route};
        made.evaluate_seconds = options->call_seconds;
        made.compile_seconds = options->call_seconds * 5;
        device::apple::run_trial(made, options->directory);
    });
}

}  // namespace pome::cli
