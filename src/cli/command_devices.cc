#include <fmt/core.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/engine_record.h"
#include "device/apple/apple_device.h"
#include "device/apple/hardware_status.h"
#include "device/apple/route.h"
#include "device/emulator/emulator.h"

namespace pome::cli {
namespace {

struct DevicesCommand {
    std::string device;
    bool json = false, verbose = false, hardware_status = false;
};

/// The profiles to list: the one that --device names, or every chip by its default route.
std::vector<const device::Profile*> chosen(const DevicesCommand& options) {
    std::vector<const device::Profile*> profiles;
    if (!options.device.empty()) {
        constexpr std::string_view prefix = "emulator:";
        const std::string_view name = options.device;
        profiles.push_back(
            &device::find_profile(name.starts_with(prefix) ? name.substr(prefix.size()) : name));
        return profiles;
    }
    for (const auto& chip : device::known_chips()) {
        profiles.push_back(&device::find_profile(chip));
    }
    return profiles;
}

/// What this machine has of the system's interface: nothing is compiled or evaluated.
void print_engine(bool verbose) {
    const auto found = survey_engine();
    if (!found.runtime) {
        fmt::print("{:<20} not here: {}\n", "apple", found.reason);
        return;
    }
    fmt::print("{:<20} {}{}, as {}; routes {}{}\n", "apple",
               found.runtime->is_replacement() ? "a stand-in that calls itself " : "",
               found.machine.text(), found.identification.chip,
               fmt::join(device::apple::known_apple_routes(), ", "),
               found.is_available() ? "" : "; not usable: " + found.reason);
    if (!found.identification.known && found.is_available()) {
        fmt::print("    {}\n", found.identification.remark);
    }
    for (const auto& check : found.runtime->checks()) {
        if (verbose || check.state != device::apple::ApiCheck::State::present) {
            fmt::print("    {}\n", check.text());
        }
    }
}

void print_json(const DevicesCommand& options) {
    nlohmann::json list = nlohmann::json::array();
    if (options.device.empty()) {
        list.push_back(engine_record());
    }
    list.push_back({{"name", "reference"}, {"arithmetic", "double"}});
    for (const auto* profile : chosen(options)) {
        nlohmann::json facts = nlohmann::json::object();
        for (const auto& fact : profile->facts) {
            facts[fact.key] = {
                {"value", fact.value}, {"evidence", fact.evidence}, {"source", fact.source}};
        }
        list.push_back({{"name", "emulator:" + profile->name},
                        {"family", profile->family},
                        {"route", profile->route},
                        {"facts", facts}});
    }
    fmt::print("{}\n", list.dump());
}

void devices(const DevicesCommand& options) {
    if (options.hardware_status) {
        fmt::print("{}", device::apple::hardware_status());
        return;
    }
    if (options.json) {
        print_json(options);
        return;
    }
    if (options.device.empty()) {
        print_engine(options.verbose);
    }
    fmt::print("{:<20} every op in double precision, slow: the oracle\n", "reference");
    for (const auto* profile : chosen(options)) {
        fmt::print("{:<20} family {}, tier A{}, {} engine{} of {} cores, route {}\n",
                   "emulator:" + profile->name, profile->family, profile->tier, profile->engines,
                   profile->engines == 1 ? "" : "s", profile->cores, profile->route);
        if (!options.verbose) {
            continue;
        }
        for (const auto& fact : profile->facts) {
            fmt::print("    {} = {}  [{}] {}\n", fact.key, fact.value, fact.evidence, fact.source);
        }
    }
    fmt::print("routes (emulator:CHIP/ROUTE): {}\n", fmt::join(device::known_routes(), ", "));
    fmt::print("alternatives, where sources disagree (emulator:CHIP+NAME): {}\n",
               fmt::join(device::known_alternatives(), ", "));
    if (options.verbose) {
        fmt::print("ops of the emulator: {} (pome ops lists them by chip)\n",
                   fmt::join(device::emulator::supported_ops(), " "));
    }
}

}  // namespace

void add_devices(CLI::App& app) {
    auto options = std::make_shared<DevicesCommand>();
    CLI::App* command = app.add_subcommand("devices", "List what programs can run on");
    command->add_option("--device", options->device, "only this one, e.g. emulator:m1/e5rt");
    command->add_flag("--json", options->json, "one JSON array on standard output");
    command->add_flag("--verbose", options->verbose,
                      "every value of every profile with its evidence and source");
    command->add_flag("--hardware-status", options->hardware_status,
                      "docs/hardware-status.md: what of Apple's system is used, and where it ran");
    command->footer("Example:\n  pome devices --device emulator:m1 --verbose");
    command->callback([options] { devices(*options); });
}

}  // namespace pome::cli
