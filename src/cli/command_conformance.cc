#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "device/conformance/conformance.h"

namespace pome::cli {
namespace {

namespace conformance = device::conformance;

struct ConformanceOptions {
    DeviceOptions device;
    std::vector<std::string> only;
    bool json = false, quick = false;
};

bool is_wanted(const conformance::Case& what, const ConformanceOptions& options,
               std::int64_t tier) {
    if (!options.only.empty()) {
        return std::find(options.only.begin(), options.only.end(), what.id) != options.only.end();
    }
    return what.first_tier <= tier && tier <= what.last_tier && !(options.quick && what.slow);
}

int run_conformance(const ConformanceOptions& options) {
    ThreadPool pool(options.device.threads);
    const auto open = [&] {
        DeviceOptions used = options.device;
        used.device = conformance::device_name(used.device);
        return open_device(used, pool);
    };
    const std::int64_t tier = open()->profile().tier;
    if (tier == 0 && options.only.empty()) {
        fail(Code::invalid_argument, "cli.conformance",
             "'{}' is no chip: published behaviours belong to chips; name an emulator, or cases "
             "with --only",
             options.device.device);
    }
    nlohmann::json list = nlohmann::json::array();
    int counts[3] = {}, explained = 0;
    for (const auto& what : conformance::cases()) {
        if (!is_wanted(what, options, tier)) {
            continue;
        }
        const auto result = conformance::run_case(what, open);
        ++counts[static_cast<int>(result.status)];
        explained += result.status == conformance::Result::Status::not_reproduced && !what.open.empty();
        if (options.json) {
            list.push_back({{"id", what.id},
                            {"title", what.title},
                            {"source", what.source},
                            {"status", conformance::status_name(result.status)},
                            {"found", result.found},
                            {"open", what.open}});
        } else {
            fmt::print("{:<12} {:<14} {}  [{}]{}\n", what.id,
                       conformance::status_name(result.status), what.title, what.source,
                       (result.found.empty() ? "" : "\n             " + result.found) +
                           (what.open.empty() ? "" : "\n             open: " + what.open));
        }
    }
    const int undisputed = counts[0] + counts[1];
    const double share = undisputed == 0 ? 1.0 : static_cast<double>(counts[0]) / undisputed;
    if (options.json) {
        fmt::print("{}\n", nlohmann::json{{"device", options.device.device},
                                          {"cases", list},
                                          {"reproduced", counts[0]},
                                          {"not_reproduced", counts[1]},
                                          {"explained", explained},
                                          {"disputed", counts[2]},
                                          {"score", share}}
                               .dump());
    } else {
        fmt::print(
            "{}: {} of {} undisputed behaviours reproduced ({:.1f} %), {} open with the reason, "
            "{} disputed\n",
            options.device.device, counts[0], undisputed, 100.0 * share, explained, counts[2]);
    }
    return counts[1] == explained ? exit_done : exit_failed;
}

}  // namespace

void add_conformance(CLI::App& app, int& status) {
    auto options = std::make_shared<ConformanceOptions>();
    CLI::App* command = app.add_subcommand(
        "conformance", "Compare a device with what was published of real engines");
    options->device.device = "emulator:m4";
    options->device.strictness = "as-hardware";
    options->device.add_to(*command);
    command->add_option("--only", options->only, "these cases, whatever the chip, e.g. E07 N14");
    command->add_flag("--quick", options->quick, "leave out what takes seconds");
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "A chip without a route stands for CHIP/e5rt, by which most of it was measured; silent "
        "failures happen (--strictness as-hardware).\n"
        "Example:\n  pome conformance --device emulator:m1\nExit status 1 when a case is neither "
        "reproduced nor open with its reason.");
    command->callback([options, &status] { status = run_conformance(*options); });
}

}  // namespace pome::cli
