#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "device/probe/trial.h"

namespace pome::device::probe {

/// A value of a profile, as its files write it.
using Value = std::variant<bool, std::int64_t, std::string, std::vector<std::string>>;
/// As Fact::value spells it: "true", "16", "nearest_away", "2048 3072".
std::string text_of(const Value& value);

/// A value of a profile (profiles/*.toml) that trials showed.
struct Setting {
    std::string key;  ///< "numerics.multiply_accumulate.fraction_bits"
    Value value;
    std::string seen;  ///< what showed it
};

/// Something that trials showed and no profile has a value for, or a value that they left open.
struct Remark {
    std::string key;
    std::string text;
};

/// What probes found out about a device.
struct Report {
    std::vector<Setting> settings;
    std::vector<Remark> observations;
    std::vector<Remark> open;  ///< values that could not be told, each with the reason
    std::int64_t trials = 0;

    const Value* find(std::string_view key) const;
};

/// How far probes go. Each level includes those above it.
enum class Risk : std::uint8_t {
    harmless,  ///< well-formed programs of kinds that every trainer compiles
    refusals,  ///< programs that may not compile: a real compiler's service restarts after each
    failures,  ///< programs whose evaluation may fail or give silently wrong values
    risky,     ///< malformed weight files, and what may poison its process
};
std::string_view name(Risk risk);

/// A group of probes, in the order in which they run.
struct Probe {
    std::string_view name;
    std::string_view finds;  ///< for documents and `pome probe --list`
    Risk risk;
};
std::vector<Probe> probes();

struct Options {
    Risk risk = Risk::failures;  ///< probes beyond it do not run; their values stay unknown
    bool budget = false;         ///< uses up the compile budget of processes of the runner
    /// Called before each group of probes.
    std::function<void(const Probe&)> progress;
};

/// Runs probes through `runner`, from harmless to risky. What a device answers decides what is
/// asked next; nothing else is known of it. Throws what the runner throws for programs that are no
/// MIL, and Error{unsupported} when not even the simplest program runs.
Report run_probes(Runner& runner, const Options& options);

}  // namespace pome::device::probe
