#include "cli/bench/benchmarks.h"
#include "cli/bench/workload.h"

namespace pome::cli::bench {
namespace {

/// The chains of maderix/ANE's inmem_peak and of its study of larger maps.
std::vector<Workload> chains() {
    std::vector<Workload> list;
    for (const std::int64_t depth : {32, 48, 64, 96, 128}) {
        list.push_back(chain(depth, 512, 1, 64));
    }
    for (const std::int64_t depth : {64, 128, 256}) {
        list.push_back(chain(depth, 256, 1, 64));
    }
    for (const std::int64_t depth : {64, 128}) {
        list.push_back(chain(depth, 384, 1, 64));
    }
    for (const std::int64_t depth : {1, 4, 8, 16, 32}) {
        list.push_back(chain(depth, 512, 32, 32, {}));
    }
    for (const std::int64_t depth : {64, 128}) {
        list.push_back(chain(depth, 512, 64, 64));
    }
    list.push_back(chain(48, 1024, 64, 64, {}));
    return list;
}

}  // namespace

void add_peak(CLI::App& bench) {
    auto options = std::make_shared<ModelOptions>();
    CLI::App* command = bench.add_subcommand(
        "peak", "Chained 1x1 convolutions: how near the chip comes to its peak");
    options->add_to(*command, true);
    command->footer("Example:\n  pome bench peak --device emulator:m4max --json peak.json");
    command->callback([options] {
        Report report = options->report("peak");
        table_of_workloads(report, chains(), *options);
        report.finish(options->json);
    });
}

}  // namespace pome::cli::bench
