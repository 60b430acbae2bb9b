#include "device/probe/probe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

struct Step {
    Probe probe;
    void (*run)(Bench& bench);
};

/// In the order in which they run; what a probe asks of the report stands above it.
constexpr Step steps[] = {
    {{"dialect", "terse or canonical text", Risk::harmless}, probe_dialect},
    {{"products", "the accumulator of matmul, conv and linear", Risk::harmless}, probe_products},
    {{"convolutions", "Winograd along the width, one channel's bypass", Risk::harmless},
     probe_convolutions},
    {{"elementwise", "rounding of ties, NaN and infinity", Risk::harmless}, probe_elementwise},
    {{"tables", "functions by table or exactly", Risk::harmless}, probe_tables},
    {{"softmax", "fp16 between its stages", Risk::harmless}, probe_softmax},
    {{"reductions", "tiles of reduce_sum and their bits", Risk::harmless}, probe_reductions},
    {{"slices", "the gain of a slice inside the width", Risk::harmless}, probe_slices},
    {{"operations", "ops and forms of ops that compile", Risk::refusals}, probe_operations},
    {{"integer weights", "8-bit weights multiplied as they are", Risk::refusals},
     probe_integer_weights},
    {{"sizes", "ranks, axes, kernels and windows", Risk::refusals}, probe_sizes},
    {{"layer_norm", "gamma and beta of wide layer_norms", Risk::failures}, probe_layer_norm},
    {{"surfaces", "rows, sizes and order of inputs and outputs", Risk::failures}, probe_surfaces},
    {{"silent failures", "what gives zeros, or ignores an operand", Risk::failures},
     probe_silent_failures},
    {{"weight files", "what is checked of a record", Risk::risky}, probe_weight_files},
    {{"poison", "whether tile spoils its process", Risk::risky}, probe_poison},
};

}  // namespace

std::string text_of(const Value& value) {
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

std::string_view name(Risk risk) {
    switch (risk) {
        case Risk::harmless:
            return "harmless";
        case Risk::refusals:
            return "refusals";
        case Risk::failures:
            return "failures";
        case Risk::risky:
            return "risky";
    }
    return "";
}

const Value* Report::find(std::string_view key) const {
    const auto found = std::find_if(settings.begin(), settings.end(),
                                    [&](const Setting& setting) { return setting.key == key; });
    return found == settings.end() ? nullptr : &found->value;
}

std::vector<Probe> probes() {
    std::vector<Probe> all;
    for (const Step& step : steps) {
        all.push_back(step.probe);
    }
    all.push_back({"budget", "programs that a process compiles and holds", Risk::risky});
    return all;
}

Report run_probes(Runner& runner, const Options& options) {
    Report report;
    Bench bench(runner, report);
    const auto announce = [&](const Probe& probe) {
        if (options.progress) {
            options.progress(probe);
        }
    };
    for (const Step& step : steps) {
        if (step.probe.risk <= options.risk) {
            announce(step.probe);
            step.run(bench);
        }
    }
    if (options.budget) {
        announce(probes().back());
        probe_budget(bench);
    }
    return report;
}

}  // namespace pome::device::probe
