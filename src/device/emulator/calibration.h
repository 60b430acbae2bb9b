#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/emulator/published_programs.h"

namespace pome::device::emulator {

/// One published measurement that says precisely enough what was timed: a row of measurements.toml.
struct Measurement {
    std::string name;
    std::string device;  ///< a profile: "m4", "m4/e5rt"
    std::string recipe;
    std::vector<std::int64_t> sizes;
    std::vector<std::string> options;
    double milliseconds = 0.0;
    double watts = 0.0;  ///< at the engine's rail; 0: not published
    std::string source;
    std::string note;       ///< what the publication adds: a range, conditions
    std::string explained;  ///< why the model is off by more than two, where it is
    bool step = false;      ///< a training step with its host part, not programs alone
};

/// The rows that are compiled in. Names are unique.
const std::vector<Measurement>& measurements();
/// Reads such a file. Throws Error{malformed_file} naming the row.
std::vector<Measurement> read_measurements(std::string_view toml, std::string_view source);

/// Whether nothing may be fitted on a row: FNV-1a (64 bits) of its name, modulo 5, is below 2.
bool is_held_out(std::string_view name);

/// A row's work, priced.
struct PricedWork {
    struct Program {
        std::string name;
        ProgramCost cost;
        std::int64_t count = 1;
    };
    std::vector<Program> programs;
    HostWork host;
};
PricedWork price(const PublishedWork& work);

/// What the model says about a row.
struct Comparison {
    const Measurement* row = nullptr;
    bool held_out = false;
    Milliseconds engine;
    double host_ms = 0.0;
    double watts = 0.0;
    double milliseconds() const { return engine.total() + host_ms; }
    /// Modelled over measured, less 1.
    double error() const { return milliseconds() / row->milliseconds - 1.0; }
    double watts_error() const { return watts / row->watts - 1.0; }
    /// How many times too long or too short.
    double factor() const;
};

using ProfileLookup = std::function<const Profile&(std::string_view)>;
Comparison compare(const Measurement& row, const PricedWork& work, const Profile& profile);
/// All rows of measurements() against find_profile().
std::vector<Comparison> compare_all();

/// Median of the absolute errors of the rows that `wanted` takes; nullopt when there are none.
std::optional<double> median_error(const std::vector<Comparison>& rows,
                                   const std::function<bool(const Comparison&)>& wanted);

/// The medians that the model is judged by.
struct Accuracy {
    struct Group {
        std::size_t rows = 0;
        double median = 0.0;
    };
    Group held_out_programs, fitted_programs, held_out_steps, fitted_steps;
    Group held_out_watts, fitted_watts;
    std::size_t worse_than_two = 0;
    std::size_t unexplained = 0;  ///< of those
};
Accuracy accuracy(const std::vector<Comparison>& rows);

/// The table as Markdown, one line a row, medians first: what `pome plan --calibration` prints and
/// docs/time-model.md holds.
std::string calibration_text(const std::vector<Comparison>& rows);

}  // namespace pome::device::emulator
