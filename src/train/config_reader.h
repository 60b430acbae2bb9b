#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace pome::train {

/// A TOML text with "section.key=value" overrides on top; a value that is no TOML literal is taken
/// as a string. Throws Error{invalid_argument} with line and column.
toml::table parse_settings(std::string_view text, std::string_view source,
                           const std::vector<std::string>& settings);

/// Throws Error{invalid_argument} at `where` naming the key, unless low <= value <= high.
template <typename T>
void expect_in_range(std::string_view where, std::string_view key, T value,
                     std::type_identity_t<T> low, std::type_identity_t<T> high) {
    if (!(value >= low && value <= high)) {
        fail(Code::invalid_argument, where, "{} is {}, it must be from {} to {}", key, value, low,
             high);
    }
}

/// Takes values out of a TOML table by "section.key", checks their types and remembers what was
/// known. A key that is absent leaves the value as it is. Throws Error{invalid_argument} naming the
/// key.
class ConfigReader {
  public:
    ConfigReader(const toml::table& table, std::string_view source)
        : table_(table), source_(source) {}

    void read(std::string_view key, std::int64_t& value);
    void read(std::string_view key, int& value);
    void read(std::string_view key, std::uint64_t& value);
    void read(std::string_view key, double& value);
    void read(std::string_view key, bool& value);
    void read(std::string_view key, std::string& value);
    void read(std::string_view key, std::optional<bool>& value);
    void read(std::string_view key, std::optional<std::vector<std::string>>& value);

    void expect_all_known() const;

  private:
    const toml::node* find(std::string_view key);
    [[noreturn]] void wrong(std::string_view key, std::string_view wanted) const;

    const toml::table& table_;
    std::string source_;
    std::set<std::string, std::less<>> known_;
};

}  // namespace pome::train
