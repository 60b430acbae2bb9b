#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "device/apple/apple_device.h"
#include "device/probe/child_runner.h"

namespace pome::cli {
namespace {

/// What both commands take.
struct TrialOptions {
    std::string route, directory;
    double call_seconds = 60;

    device::apple::Options engine() const {
        device::apple::Options made;
        made.routes = {route};
        made.evaluate_seconds = call_seconds;
        made.compile_seconds = call_seconds * 5;
        return made;
    }
};

/// A command that no help lists; `directory` may be left out where it says so.
CLI::App* add_command(CLI::App& app, const std::string& name,
                      const std::shared_ptr<TrialOptions>& options, bool needs_directory) {
    CLI::App* command = app.add_subcommand(name, "")->group("");
    command->add_option("route", options->route)->required();
    command->add_option("directory", options->directory)->required(needs_directory);
    command->add_option("--call-seconds", options->call_seconds);
    return command;
}

// The child's half of `pome probe` on an engine: what a trial does to its process ends here.
void add_probe_trial(CLI::App& app) {
    auto options = std::make_shared<TrialOptions>();
    CLI::App* command = add_command(app, "probe-trial", options, true);
    command->footer("Example:\n  pome probe-trial in-memory DIRECTORY");
    command->callback([options] {
        namespace apple = device::apple;
        apple::Options made = options->engine();
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
    auto options = std::make_shared<TrialOptions>();
    CLI::App* command = add_command(app, "engine-trial", options, false);
    command->footer("Example:\n  pome engine-trial in-memory");
    command->callback(
        [options] { device::apple::run_trial(options->engine(), options->directory); });
}

}  // namespace pome::cli
