#include "train/config_reader.h"

#include <fmt/format.h>

namespace pome::train {
namespace {

constexpr std::string_view here = "train.config";

/// "section.key=value" as a TOML line; a value that is no TOML literal is taken as a string.
void apply_setting(toml::table& table, const std::string& setting) {
    const auto equals = setting.find('=');
    const auto dot = setting.find('.');
    if (equals == std::string::npos || dot == std::string::npos || dot > equals || dot == 0 ||
        dot + 1 == equals) {
        fail(Code::invalid_argument, here, "--set '{}' is not of the form section.key=value",
             setting);
    }
    const std::string section = setting.substr(0, dot),
                      key = setting.substr(dot + 1, equals - dot - 1);
    const std::string value = setting.substr(equals + 1);
    toml::table parsed;
    try {
        parsed = toml::parse(fmt::format("value = {}", value));
    } catch (const toml::parse_error&) {
        parsed.insert("value", value);
    }
    if (table[section].as_table() == nullptr) {
        table.insert_or_assign(section, toml::table{});
    }
    table[section].as_table()->insert_or_assign(key, *parsed.get("value"));
}

}  // namespace

toml::table parse_settings(std::string_view text, std::string_view source,
                           const std::vector<std::string>& settings) {
    toml::table table;
    try {
        table = toml::parse(text, source);
    } catch (const toml::parse_error& error) {
        fail(Code::invalid_argument, here, "{}:{}:{}: {}", source, error.source().begin.line,
             error.source().begin.column, error.description());
    }
    for (const auto& setting : settings) {
        apply_setting(table, setting);
    }
    return table;
}

void ConfigReader::read(std::string_view key, std::int64_t& value) {
    if (const auto* node = find(key)) {
        const auto integer = node->as_integer();
        if (integer == nullptr) {
            wrong(key, "an integer");
        }
        value = integer->get();
    }
}

void ConfigReader::read(std::string_view key, int& value) {
    std::int64_t wide = value;
    read(key, wide);
    if (wide < 0 || wide > 4096) {
        wrong(key, "an integer from 0 to 4096");
    }
    value = static_cast<int>(wide);
}

void ConfigReader::read(std::string_view key, std::uint64_t& value) {
    auto wide = static_cast<std::int64_t>(value);
    read(key, wide);
    if (wide < 0) {
        wrong(key, "an integer that is not negative");
    }
    value = static_cast<std::uint64_t>(wide);
}

void ConfigReader::read(std::string_view key, double& value) {
    if (const auto* node = find(key)) {
        if (!node->is_number()) {
            wrong(key, "a number");
        }
        value = node->value<double>().value_or(value);
    }
}

void ConfigReader::read(std::string_view key, bool& value) {
    if (const auto* node = find(key)) {
        if (!node->is_boolean()) {
            wrong(key, "true or false");
        }
        value = node->value<bool>().value_or(value);
    }
}

void ConfigReader::read(std::string_view key, std::string& value) {
    if (const auto* node = find(key)) {
        if (!node->is_string()) {
            wrong(key, "a string");
        }
        value = node->value<std::string>().value_or(value);
    }
}

void ConfigReader::read(std::string_view key, std::optional<bool>& value) {
    if (find(key) != nullptr) {
        bool given = false;
        read(key, given);
        value = given;
    }
}

void ConfigReader::read(std::string_view key, std::optional<std::vector<std::string>>& value) {
    const auto* node = find(key);
    if (node == nullptr) {
        return;
    }
    const toml::array* array = node->as_array();
    if (array == nullptr) {
        wrong(key, "a list of strings");
    }
    value.emplace();
    for (const toml::node& element : *array) {
        if (!element.is_string()) {
            wrong(key, "a list of strings");
        }
        value->push_back(element.value<std::string>().value_or(""));
    }
}

void ConfigReader::expect_all_known() const {
    for (const auto& [section, node] : table_) {
        const toml::table* inner = node.as_table();
        if (inner == nullptr) {
            fail(Code::invalid_argument, here, "{}: '{}' stands outside a section such as [model]",
                 source_, section.str());
        }
        for (const auto& [key, value] : *inner) {
            const std::string path = fmt::format("{}.{}", section.str(), key.str());
            if (!known_.contains(path)) {
                fail(Code::invalid_argument, here, "{}: unknown key '{}'", source_, path);
            }
        }
    }
}

const toml::node* ConfigReader::find(std::string_view key) {
    known_.emplace(key);
    return table_.at_path(key).node();
}

void ConfigReader::wrong(std::string_view key, std::string_view wanted) const {
    fail(Code::invalid_argument, here, "{}: '{}' must be {}", source_, key, wanted);
}

}  // namespace pome::train
