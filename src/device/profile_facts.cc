#include "device/profile_facts.h"

#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <charconv>

#include "base/error.h"

namespace pome::device {
namespace {

constexpr std::string_view here = "device.profile";

std::string text_of(const Facts::Value& value) {
    return std::visit(
        [](const auto& held) -> std::string {
            if constexpr (std::is_same_v<std::remove_cvref_t<decltype(held)>,
                                         std::vector<std::string>>) {
                return fmt::format("{}", fmt::join(held, " "));
            } else {
                return fmt::format("{}", held);
            }
        },
        value);
}

/// A TOML value as one of ours; throws for those that no profile has.
Facts::Value value_of(const toml::node& node, std::string_view file, const std::string& key) {
    if (const auto flag = node.value_exact<bool>()) {
        return *flag;
    }
    if (const auto integer = node.value_exact<std::int64_t>()) {
        return *integer;
    }
    if (const auto number = node.value_exact<double>()) {
        return *number;
    }
    if (const auto text = node.value_exact<std::string>()) {
        return *text;
    }
    std::vector<std::string> items;
    if (const toml::array* array = node.as_array()) {
        for (const auto& item : *array) {
            const auto text = item.value_exact<std::string>();
            if (!text) {
                fail(Code::malformed_file, here, "{}: '{}' may list texts only", file, key);
            }
            items.push_back(*text);
        }
        return items;
    }
    fail(Code::malformed_file, here, "{}: '{}' has a value of a type that no profile has", file,
         key);
}

struct Collector {
    std::string_view file;
    std::map<std::string, Facts::Entry>& entries;
    std::map<std::string, std::string>& plain;

    void collect(const std::string& prefix, const toml::table& table, int depth) {
        if (depth > 8) {
            fail(Code::malformed_file, here, "{}: '{}' is nested too deeply", file, prefix);
        }
        for (const auto& [name, node] : table) {
            const std::string key =
                prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
            const toml::table* inner = node.as_table();
            if (inner == nullptr) {
                const auto text = node.value_exact<std::string>();
                if (!prefix.empty() || !text) {
                    fail(Code::malformed_file, here,
                         "{}: '{}' must be a table {{value, evidence, source}}", file, key);
                }
                plain[key] = *text;
            } else if (inner->contains("value")) {
                entries[key] = entry(*inner, key);
            } else {
                collect(key, *inner, depth + 1);
            }
        }
    }

    Facts::Entry entry(const toml::table& table, const std::string& key) const {
        Facts::Entry made{value_of(*table.get("value"), file, key),
                          table["evidence"].value_or(std::string()),
                          table["source"].value_or(std::string())};
        if (made.evidence != "measured" && made.evidence != "derived" &&
            made.evidence != "assumed") {
            fail(Code::malformed_file, here,
                 "{}: '{}' needs evidence = \"measured\", \"derived\" or \"assumed\"", file, key);
        }
        if (made.source.empty()) {
            fail(Code::malformed_file, here, "{}: '{}' names no source", file, key);
        }
        for (const auto& [name, node] : table) {
            if (name != "value" && name != "evidence" && name != "source") {
                fail(Code::malformed_file, here, "{}: '{}' has an unknown part '{}'", file, key,
                     name.str());
            }
        }
        return made;
    }
};

}  // namespace

std::map<std::string, std::string> Facts::add(std::string_view text, std::string_view file) {
    toml::table table;
    try {
        table = toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        fail(Code::malformed_file, here, "{}:{}: {}", file, error.source().begin.line,
             error.description());
    }
    name_ = file;
    std::map<std::string, std::string> plain;
    Collector{file, entries_, plain}.collect("", table, 0);
    return plain;
}

void Facts::overlay(const Facts& over) {
    name_ = over.name_;
    for (const auto& [key, entry] : over.entries_) {
        entries_[key] = entry;
    }
}

void Facts::weaken(const std::string& evidence) {
    for (auto& [key, entry] : entries_) {
        if (entry.evidence != evidence) {
            entry.source = fmt::format("taken over; there {}: {}", entry.evidence, entry.source);
            entry.evidence = evidence;
        }
    }
}

Facts::Entry& Facts::find(const std::string& key) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) {
        fail(Code::malformed_file, here, "{}: '{}' is missing", name_, key);
    }
    found->second.used = true;
    return found->second;
}

void Facts::wrong_type(const std::string& key, std::string_view wanted) const {
    fail(Code::malformed_file, here, "{}: '{}' must be {}", name_, key, wanted);
}

bool Facts::flag(const std::string& key) {
    const auto* held = std::get_if<bool>(&find(key).value);
    return held != nullptr ? *held : (wrong_type(key, "true or false"), false);
}

std::int64_t Facts::integer(const std::string& key, std::int64_t least, std::int64_t most) {
    const auto* held = std::get_if<std::int64_t>(&find(key).value);
    if (held == nullptr || *held < least || *held > most) {
        wrong_type(key, fmt::format("an integer from {} to {}", least, most));
    }
    return *held;
}

double Facts::number(const std::string& key, double least, double most) {
    const Value& value = find(key).value;
    double held = least - 1.0;
    if (const auto* real = std::get_if<double>(&value)) {
        held = *real;
    } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        held = static_cast<double>(*whole);
    }
    if (!(held >= least && held <= most)) {
        wrong_type(key, fmt::format("a number from {} to {}", least, most));
    }
    return held;
}

std::string Facts::text(const std::string& key) {
    const auto* held = std::get_if<std::string>(&find(key).value);
    return held != nullptr ? *held : (wrong_type(key, "a text"), std::string());
}

std::vector<DType> Facts::dtypes(const std::string& key) {
    const auto* held = std::get_if<std::vector<std::string>>(&find(key).value);
    std::vector<DType> result;
    if (held == nullptr) {
        wrong_type(key, "a list of dtypes");
    }
    for (const auto& name : *held) {
        const auto parsed = dtype_from_name(name);
        if (!parsed) {
            fail(Code::malformed_file, here, "{}: '{}' names an unknown dtype '{}'", name_, key,
                 name);
        }
        result.push_back(*parsed);
    }
    return result;
}

std::vector<std::int64_t> Facts::integers(const std::string& key) {
    const auto* held = std::get_if<std::vector<std::string>>(&find(key).value);
    std::vector<std::int64_t> result;
    for (const auto& text : held != nullptr ? *held : std::vector<std::string>{"none"}) {
        std::int64_t number = 0;
        const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (fault != std::errc() || end != text.data() + text.size()) {
            wrong_type(key, "a list of integers, each as a text");
        }
        result.push_back(number);
    }
    return result;
}

Reaction Facts::reaction(const std::string& key) {
    const auto text_of_it = text(key);
    for (const Reaction known : {Reaction::works, Reaction::refused, Reaction::failed,
                                 Reaction::zeros, Reaction::ignored, Reaction::poisoned}) {
        if (text_of_it == name(known)) {
            return known;
        }
    }
    wrong_type(key, "works, refused, failed, zeros, ignored or poisoned");
}

std::vector<std::string> Facts::choose_route(const std::string& route) {
    constexpr std::string_view prefix = "routes.";
    std::vector<std::string> named;
    std::map<std::string, Entry> chosen;
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        if (!entry->first.starts_with(prefix)) {
            ++entry;
            continue;
        }
        const auto dot = entry->first.find('.', prefix.size());
        named.push_back(entry->first.substr(prefix.size(), dot - prefix.size()));
        if (named.back() == route && dot != std::string::npos) {
            chosen[entry->first.substr(dot + 1)] = entry->second;
        }
        entry = entries_.erase(entry);
    }
    for (auto& [key, entry] : chosen) {
        entries_[key] = std::move(entry);
    }
    return named;
}

Rounding Facts::rounding(const std::string& key) {
    const auto name = text(key);
    if (name == "nearest_away") {
        return Rounding::nearest_away;
    }
    if (name == "nearest_even") {
        return Rounding::nearest_even;
    }
    if (name == "toward_zero") {
        return Rounding::toward_zero;
    }
    fail(Code::malformed_file, here,
         "{}: '{}' is '{}', not nearest_away, nearest_even or toward_zero", name_, key, name);
}

void Facts::expect_all_used() const {
    for (const auto& [key, entry] : entries_) {
        if (!entry.used) {
            fail(Code::malformed_file, here, "{}: unknown key '{}'", name_, key);
        }
    }
}

std::vector<Fact> Facts::list() const {
    std::vector<Fact> all;
    for (const auto& [key, entry] : entries_) {
        all.push_back({key, text_of(entry.value), entry.evidence, entry.source});
    }
    return all;
}

}  // namespace pome::device
