#include "cli/bench/benchmarks.h"
#include "cli/bench/workload.h"

namespace pome::cli::bench {
namespace {

/// Programs that somebody compiled and timed: published, not measured by this project.
struct Compiled {
    const char* name;
    const char* chip;        ///< "" where none was timed
    double programs, bytes;  ///< bytes: constants of all programs
    double least, most;      ///< milliseconds for all, published
    const char* source;
};

constexpr double layer = 7077888.0 * 2.0;  ///< fp16 weights of one layer of Stories110M

// Sixty static programs: forward and backward of attention and feed-forward with weights, five a
// layer; the backward ones hold the same weights again. The sixth of a layer has no constants and
// is compiled once (maderix/ANE train_large.m).
const Compiled table[] = {
    {"1x1 convolution, 256 channels", "m5", 1, 256.0 * 256.0 * 2.0, 11.0, 14.0,
     "compile, load, evaluate times (M5, macOS 26.3)"},
    {"convolution, 64 channels", "m5", 1, 64.0 * 64.0 * 2.0, 33.3, 33.3,
     "compile, load, unload, reload times (M5, macOS 26.3)"},
    {"1x1 convolution, 128 channels", "m4", 1, 128.0 * 128.0 * 2.0, 23.0, 29.0,
     "20 models compiled in a row (M4)"},
    {"20 x 1x1 convolution, 128 channels", "m4", 20, 20.0 * 128.0 * 128.0 * 2.0, 460.0, 580.0,
     "20 models compiled in a row, 23-29 ms each (M4)"},
    {"add of two [1,256,1,64]", "m4max", 1, 0.0, 17.1, 17.1, "Orion (M4 Max, macOS 15)"},
    {"60 programs of a static step of Stories110M", "m4", 60, 24.0 * layer, 3500.0, 3900.0,
     "maderix/ANE (M4)"},
    {"60 programs of a static step of Stories110M", "m3ultra", 60, 24.0 * layer, 3680.0, 3860.0,
     "maderix/ANE pull request 28 (M3 Ultra)"},
    {"9 programs of a dynamic step of Stories110M", "m3ultra", 9, 0.0, 353.0, 353.0,
     "maderix/ANE pull request 28 (M3 Ultra)"},
    {"10 programs of a dynamic step of Stories110M", "m4", 10, 0.0, 345.0, 353.0,
     "maderix/ANE (M4)"},
};

void run(const ModelOptions& options) {
    const device::Profile& profile = options.profile();
    const auto& time = *profile.time;
    Report report = options.report("compile");
    report.define("model ms", fmt::format("programs * {:.1f} ms + {:.2f} ms a MB of constants "
                                          "(compile_ms, compile_ms_per_mb of the profile)",
                                          time.compile_ms, time.compile_ms_per_mb));
    report.define("published ms", "the middle of the published range, of this chip only");
    report.columns({{"name", "programs"},
                    {"programs", "number"},
                    {"weights_mb", "constants MB"},
                    {"model_ms", "model ms"},
                    {"published_ms", "published ms"},
                    {"ratio", "model/published"},
                    {"source", "published by"}});
    for (const Compiled& entry : table) {
        const bool ours = entry.chip == profile.chip;
        const auto twice = [&](const Compiled& other) {
            return &other != &entry && std::string_view(other.name) == entry.name &&
                   (other.chip == profile.chip || (!ours && &other < &entry));
        };
        if (!ours && std::any_of(std::begin(table), std::end(table), twice)) {
            continue;  // the same programs stand in another row
        }
        const double ms =
            entry.programs * time.compile_ms + entry.bytes / 1e6 * time.compile_ms_per_mb;
        const double middle = (entry.least + entry.most) / 2.0;
        report.row({std::string(entry.name), entry.programs, entry.bytes / 1e6, ms,
                    ours ? Cell(middle) : Cell(), ours ? Cell(ms / middle) : Cell(),
                    ours ? Cell(std::string(entry.source)) : Cell()});
    }
    report.finish(options.json);
}

}  // namespace

void add_compile(CLI::App& bench) {
    auto options = std::make_shared<ModelOptions>();
    CLI::App* command =
        bench.add_subcommand("compile", "What compiling and loading programs costs on a chip");
    options->add_to(*command);
    command->footer("Example:\n  pome bench compile --device emulator:m4");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
