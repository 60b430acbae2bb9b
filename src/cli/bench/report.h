#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

namespace pome::cli::bench {

/// What stands in a table: nothing where a figure is unknown.
using Cell = std::variant<std::monostate, std::string, double>;

struct Column {
    std::string key;    ///< in JSON: "model_ms"
    std::string title;  ///< above the table: "model ms"
};

/// What every benchmark leaves behind: a table for people, the same rows as JSON for programs. Both
/// say where the figures come from and what each word means; the JSON also names machine, commit
/// and libraries.
class Report {
  public:
    /// `origin` says what kind of figures these are: "model of M4 Max, not measured".
    Report(std::string task, std::string device, std::string origin);

    /// What a word of the table means: "FLOP", "peak".
    void define(std::string word, std::string meaning);
    void columns(std::vector<Column> columns) { columns_ = std::move(columns); }
    /// One cell a column.
    void row(std::vector<Cell> cells);
    /// A line below the table.
    void note(std::string text) { notes_.push_back(std::move(text)); }
    /// Another field of the JSON.
    void field(const std::string& key, nlohmann::json value) { fields_[key] = std::move(value); }

    /// `rate` as a share of `peak` in percent. More than the peak is no result: the cell then says
    /// so in place of a number, and so does a note below the table.
    Cell share(double rate, double peak);

    /// Prints the table; writes the JSON where `path` is not empty.
    void finish(const std::string& path) const;

  private:
    std::string text() const;
    nlohmann::json record() const;

    std::string task_, device_, origin_;
    std::vector<std::pair<std::string, std::string>> definitions_;
    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
    std::vector<std::string> notes_;
    nlohmann::json fields_ = nlohmann::json::object();
};

/// Processor, its number, system and compiler of this machine.
nlohmann::json machine();
/// Versions of what the figures depend on.
nlohmann::json libraries();

}  // namespace pome::cli::bench
