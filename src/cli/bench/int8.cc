#include "cli/bench/benchmarks.h"
#include "cli/bench/workload.h"

namespace pome::cli::bench {
namespace {

struct Pair {
    Workload fp16, int8;
};

std::vector<Pair> pairs() {
    std::vector<Pair> list;
    const auto add = [&](std::int64_t depth, std::int64_t channels, std::int64_t map,
                         const std::vector<std::string>& options) {
        list.push_back({chain(depth, channels, map, map, options),
                        chain(depth, channels, map, map, {"int8"})});
    };
    add(128, 512, 64, {"shared"});
    add(64, 512, 64, {"shared"});
    add(48, 1024, 64, {});
    for (const std::int64_t depth : {1, 4, 8, 16, 32}) {
        add(depth, 512, 32, {});
    }
    return list;
}

/// The first published time, milliseconds, or nothing.
Cell published_ms(const Workload& workload, const device::Profile& profile) {
    const auto rows = published(workload, profile);
    return rows.empty() ? Cell() : Cell(rows.front()->milliseconds);
}

void run(const ModelOptions& options) {
    const device::Profile& profile = options.profile();
    Report report = options.report("int8");
    const double fp16_peak = peak_tflops(profile), int8_peak = peak_tflops(profile, true);
    report.define("W8A8",
                  "weights int8 with a scale a channel, activations int8 between layers; OP "
                  "counted as FLOP");
    report.define("peak", fmt::format("fp16 {:.2f} TFLOPS, pointwise_tflops of the profile; W8A8 "
                                      "{:.2f} TOPS, times int8_pointwise_gain",
                                      fp16_peak, int8_peak));
    report.define("speed-up", "milliseconds in fp16 over milliseconds in W8A8");
    report.field("peak_tflops", fp16_peak);
    report.field("peak_int8_tops", int8_peak);
    report.columns({{"name", "program"},
                    {"fp16_ms", "fp16 ms"},
                    {"fp16_tflops", "TFLOPS"},
                    {"fp16_share", "% peak"},
                    {"int8_ms", "W8A8 ms"},
                    {"int8_tops", "TOPS"},
                    {"int8_share", "% peak"},
                    {"speedup", "speed-up"},
                    {"fp16_mj", "fp16 mJ"},
                    {"int8_mj", "W8A8 mJ"},
                    {"published_fp16_ms", "published fp16 ms"},
                    {"published_int8_ms", "W8A8 ms"},
                    {"published_speedup", "speed-up"},
                    {"ratio", "model/published speed-up"},
                    {"source", "published by"}});
    for (const auto& [fp16, int8] : pairs()) {
        const Modelled one = model(fp16, profile), two = model(int8, profile);
        const double speedup = one.ms() / two.ms();
        std::vector<Cell> cells{fp16.name,
                                one.ms(),
                                one.tflops(),
                                report.share(one.tflops(), fp16_peak),
                                two.ms(),
                                two.tflops(),
                                report.share(two.tflops(), int8_peak),
                                speedup,
                                one.joules * 1e3,
                                two.joules * 1e3,
                                published_ms(fp16, profile),
                                published_ms(int8, profile),
                                {},
                                {},
                                {}};
        const auto *before = std::get_if<double>(&cells[10]),
                   *after = std::get_if<double>(&cells[11]);
        if (before != nullptr && after != nullptr) {
            cells[12] = *before / *after;
            cells[13] = speedup / (*before / *after);
        }
        if (after != nullptr) {
            cells[14] = published(int8, profile).front()->source;
        }
        report.row(std::move(cells));
    }
    report.finish(options.json);
}

}  // namespace

void add_int8(CLI::App& bench) {
    auto options = std::make_shared<ModelOptions>();
    CLI::App* command = bench.add_subcommand(
        "int8", "Chains with weights and activations in int8 against the same in fp16");
    options->add_to(*command);
    command->footer("Example:\n  pome bench int8 --device emulator:m4");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
