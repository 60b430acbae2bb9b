#include "cli/bench/benchmarks.h"
#include "cli/bench/workload.h"

namespace pome::cli::bench {

void add_dispatch(CLI::App& bench) {
    auto options = std::make_shared<ModelOptions>();
    CLI::App* command = bench.add_subcommand(
        "dispatch", "Latency of one small program by its size: what an evaluation costs at least");
    options->add_to(*command, true);
    command->footer(
        "Example:\n  pome bench dispatch --device emulator:m4max+dispatch-macos26 --emulate");
    command->callback([options] {
        Report report = options->report("dispatch");
        const auto& time = *options->profile().time;
        report.define("floor",
                      fmt::format("{:.4f} ms, dispatch_us of the profile: an evaluation of "
                                  "a program that does nothing",
                                  time.dispatch_us / 1e3));
        report.field("floor_ms", time.dispatch_us / 1e3);
        std::vector<Workload> list;
        for (const std::int64_t channels : {32, 64, 128, 256, 512, 1024, 1536, 2048}) {
            list.push_back(chain(1, channels, 1, 64, {}));
        }
        table_of_workloads(report, list, *options);
        report.note(fmt::format(
            "after a pause the first evaluation waits longer: {:.2f} ms after {:.0f} ms, {:.0f} ms "
            "after {:.0f} ms",
            time.wake_ms, time.wake_gap_ms, time.off_ms, time.off_gap_ms));
        report.finish(options->json);
    });
}

}  // namespace pome::cli::bench
