#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "device/profile.h"

namespace pome::device {

/// The values of a profile's files by key, each with its evidence and source, and which of them
/// were read.
class Facts {
  public:
    using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;
    struct Entry {
        Value value;
        std::string evidence;
        std::string source;
        bool used = false;
    };

    /// Adds the values of one file's text over those that are there. Returns the plain strings at
    /// its top ("inherit", "inherited_evidence", "route"). Throws Error{malformed_file}.
    std::map<std::string, std::string> add(std::string_view text, std::string_view file);
    /// Adds all of `over`'s values over those that are there.
    void overlay(const Facts& over);
    /// Gives every value so far this evidence: what holds for another chip is assumed for this one.
    void weaken(const std::string& evidence);

    bool flag(const std::string& key);
    std::int64_t integer(const std::string& key, std::int64_t least, std::int64_t most);
    double number(const std::string& key, double least, double most);
    std::string text(const std::string& key);
    std::vector<DType> dtypes(const std::string& key);
    std::vector<std::int64_t> integers(const std::string& key);  ///< written as texts
    Rounding rounding(const std::string& key);
    Reaction reaction(const std::string& key);
    /// Puts the values below "routes.ROUTE." over the others, without that prefix, and drops those
    /// of other routes. Returns the routes that were named.
    std::vector<std::string> choose_route(const std::string& route);
    bool has(const std::string& key) const { return entries_.contains(key); }

    /// Throws Error{malformed_file} for the first key that nothing read.
    void expect_all_used() const;
    std::vector<Fact> list() const;

  private:
    Entry& find(const std::string& key);
    [[noreturn]] void wrong_type(const std::string& key, std::string_view wanted) const;

    std::string name_;  ///< the files so far, for errors
    std::map<std::string, Entry> entries_;
};

}  // namespace pome::device
