// Fits the time model's constants to the published rows that are not held out, by coordinate
// descent on the mean absolute logarithm of modelled over measured. Prints one line a constant,
// "FILE KEY VALUE", for scripts/fit_time_model.py, which writes them into profiles/.

#include <fmt/core.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "device/emulator/calibration.h"

namespace pome::device::emulator {
namespace {

/// A constant that is fitted: where its value stands, where the search starts and how far it may
/// go.
struct Parameter {
    std::string key;
    std::string file;                ///< "m4", "routes/in-memory", "alternatives/never-off"
    std::vector<std::string> chips;  ///< that it holds for; empty: all that inherit the file
    double start, least, most;
    double TimeFacts::*time = nullptr;
    double EnergyFacts::*energy = nullptr;
    std::int64_t TimeFacts::*whole = nullptr;
};

struct Row {
    const Measurement* measurement;
    PricedWork work;
    Profile* profile;
};

using Chips = std::vector<std::string>;

const Chips m1{"m1", "m1pro", "m1max", "m1ultra"}, m2{"m2", "m2pro", "m2max", "m2ultra"};
const Chips m3{"m3", "m3pro", "m3max", "m3ultra"}, m4{"m4", "m4pro", "m4max"};
const Chips m5{"m5", "m5pro", "m5max"}, m6{"m6"}, all{};

/// A value and the chips that share it.
struct Owner {
    std::string file;
    double start;
    Chips chips;
};

// Starts are the published estimates (docs/time-model.md); limits what is physically possible.
std::vector<Parameter> time_parameters() {
    using T = TimeFacts;
    std::vector<Parameter> list;
    const auto add = [&](const char* key, double T::*field, double least, double most,
                         const std::vector<Owner>& owners) {
        for (const auto& [file, start, chips] : owners) {
            list.push_back({key, file, chips, start, least, most, field});
        }
    };
    add("dispatch_us", &T::dispatch_us, 1.0, 1000.0,
        {{"m1", 180.0, {"m1", "m1pro", "m1ultra"}},
         {"m1max", 180.0, {"m1max"}},
         {"m2", 90.0, m2},
         {"m3", 180.0, {"m3", "m3pro", "m3max"}},
         {"m3ultra", 230.0, {"m3ultra"}},
         {"m4", 95.0, {"m4", "m4pro"}},
         {"alternatives/dispatch-macos26", 150.0, all},
         {"m5", 65.0, {"m5", "m5max"}},
         {"m5pro", 74.0, {"m5pro"}},
         {"m6", 200.0, m6}});
    add("pointwise_tflops", &T::pointwise_tflops, 1.0, 40.0,
        {{"m1", 8.0, m1},
         {"m2", 12.0, m2},
         {"m3", 17.0, m3},
         {"m4", 18.0, m4},
         {"m5", 19.0, m5},
         {"m6", 19.0, m6}});
    add("convolution_tflops", &T::convolution_tflops, 1.0, 25.0,
        {{"m1", 9.0, m1}, {"m2", 15.0, m2}, {"m4", 16.0, m4}, {"m5", 19.0, m5}, {"m6", 20.0, m6}});
    // no faster than by a constant
    add("matmul_tflops", &T::matmul_tflops, 1.0, 19.0,
        {{"m1", 8.0, m1}, {"m3", 10.0, m3}, {"m4", 12.0, m4}, {"m5", 12.0, m5}});
    for (const auto& [file, start, chips] : std::vector<Owner>{{"m1", 256.0, m1},
                                                               {"m2", 128.0, m2},
                                                               {"m4", 128.0, m4},
                                                               {"m5", 64.0, m5},
                                                               {"m6", 64.0, m6}}) {
        list.push_back({"full_rate_channels", file, chips, start, 1.0, 512.0, nullptr, nullptr,
                        &T::full_rate_channels});
    }
    add("elementwise_gbs", &T::elementwise_gbs, 1.0, 300.0,
        {{"m1", 15.0, m1}, {"m3", 30.0, m3}, {"m4", 30.0, m4}, {"m5", 40.0, m5}});
    add("pass_us", &T::pass_us, 0.01, 20.0,
        {{"m1", 2.0, m1}, {"m3", 1.0, m3}, {"m4", 1.0, m4}, {"m5", 1.0, m5}});
    add("boundary_gbs", &T::boundary_gbs, 1.0, 200.0,
        {{"m1", 12.0, {"m1"}},
         {"m1max", 9.0, {"m1max", "m1pro", "m1ultra"}},
         {"m2", 8.5, m2},
         {"m3", 8.5, m3},
         {"m4", 9.0, {"m4", "m4pro"}},
         {"m4max", 12.0, {"m4max"}},
         {"m5", 20.0, {"m5"}},
         {"m5pro", 24.0, {"m5pro", "m5max"}},
         {"m6", 25.0, m6}});
    add("boundary_factor", &T::boundary_factor, 0.2, 20.0, {{"routes/in-memory", 2.5, all}});
    add("layer_us", &T::layer_us, 0.001, 2.0, {{"engine", 0.1, all}});
    add("slow_channels_factor", &T::slow_channels_factor, 0.05, 1.0, {{"engine", 0.3, all}});
    // an array of fp16 multipliers split in two
    add("int8_pointwise_gain", &T::int8_pointwise_gain, 1.0, 2.0,
        {{"m4", 1.88, m4}, {"m5", 1.85, m5}, {"m6", 1.5, m6}});
    // a processor cluster does not outrun its memory
    add("host_gbs", &T::host_gbs, 2.0, 100.0, {{"engine", 30.0, all}});
    return list;
}

std::vector<Parameter> energy_parameters() {
    using E = EnergyFacts;
    std::vector<Parameter> list;
    const auto add = [&](const char* key, double E::*field, double least, double most,
                         const std::vector<Owner>& owners) {
        for (const auto& [file, start, chips] : owners) {
            list.push_back({key, file, chips, start, least, most, nullptr, field});
        }
    };
    add("floor_watts", &E::floor_watts, 0.3, 2.0,
        {{"m1", 0.8, m1}, {"m2", 0.8, m2}, {"m4", 0.8, m4}, {"m5", 0.62, m5}});
    add("pj_per_flop", &E::pj_per_flop, 0.05, 2.0,
        {{"m1", 0.33, m1}, {"m2", 0.33, m2}, {"m4", 0.33, m4}, {"m5", 0.33, m5}});
    add("pj_per_byte", &E::pj_per_byte, 5.0, 400.0,
        {{"m1", 90.0, m1}, {"m2", 90.0, m2}, {"m4", 90.0, m4}, {"m5", 90.0, m5}});
    add("pj_per_int8_operation", &E::pj_per_int8_operation, 0.05, 2.0, {{"m4", 0.3, m4}});
    return list;
}

/// The fit's state: profiles that may be changed, and the rows that judge them.
class Fit {
  public:
    Fit() {
        for (const auto& measurement : measurements()) {
            if (is_held_out(measurement.name)) {
                continue;
            }
            auto& profile = profiles_[measurement.device];
            if (!profile) {
                profile = std::make_unique<Profile>(find_profile(measurement.device));
            }
            rows_.push_back(
                {&measurement,
                 price(published_work(measurement.recipe, measurement.sizes, measurement.options)),
                 profile.get()});
        }
    }

    void run(std::vector<Parameter> parameters, bool watts) {
        std::vector<double> values, starts;
        for (const auto& parameter : parameters) {
            values.push_back(parameter.start);
            starts.push_back(parameter.start);
            set(parameter, parameter.start);
        }
        double best = loss(watts) + pull(values, starts);
        for (double step : {1.5, 1.25, 1.12, 1.06, 1.03, 1.015}) {
            for (int round = 0; round < 12; ++round) {
                const double before = best;
                for (std::size_t i = 0; i < parameters.size(); ++i) {
                    for (const double factor : {step, 1.0 / step}) {
                        const double kept = values[i];
                        values[i] =
                            std::clamp(kept * factor, parameters[i].least, parameters[i].most);
                        set(parameters[i], values[i]);
                        const double found = loss(watts) + pull(values, starts);
                        if (found < best) {
                            best = found;
                        } else {
                            values[i] = kept;
                            set(parameters[i], kept);
                        }
                    }
                }
                if (before - best < 1e-6) {
                    break;
                }
            }
        }
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            fmt::print("{} {} {:.4g}\n", parameters[i].file, parameters[i].key,
                       parameters[i].whole != nullptr ? std::round(values[i]) : values[i]);
        }
        fmt::print(stderr, "{} loss {:.4f}\n", watts ? "watts" : "time", best);
    }

  private:
    bool holds(const Parameter& parameter, const Profile& profile) const {
        constexpr std::string_view routes = "routes/", alternatives = "alternatives/";
        if (parameter.file.starts_with(routes)) {
            return parameter.file.substr(routes.size()) == profile.route;
        }
        if (parameter.file.starts_with(alternatives)) {
            return profile.name.find("+" + parameter.file.substr(alternatives.size())) !=
                   std::string::npos;
        }
        return parameter.chips.empty() || std::find(parameter.chips.begin(), parameter.chips.end(),
                                                    profile.chip) != parameter.chips.end();
    }
    void set(const Parameter& parameter, double value) {
        for (auto& [name, profile] : profiles_) {
            if (!holds(parameter, *profile)) {
                continue;
            }
            if (parameter.energy != nullptr) {
                (*profile->energy).*parameter.energy = value;
            } else if (parameter.whole != nullptr) {
                (*profile->time).*parameter.whole = static_cast<std::int64_t>(std::lround(value));
            } else {
                (*profile->time).*parameter.time = value;
            }
        }
    }
    /// Programs and steps weigh alike; a row that is off by more than e counts as e: outliers do
    /// not bend the rest.
    double loss(bool watts) const {
        double sums[2] = {}, counts[2] = {};
        for (const auto& row : rows_) {
            if (watts && row.measurement->watts == 0.0) {
                continue;
            }
            const Comparison found = compare(*row.measurement, row.work, *row.profile);
            const double error = watts ? found.watts_error() : found.error();
            const int group = row.measurement->step ? 1 : 0;
            sums[group] += std::min(1.0, std::abs(std::log1p(error)));
            counts[group] += 1.0;
        }
        return sums[0] / counts[0] + (counts[1] > 0.0 ? 0.5 * sums[1] / counts[1] : 0.0);
    }
    /// A weak pull to where the search started: rows must speak for a change.
    static double pull(const std::vector<double>& values, const std::vector<double>& starts) {
        double sum = 0.0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double distance = std::log(values[i] / starts[i]);
            sum += distance * distance;
        }
        return 1e-3 * sum;
    }

    std::map<std::string, std::unique_ptr<Profile>> profiles_;
    std::vector<Row> rows_;
};

}  // namespace
}  // namespace pome::device::emulator

int main() {
    try {
        pome::device::emulator::Fit fit;
        fit.run(pome::device::emulator::time_parameters(), false);
        fit.run(pome::device::emulator::energy_parameters(), true);
    } catch (const pome::Error& error) {
        fmt::print(stderr, "{}\n", error.text());
        return 1;
    }
    return 0;
}
