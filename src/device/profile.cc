#include "device/profile.h"

#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <functional>
#include <map>

#include "base/error.h"
#include "device/builtin_profiles.h"

namespace pome::device {
namespace {

constexpr std::string_view here = "device.profile";

/// Reads {value, evidence, source} entries and remembers which keys were used.
class Reader {
  public:
    Reader(const toml::table& table, std::string_view source, std::vector<Fact>& facts)
        : source_(source), facts_(facts) {
        collect("", table);
    }

    template <typename T>
    T get(const std::string& key) {
        const toml::table& entry = find(key);
        const auto value = entry["value"].value<T>();
        if (!value) {
            fail(Code::malformed_file, here, "{}: '{}' has a value of the wrong type", source_,
                 key);
        }
        remember(key, entry);
        return *value;
    }

    std::vector<DType> dtypes(const std::string& key) {
        const toml::table& entry = find(key);
        std::vector<DType> result;
        if (const toml::array* array = entry["value"].as_array()) {
            for (const auto& item : *array) {
                const auto parsed = dtype_from_name(item.value_or(std::string_view()));
                if (!parsed) {
                    fail(Code::malformed_file, here, "{}: '{}' names an unknown dtype", source_,
                         key);
                }
                result.push_back(*parsed);
            }
        }
        remember(key, entry);
        return result;
    }

    Rounding rounding(const std::string& key) {
        const auto text = get<std::string>(key);
        if (text == "nearest_away") {
            return Rounding::nearest_away;
        }
        if (text == "nearest_even") {
            return Rounding::nearest_even;
        }
        if (text == "toward_zero") {
            return Rounding::toward_zero;
        }
        fail(Code::malformed_file, here,
             "{}: '{}' is '{}', not nearest_away, nearest_even or toward_zero", source_, key, text);
    }

    void expect_all_used() const {
        for (const auto& [key, entry] : entries_) {
            if (entry.second == 0) {
                fail(Code::malformed_file, here, "{}: unknown key '{}'", source_, key);
            }
        }
    }

  private:
    void collect(const std::string& prefix, const toml::table& table) {
        for (const auto& [key, node] : table) {
            const std::string path =
                prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
            const toml::table* inner = node.as_table();
            if (inner == nullptr) {
                fail(Code::malformed_file, here,
                     "{}: '{}' must be a table {{value, evidence, source}}", source_, path);
            }
            if (inner->contains("value")) {
                entries_[path] = {inner, 0};
            } else {
                collect(path, *inner);
            }
        }
    }

    const toml::table& find(const std::string& key) {
        const auto found = entries_.find(key);
        if (found == entries_.end()) {
            fail(Code::malformed_file, here, "{}: '{}' is missing", source_, key);
        }
        found->second.second = 1;
        return *found->second.first;
    }

    void remember(const std::string& key, const toml::table& entry) {
        const auto evidence = entry["evidence"].value_or(std::string());
        const auto source = entry["source"].value_or(std::string());
        if (evidence != "measured" && evidence != "derived" && evidence != "assumed") {
            fail(Code::malformed_file, here,
                 "{}: '{}' needs evidence = \"measured\", \"derived\" or \"assumed\"", source_,
                 key);
        }
        if (source.empty()) {
            fail(Code::malformed_file, here, "{}: '{}' names no source", source_, key);
        }
        std::string value;
        entry["value"].visit([&](const auto& node) {
            using Node = std::remove_cvref_t<decltype(node)>;
            if constexpr (toml::is_string<Node>) {
                value = node.get();
            } else if constexpr (toml::is_integer<Node> || toml::is_boolean<Node> ||
                                 toml::is_floating_point<Node>) {
                value = fmt::format("{}", node.get());
            } else if constexpr (toml::is_array<Node>) {
                for (const auto& item : node) {
                    value += (value.empty() ? "" : " ") + item.value_or(std::string("?"));
                }
            }
        });
        facts_.push_back({key, value, evidence, source});
    }

    std::string source_;
    std::vector<Fact>& facts_;
    std::map<std::string, std::pair<const toml::table*, int>> entries_;
};

Numerics read_numerics(Reader& reader) {
    Numerics n;
    auto& mac = n.multiply_accumulate;
    mac.fixed_point = reader.get<bool>("numerics.multiply_accumulate.fixed_point");
    mac.fraction_bits =
        static_cast<int>(reader.get<std::int64_t>("numerics.multiply_accumulate.fraction_bits"));
    mac.product = reader.rounding("numerics.multiply_accumulate.product");
    mac.drop = reader.get<bool>("numerics.multiply_accumulate.drop");
    mac.drop_exponent =
        static_cast<int>(reader.get<std::int64_t>("numerics.multiply_accumulate.drop_exponent"));
    mac.limit_exponent =
        static_cast<int>(reader.get<std::int64_t>("numerics.multiply_accumulate.limit_exponent"));
    mac.sticky = reader.get<bool>("numerics.multiply_accumulate.sticky");
    mac.output = reader.rounding("numerics.multiply_accumulate.output");
    n.elementwise.output = reader.rounding("numerics.elementwise.output");
    n.elementwise.coerce_nan = reader.get<bool>("numerics.elementwise.coerce_nan");
    n.tables.enabled = reader.get<bool>("numerics.tables.enabled");
    n.reduction.narrow = reader.get<bool>("numerics.reduction.narrow");
    n.reduction.tile = static_cast<int>(reader.get<std::int64_t>("numerics.reduction.tile"));
    n.reduction.tile_fraction_bits =
        static_cast<int>(reader.get<std::int64_t>("numerics.reduction.tile_fraction_bits"));
    n.reduction.output = reader.rounding("numerics.reduction.output");
    n.softmax.narrow = reader.get<bool>("numerics.softmax.narrow");
    return n;
}

}  // namespace

Profile parse_profile(std::string_view text, std::string_view source_name) {
    toml::table table;
    try {
        table = toml::parse(text, source_name);
    } catch (const toml::parse_error& error) {
        fail(Code::malformed_file, here, "{}:{}: {}", source_name, error.source().begin.line,
             error.description());
    }
    Profile profile;
    Reader reader(table, source_name, profile.facts);
    profile.chip = reader.get<std::string>("chip");
    profile.family = reader.get<std::string>("family");
    profile.route = reader.get<std::string>("route");
    profile.max_axis = reader.get<std::int64_t>("limits.max_axis");
    profile.max_rank = reader.get<std::int64_t>("limits.max_rank");
    profile.io = reader.dtypes("limits.io");
    profile.compile_budget = reader.get<std::int64_t>("limits.compile_budget");
    profile.numerics = read_numerics(reader);
    reader.expect_all_used();
    return profile;
}

std::span<const Profile> builtin_profiles() {
    static const std::vector<Profile> profiles = [] {
        std::vector<Profile> all;
        for (const auto& text : builtin_profile_texts()) {
            all.push_back(parse_profile(text.toml, text.name));
        }
        return all;
    }();
    return profiles;
}

const Profile& find_profile(std::string_view chip) {
    std::vector<std::string> known;
    for (const Profile& profile : builtin_profiles()) {
        if (profile.chip == chip) {
            return profile;
        }
        known.push_back(profile.chip);
    }
    fail(Code::invalid_argument, here, "no profile for chip '{}'; known: {}", chip,
         fmt::join(known, ", "));
}

}  // namespace pome::device
