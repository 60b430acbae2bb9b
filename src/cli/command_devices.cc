#include <fmt/core.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "device/emulator/emulator.h"

namespace pome::cli {
namespace {

struct DevicesCommand {
    bool json = false, verbose = false;
};

void devices(const DevicesCommand& options) {
    if (options.json) {
        nlohmann::json list = nlohmann::json::array();
        list.push_back({{"name", "reference"}, {"arithmetic", "double"}});
        for (const auto& profile : device::builtin_profiles()) {
            nlohmann::json facts = nlohmann::json::object();
            for (const auto& fact : profile.facts) {
                facts[fact.key] = {
                    {"value", fact.value}, {"evidence", fact.evidence}, {"source", fact.source}};
            }
            list.push_back({{"name", "emulator:" + profile.chip},
                            {"family", profile.family},
                            {"route", profile.route},
                            {"facts", facts}});
        }
        fmt::print("{}\n", list.dump());
        return;
    }
    fmt::print("reference      every op in double precision, slow: the oracle\n");
    for (const auto& profile : device::builtin_profiles()) {
        fmt::print("emulator:{:<5} the engine of family {}, route {}; numerics exact or fast\n",
                   profile.chip, profile.family, profile.route);
        if (!options.verbose) {
            continue;
        }
        for (const auto& fact : profile.facts) {
            fmt::print("    {} = {}  [{}] {}\n", fact.key, fact.value, fact.evidence, fact.source);
        }
        fmt::print("    ops: {}\n", fmt::join(device::emulator::supported_ops(), " "));
    }
}

}  // namespace

void add_devices(CLI::App& app) {
    auto options = std::make_shared<DevicesCommand>();
    CLI::App* command = app.add_subcommand("devices", "List what programs can run on");
    command->add_flag("--json", options->json, "one JSON array on standard output");
    command->add_flag("--verbose", options->verbose,
                      "every value of every profile with its evidence and source");
    command->footer("Example:\n  pome devices --verbose");
    command->callback([options] { devices(*options); });
}

}  // namespace pome::cli
