#include "cli/bench/benchmarks.h"
#include "cli/bench/workload.h"

namespace pome::cli::bench {

void add_sram(CLI::App& bench) {
    auto options = std::make_shared<ModelOptions>();
    CLI::App* command = bench.add_subcommand(
        "sram", "Throughput of one 1x1 convolution by its working set: weights, then activations");
    options->add_to(*command, true);
    command->footer("Example:\n  pome bench sram --device emulator:m4max+dispatch-macos26");
    command->callback([options] {
        Report report = options->report("sram");
        const auto& time = *options->profile().time;
        report.define("memory of an operand",
                      fmt::format("{:.2f} MB; larger constants stream again for each block of "
                                  "positions (operand_bytes of the profile)",
                                  static_cast<double>(time.operand_bytes) / 1e6));
        report.define("working set",
                      fmt::format("{:.2f} MB; operands and result of a product that exceed it go "
                                  "through memory (working_set_bytes)",
                                  static_cast<double>(time.working_set_bytes) / 1e6));
        std::vector<Workload> list;
        for (const std::int64_t channels :
             {256, 512, 1024, 1536, 2048, 2560, 3072, 3584, 4096, 4608, 5120, 6144}) {
            list.push_back(chain(1, channels, 1, 64, {}));
        }
        list.push_back(chain(1, 8192, 1, 32, {}));
        for (const std::int64_t map : {32, 64, 128, 256}) {
            list.push_back(chain(1, 256, map, map, {}));
        }
        table_of_workloads(report, list, *options);
        report.finish(options->json);
    });
}

}  // namespace pome::cli::bench
