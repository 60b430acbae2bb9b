#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/data_directory.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/process.h"
#include "device/apple/apple_device.h"
#include "device/apple/child_trial.h"
#include "device/apple/class_dump.h"
#include "device/apple/route.h"
#include "device/open/open_device.h"
#include "device/probe/child_runner.h"
#include "device/probe/identify.h"
#include "device/probe/probe.h"
#include "device/probe/results.h"

namespace pome::cli {
namespace {

namespace probe = device::probe;

struct ProbeOptions {
    DeviceOptions device;
    std::string output;
    bool risky = false, budget = false, json = false, list = false, discard = false,
         classes = false;
};

std::string today() {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm utc{};
    gmtime_r(&now, &utc);
    return fmt::format("{:04}-{:02}-{:02}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday);
}

void list_probes() {
    for (const auto& one : probe::probes()) {
        fmt::print("{:<16} {:<9} {}\n", one.name,
                   one.name == "budget" ? "--budget" : probe::name(one.risk), one.finds);
    }
}

/// The private framework's classes of this machine.
void print_classes(bool json) {
    namespace apple = device::apple;
    const std::string runtime = apple::Options::runtime_from_environment();
    apple::require_system(runtime);
    const auto all = apple::dump_classes(*apple::Runtime::load(runtime));
    if (!json) {
        for (const apple::DumpedClass& dumped : all) {
            fmt::print("{}\n", apple::text_of(dumped));
        }
        fmt::print("{} classes\n", all.size());
        return;
    }
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const apple::DumpedClass& dumped : all) {
        nlohmann::ordered_json methods = nlohmann::ordered_json::array();
        for (const apple::DumpedMethod& method : dumped.methods) {
            methods.push_back({{"kind", std::string(1, method.kind)},
                               {"selector", method.selector},
                               {"encoding", method.encoding}});
        }
        list.push_back({{"name", dumped.name}, {"super", dumped.super}, {"methods", methods}});
    }
    fmt::print("{}\n", nlohmann::ordered_json{{"classes", list}}.dump(
                           -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

nlohmann::ordered_json remarks(const std::vector<probe::Remark>& all) {
    nlohmann::ordered_json list = nlohmann::ordered_json::object();
    for (const auto& remark : all) {
        list[remark.key] = remark.text;
    }
    return list;
}

void print_json(const probe::Report& report, const probe::Identity& identity,
                const std::string& device, const std::string& file) {
    nlohmann::ordered_json settings, matches = nlohmann::ordered_json::array();
    for (const auto& setting : report.settings) {
        settings[setting.key] = {{"value", probe::text_of(setting.value)}, {"seen", setting.seen}};
    }
    for (const auto& match : identity.matches) {
        nlohmann::ordered_json differs = nlohmann::ordered_json::array();
        for (const auto& [key, found, expected] : match.differences) {
            differs.push_back({{"key", key}, {"found", found}, {"expected", expected}});
        }
        matches.push_back({{"profile", match.profile}, {"differences", differs}});
    }
    fmt::print("{}\n", nlohmann::ordered_json{{"device", device},
                                              {"identified", identity.text()},
                                              {"families", identity.families()},
                                              {"matches", matches},
                                              {"settings", settings},
                                              {"observations", remarks(report.observations)},
                                              {"open", remarks(report.open)},
                                              {"trials", report.trials},
                                              {"file", file}}
                           .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void print_text(const probe::Report& report, const probe::Identity& identity,
                const std::string& file) {
    for (const auto& setting : report.settings) {
        fmt::print("{} = {}\n    {}\n", setting.key, probe::text_of(setting.value), setting.seen);
    }
    for (const auto& remark : report.observations) {
        fmt::print("seen: {}: {}\n", remark.key, remark.text);
    }
    for (const auto& remark : report.open) {
        fmt::print("open: {}: {}\n", remark.key, remark.text);
    }
    for (const auto& [key, found, expected] : identity.matches.front().differences) {
        fmt::print("differs: {} is {}, {} has {}\n", key, found, identity.matches.front().profile,
                   expected);
    }
    fmt::print("{} values by {} trials, {} left open\n", report.settings.size(), report.trials,
               report.open.size());
    fmt::print("this is {}{}\n", identity.matches.front().differences.empty() ? "" : "nearest to ",
               identity.text());
    if (!file.empty()) {
        fmt::print("stored in {}\n", file);
    }
}

/// One child process on orders in a directory.
probe::ChildEnd run_trials_in_child(const std::string& route, double call_seconds,
                                    const std::filesystem::path& directory, double seconds) {
    using Kind = device::apple::ChildResult::Kind;
    const auto ended =
        device::apple::run_child({program_path(), "probe-trial", route, directory.string(),
                                  "--call-seconds", fmt::format("{}", call_seconds)},
                                 seconds);
    switch (ended.kind) {
        case Kind::exited:
            return {true, ended.status, ended.output};
        case Kind::killed:
            return {false, 0, fmt::format("signal {}; {}", ended.status, ended.output)};
        case Kind::time_over:
            break;
    }
    return {false, 0, fmt::format("not done after {:g} s; {}", seconds, ended.output)};
}

struct Probed {
    probe::Report report;
    probe::Origin origin;
};

/// Probes this machine's engine, every trial in a child process.
Probed probe_engine(const ProbeOptions& options, const probe::Options& limits) {
    namespace apple = device::apple;
    const std::string& name = options.device.device;
    const auto known = apple::known_apple_routes();
    const auto asked = device::engine_routes(name);
    // Results are one route's: of several in turn the first is meant, of several asked for none.
    const std::string route =
        name == "apple" ? known.front() : fmt::format("{}", fmt::join(asked, ","));
    if (std::find(known.begin(), known.end(), route) == known.end()) {
        fail(Code::invalid_argument, "cli.probe",
             "'{}' is no route to probe; one at a time: apple:{}", route,
             fmt::join(known, " or apple:"));
    }
    const auto found = apple::survey(apple::Options::runtime_from_environment());
    if (!found.is_available()) {
        fail(Code::unsupported, "cli.probe", "{}", found.reason);
    }
    const bool stands_in = found.runtime->is_replacement();
    const TemporaryDirectory directory;
    probe::ChildRunner::Options made;
    made.directory = directory.path();
    made.start = [&](const std::filesystem::path& orders, double seconds) {
        return run_trials_in_child(route, options.device.engine.call_seconds, orders, seconds);
    };
    made.trial = std::chrono::milliseconds(  // an evaluation, and five times that for its compile
        static_cast<std::int64_t>(6000.0 * options.device.engine.call_seconds));
    if (stands_in) {
        made.rest = std::chrono::milliseconds(0);  // no service that restarts
    }
    probe::ChildRunner runner(std::move(made));
    Probed probed{probe::run_probes(runner, limits),
                  probe::engine_origin(found.identification.chip + "/" + route,
                                       found.machine.os_build, stands_in)};
    probed.origin.date = today();
    return probed;
}

Probed probe_emulator(const DeviceOptions& device, const probe::Options& limits) {
    ThreadPool pool(device.threads);
    if (open_device(device, pool)->profile().tier == 0) {
        fail(Code::invalid_argument, "cli.probe",
             "'{}' is no engine and stands in for none: there is nothing to find out; name an "
             "emulator or apple",
             device.device);
    }
    probe::DeviceRunner runner([&] { return open_device(device, pool); });
    return {probe::run_probes(runner, limits), {device.device, "emulated", today()}};
}

void run_probe(const ProbeOptions& options) {
    if (options.list) {
        list_probes();
        return;
    }
    if (options.classes) {
        print_classes(options.json);
        return;
    }
    DeviceOptions used = options.device;
    used.strictness = "as-hardware";  // what is asked is what the chip does, not what Pome refuses
    const probe::Options limits{options.risky ? probe::Risk::risky : probe::Risk::failures,
                                options.budget, nullptr};
    if (used.device == "auto") {
        fail(Code::invalid_argument, "cli.probe",
             "'auto' may be this machine's engine or an emulator: name apple or emulator:CHIP");
    }
    const bool is_engine = !device::engine_routes(used.device).empty();
    const auto [report, origin] =
        is_engine ? probe_engine(options, limits) : probe_emulator(used, limits);
    const probe::Identity identity = probe::identify(report);
    std::string file;
    if (!options.discard) {
        const auto path = options.output.empty()
                              ? probe::results_path(user_data_directory(), origin)
                              : std::filesystem::path(options.output);
        probe::save_results(path, probe::results_text(report, origin));
        file = path.string();
    }
    if (options.json) {
        print_json(report, identity, used.device, file);
    } else {
        print_text(report, identity, file);
    }
}

}  // namespace

void add_probe(CLI::App& app) {
    auto options = std::make_shared<ProbeOptions>();
    CLI::App* command = app.add_subcommand(
        "probe", "Find out by small programs what a device is and how it computes");
    command
        ->add_option("--device", options->device.device,
                     "emulator:CHIP or apple[:ROUTE]; see `pome devices`")
        ->capture_default_str();
    command
        ->add_option("--numerics", options->device.numerics,
                     "of an emulator: exact (as the chip) or fast (fp16 storage, fp32 sums)")
        ->capture_default_str();
    command->add_option("--threads", options->device.threads, "processor threads; 0 takes all")
        ->capture_default_str()
        ->check(CLI::Range(0, 4096));
    command
        ->add_option("--call-seconds", options->device.engine.call_seconds,
                     "device apple: the longest evaluation; compiles five times as long")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 86400.0));
    command->add_flag("--risky", options->risky,
                      "also malformed weight files, and what may spoil its process");
    command->add_flag("--budget", options->budget,
                      "also how many programs a process compiles and holds, by using them up");
    auto* output = command->add_option("--output", options->output,
                                       "store results in this file, not in the data directory");
    command->add_flag("--discard", options->discard, "store nothing")->excludes(output);
    command->add_flag("--list", options->list, "only list the probes, in their order");
    command->add_flag("--classes", options->classes,
                      "only list the private framework's classes on this Mac, with their methods "
                      "and type encodings");
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "Results are facts for a profile: `--facts FILE` of the commands that run programs puts "
        "them "
        "over those of an emulator, and those of the engine, which are kept by chip, route and "
        "build "
        "of macOS, are used by --device apple from then on. On an engine every trial runs in a "
        "child "
        "process.\nExample:\n  pome probe --device emulator:m1/e5rt --output "
        "m1.toml");
    command->callback([options] { run_probe(*options); });
}

}  // namespace pome::cli
