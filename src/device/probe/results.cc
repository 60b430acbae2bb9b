#include "device/probe/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace pome::device::probe {
namespace {

/// A TOML string. What devices say may hold anything.
std::string toml_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte >= 0x7F) {
            out += byte == '\n' ? ' ' : '?';
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string toml(const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) {
        return toml_string(*text);
    }
    if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
        std::string items;
        for (const auto& item : *list) {
            items += (items.empty() ? "" : ", ") + toml_string(item);
        }
        return "[" + items + "]";
    }
    return text_of(value);
}

/// "numerics.slice.width_gain" is width_gain of [numerics.slice].
std::pair<std::string, std::string> table_and_name(const std::string& key) {
    const auto dot = key.rfind('.');
    return dot == std::string::npos ? std::pair<std::string, std::string>{"", key}
                                    : std::pair{key.substr(0, dot), key.substr(dot + 1)};
}

std::string safe_name(std::string_view text) {
    std::string name;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '+' || c == '-';
        name += plain ? c : '_';
    }
    if (name.empty() || name.front() == '.') {
        name.insert(name.begin(), '_');
    }
    return name.substr(0, 200);
}

}  // namespace

std::string results_text(const Report& report, const Origin& origin) {
    std::string text = fmt::format(
        "# What `pome probe` found. Values over those of a built-in profile: docs/probes.md.\n"
        "probe_version = \"1\"\ndevice = {}\nsystem = {}\ndate = {}\n",
        toml_string(origin.device), toml_string(origin.system), toml_string(origin.date));
    std::map<std::string, std::string> tables;  // "" comes first, as TOML wants it
    for (const Setting& setting : report.settings) {
        const auto [table, name] = table_and_name(setting.key);
        tables[table] +=
            fmt::format("{} = {{ value = {}, evidence = \"measured\", source = {} }}\n", name,
                        toml(setting.value),
                        toml_string(fmt::format("pome probe {}, {}, {}: {}", origin.date,
                                                origin.device, origin.system, setting.seen)));
    }
    for (const auto& [table, lines] : tables) {
        text += table.empty() ? "\n" + lines : fmt::format("\n[{}]\n{}", table, lines);
    }
    for (const auto& [title, remarks] :
         {std::pair{"seen", &report.observations}, std::pair{"open", &report.open}}) {
        for (const Remark& remark : *remarks) {
            text += fmt::format("# {}: {}: {}\n", title, remark.key, toml_string(remark.text));
        }
    }
    return text;
}

std::filesystem::path results_path(const std::filesystem::path& data_directory,
                                   const Origin& origin) {
    return data_directory / "probes" / safe_name(origin.system) /
           (safe_name(origin.device) + ".toml");
}

Origin engine_origin(const std::string& profile, const std::string& os_build, bool is_stand_in) {
    return {
        profile, (os_build.empty() ? "unknown" : os_build) + (is_stand_in ? "+stand-in" : ""), {}};
}

Profile engine_profile(const std::filesystem::path& data_directory, const Origin& origin,
                       std::filesystem::path* file) {
    const auto path = results_path(data_directory, origin);
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
        return find_profile(origin.device);
    }
    if (file != nullptr) {
        *file = path;
    }
    constexpr std::uint64_t largest = 1 << 20;
    return read_measured_profile(origin.device, read_text(path, largest), path.string());
}

void save_results(const std::filesystem::path& path, std::string_view text) {
    std::error_code error;
    if (path.has_parent_path()) {
        std::filesystem::create_directories(path.parent_path(), error);
    }
    if (error) {
        fail(Code::io, "device.probe", "{}: {}", path.parent_path().string(), error.message());
    }
    write_file_atomic(path, text);
}

}  // namespace pome::device::probe
