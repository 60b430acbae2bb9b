#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "device/apple/apple_device.h"

namespace pome::cli {

// The child's half of a trial (device::apple::Trial): a crash or a hang ends this process only.
void add_engine_trial(CLI::App& app) {
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
