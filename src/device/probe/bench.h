#pragma once

#include <optional>

#include "device/probe/probe.h"

namespace pome::device::probe {

/// The fp16 row that every known route takes: 32 elements fill 64 bytes.
inline constexpr std::int64_t row = 32;

/// What a trial is made of.
struct Program {
    std::vector<TextInput> inputs;
    std::string body;  ///< MIL statements that define y
    std::vector<TextConstant> constants = {};
    std::size_t output_allocation = 0;
};

/// What probes work with: trials, and the report that they add to.
class Bench {
  public:
    Bench(Runner& runner, Report& report) : runner_(runner), report_(report) {}

    /// The dialect of the programs from now on.
    void set_dialect(mil::Dialect dialect) { dialect_ = dialect; }
    mil::Dialect dialect() const { return dialect_; }

    mil::Package package(const Program& program) const;
    Outcome evaluate(const Program& program);
    /// The same for a package that was changed, of the program's inputs.
    Outcome evaluate(const mil::Package& package, const Program& program);
    Outcome compile(const Program& program);
    bool compiles(const Program& program) {
        return compile(program).status == Outcome::Status::done;
    }
    /// Evaluates one after the other in one process.
    std::vector<Outcome> evaluate_together(const std::vector<Program>& programs);
    Runner& runner() { return runner_; }

    void found(std::string key, Value value, std::string seen) {
        report_.settings.push_back({std::move(key), std::move(value), std::move(seen)});
    }
    void observed(std::string key, std::string text) {
        report_.observations.push_back({std::move(key), std::move(text)});
    }
    void open(std::string key, std::string reason) {
        report_.open.push_back({std::move(key), std::move(reason)});
    }
    /// A value that an earlier probe found; nullptr or `otherwise` where it did not.
    const Value* find(std::string_view key) const { return report_.find(key); }
    bool flag(std::string_view key, bool otherwise) const;
    std::int64_t integer(std::string_view key, std::int64_t otherwise) const;

  private:
    Runner& runner_;
    Report& report_;
    mil::Dialect dialect_ = mil::Dialect::canonical;
};

/// The usual input: x, fp16 [1, 1, rows, columns].
TextInput plane(std::int64_t rows, std::int64_t columns, std::vector<double> values = {});
/// values[i] = from + i * step.
std::vector<double> ramp(std::int64_t count, double from, double step);
/// What the device said, or that values were wrong.
std::string words(const Outcome& outcome);
bool is_done(const Outcome& outcome);
bool all_zero(const std::vector<double>& values);
/// "works", or what else a profile calls this outcome: refused, failed, zeros. Empty for values
/// that are wrong otherwise, and for trials that were stopped.
std::string reaction(const Outcome& outcome, const std::vector<double>& expected);

/// The largest n of [accepted, refused) that `accepts`, given that it accepts `accepted` and not
/// `refused`; asks around the guesses first.
std::int64_t largest(std::int64_t accepted, std::int64_t refused,
                     const std::vector<std::int64_t>& guesses,
                     const std::function<bool(std::int64_t)>& accepts);

// The probes, one file a subject.
void probe_dialect(Bench& bench);          // language.cc
void probe_products(Bench& bench);         // products.cc
void probe_convolutions(Bench& bench);     // arithmetic.cc
void probe_slices(Bench& bench);           // arithmetic.cc
void probe_elementwise(Bench& bench);      // arithmetic.cc
void probe_tables(Bench& bench);           // arithmetic.cc
void probe_softmax(Bench& bench);          // arithmetic.cc
void probe_reductions(Bench& bench);       // reductions.cc
void probe_operations(Bench& bench);       // language.cc
void probe_integer_weights(Bench& bench);  // weights.cc
void probe_sizes(Bench& bench);            // sizes.cc
void probe_layer_norm(Bench& bench);       // sizes.cc
void probe_surfaces(Bench& bench);         // surfaces.cc
void probe_silent_failures(Bench& bench);  // failures.cc
void probe_weight_files(Bench& bench);     // weights.cc
void probe_poison(Bench& bench);           // failures.cc
void probe_budget(Bench& bench);           // budget.cc

}  // namespace pome::device::probe
