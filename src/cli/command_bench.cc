#include "cli/bench/benchmarks.h"
#include "cli/commands.h"

namespace pome::cli {

void add_bench(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("bench", "Measure on this machine, or ask the time model of a chip");
    command->require_subcommand(1);
    bench::add_peak(*command);
    bench::add_int8(*command);
    bench::add_dispatch(*command);
    bench::add_sram(*command);
    bench::add_compile(*command);
    bench::add_train(*command);
    bench::add_train_step(*command);
    bench::add_scale(*command);
    bench::add_startup(*command);
    bench::add_compare(*command);
    command->footer(
        "Each prints a table with its definitions and, with --json, writes the same as JSON.\n"
        "Example:\n  pome bench peak --device emulator:m4max");
}

}  // namespace pome::cli
