#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "base/data_directory.h"
#include "base/file.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/engine_record.h"
#include "device/profile.h"
#include "kernels/libraries.h"

extern char** environ;

namespace pome::cli {
namespace {

using Json = nlohmann::ordered_json;

/// The user's home as "~", wherever it stands: reports are pasted into public threads.
std::string without_home(std::string text) {
    const std::string home = home_directory().string();
    for (std::size_t at = home.size() < 2 ? text.npos : text.find(home); at != text.npos;
         at = text.find(home, at + 1)) {
        text.replace(at, home.size(), "~");
    }
    return text;
}

/// The first line of a file of the system, or of those that start with `key` what follows ':' or
/// '='; empty when there is none.
[[maybe_unused]] std::string line_of(const std::filesystem::path& path, std::string_view key = "") {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(key)) {
            continue;
        }
        if (!key.empty()) {
            line = line.substr(std::min(line.size(), line.find_first_of(":=") + 1));
        }
        const auto first = line.find_first_not_of(" \t\""), last = line.find_last_not_of(" \t\"");
        return first == line.npos ? "" : line.substr(first, last - first + 1);
    }
    return "";
}

#ifdef __APPLE__
std::string system_value(const char* name) {
    char text[256] = {};
    std::size_t size = sizeof text - 1;
    return sysctlbyname(name, text, &size, nullptr, 0) == 0 ? text : "";
}
#endif

std::string or_unknown(std::string text) {
    return text.empty() ? "unknown" : text;
}

Json machine() {
    utsname kernel{};  // its nodename is not asked for: reports name no host
    const bool known = uname(&kernel) == 0;
#ifdef __APPLE__
    const std::string chip = system_value("machdep.cpu.brand_string"),
                      system = fmt::format("macOS {} ({})", system_value("kern.osproductversion"),
                                           system_value("kern.osversion"));
#else
    const std::string chip = line_of("/proc/cpuinfo", "model name"),
                      system = line_of("/etc/os-release", "PRETTY_NAME");
#endif
    const auto pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return {{"processor", or_unknown(chip)},
            {"architecture", known ? kernel.machine : "unknown"},
            {"system", or_unknown(system)},
            {"kernel", known ? fmt::format("{} {}", kernel.sysname, kernel.release) : "unknown"},
            {"processors", std::thread::hardware_concurrency()},
            {"memory_gib",
             pages > 0 && page > 0
                 ? Json(std::stod(fmt::format(
                       "{:.1f}", static_cast<double>(pages) * static_cast<double>(page) / 0x1p30)))
                 : Json("unknown")}};
}

/// "mains", "battery" or "unknown".
std::string power_source() {
#ifndef __APPLE__
    std::error_code none;
    std::string found = "unknown";
    for (std::filesystem::directory_iterator supply("/sys/class/power_supply", none), end;
         !none && supply != end; supply.increment(none)) {
        const std::string type = line_of(supply->path() / "type");
        if (type == "Mains" && line_of(supply->path() / "online") == "1") {
            return "mains";
        }
        if (type == "Battery" && line_of(supply->path() / "status") == "Discharging") {
            found = "battery";
        }
    }
    return found;
#else
    return "unknown";
#endif
}

/// One fact of a profile: its value, and how it is known.
Json fact_of(const device::Profile& profile, std::string_view key) {
    for (const auto& fact : profile.facts) {
        if (fact.key == key) {
            return fmt::format("{} ({})", fact.value == "0" ? "none" : fact.value, fact.evidence);
        }
    }
    return "unknown";
}

Json choice(bool engine_is_available) {
    const std::string name = DeviceOptions{}.device;
    const device::Profile& profile = find_device_profile(name);
    Json budgets = Json::object();
    for (const auto& route : device::known_routes()) {
        budgets[route] =
            fact_of(device::find_profile(profile.chip + "/" + route), "limits.compile_budget");
    }
    return {{"device", name},
            {"why", engine_is_available
                        ? "the default of every command; --device auto takes the engine"
                        : "no engine is reachable: an emulator, the default of every command"},
            {"route", profile.route},
            {"others", "`pome devices` lists emulators of every chip, and the reference"},
            {"compile_budget_by_route", budgets}};
}

/// A results file: how many values it holds, or what is wrong with it.
std::string state_of(const std::filesystem::path& path) {
    try {
        const std::string text = read_text(path, 1 << 20);
        const auto profile = device::read_measured_profile("m4", text, path.filename().string());
        const auto mine = std::count_if(
            profile.facts.begin(), profile.facts.end(),
            [](const device::Fact& fact) { return fact.source.starts_with("pome probe "); });
        return fmt::format("{} values", mine);
    } catch (const Error& error) {
        return error.text();
    }
}

Json results(const std::filesystem::path& directory) {
    Json list = Json::object();
    std::error_code none;
    std::vector<std::filesystem::path> files;
    for (std::filesystem::recursive_directory_iterator entry(directory / "probes", none), end;
         !none && entry != end && files.size() < 100; entry.increment(none)) {
        if (entry->path().extension() == ".toml") {
            files.push_back(entry->path());
        }
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
        list[without_home(file.string())] = without_home(state_of(file));
    }
    return list;
}

Json data() {
    std::filesystem::path directory;
    try {
        directory = user_data_directory();
    } catch (const Error& error) {
        return {{"directory", "unknown"}, {"state", error.text()}, {"probed", Json::object()}};
    }
    std::error_code none;
    const auto status = std::filesystem::status(directory, none);
    const char* state = !std::filesystem::exists(status)         ? "not there yet"
                        : !std::filesystem::is_directory(status) ? "no directory"
                        : access(directory.c_str(), W_OK) != 0   ? "not writable"
                                                                 : "writable";
    return {{"directory", without_home(directory.string())},
            {"state", state},
            {"probed", results(directory)}};
}

Json libraries() {
    return {
        {"blas", kernels::blas_library()},
        {"vectors", kernels::vector_target()},
        {"compiler", __VERSION__},
        {"fmt",
         fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
        {"CLI11", CLI11_VERSION},
        {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                      NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)}};
}

/// What of the environment changes what pome does.
Json settings() {
    Json all = Json::object();
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const auto equals = text.find('=');
        const std::string_view name = text.substr(0, equals);
        if (equals != text.npos && (name.starts_with("POME_") || name == "XDG_DATA_HOME" ||
                                    name == "OPENBLAS_NUM_THREADS" || name == "OMP_NUM_THREADS")) {
            all[std::string(name)] = without_home(std::string(text.substr(equals + 1)));
        }
    }
    return all;
}

void print_section(const Json& section, const std::string& indent) {
    for (const auto& [key, value] : section.items()) {
        if (value.is_object()) {
            fmt::print("{}{}:{}\n", indent, key, value.empty() ? " none" : "");
            print_section(value, indent + "    ");
        } else {
            fmt::print("{}{}: {}\n", indent, key,
                       value.is_string() ? value.get<std::string>() : value.dump());
        }
    }
}

void doctor(bool json) {
    const Json engine = engine_record();
    const bool available = engine["available"];
    const Json report{
        {"pome", version},          {"machine", machine()},        {"power_source", power_source()},
        {"engine", engine},         {"choice", choice(available)}, {"data", data()},
        {"libraries", libraries()}, {"environment", settings()}};
    if (json) {
        fmt::print("{}\n", report.dump(-1, ' ', false, Json::error_handler_t::replace));
        return;
    }
    print_section(report, "");
    if (available) {
        return;
    }
    fmt::print(
        "No engine is reachable here. Use an emulator: pome train ... --set "
        "engine.device=emulator:m4, pome run ... --device emulator:m4\n");
}

}  // namespace

void add_doctor(CLI::App& app) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command =
        app.add_subcommand("doctor", "Say what this machine has and what pome would use of it");
    command->add_flag("--json", *json, "one JSON object on standard output, for bug reports");
    command->footer(
        "No serial numbers, user names or host names are in it; the home directory reads ~.\n"
        "Example:\n  pome doctor --json");
    command->callback([json] { doctor(*json); });
}

}  // namespace pome::cli
