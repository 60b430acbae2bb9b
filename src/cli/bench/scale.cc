// How time and memory of a training step grow with each size of the model, and whether the work
// grows as much.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#ifdef __APPLE__
#include <malloc/malloc.h>
#elif defined(__GLIBC__)
#include <malloc.h>
#endif

#include "cli/bench/benchmarks.h"
#include "cli/bench/report.h"
#include "cli/bench/timing.h"
#include "cli/bench/training.h"
#include "cli/bench/training_step.h"
#include "cli/commands.h"

namespace pome::cli::bench {
namespace {

struct ScaleOptions {
    std::string json, only;
    int steps = 7;
    DeviceOptions device;
};

/// A step's sizes.
struct Sizes {
    model::ModelConfig config;
    std::int64_t sequence = 256, batch = 1;
};

struct Axis {
    std::string name;
    std::vector<std::int64_t> values;  ///< each twice the one before
    std::function<void(Sizes& sizes, std::int64_t value)> set;
};

/// A model that runs in a fraction of a second and whose work is more than its overhead.
Sizes base() {
    Sizes sizes;
    sizes.config.width = 256;
    sizes.config.hidden = 768;
    sizes.config.layers = 4;
    sizes.config.heads = sizes.config.kv_heads = 4;
    sizes.config.vocabulary = 8192;
    sizes.config.sequence = 2048;
    return sizes;
}

std::vector<Axis> axes() {
    return {{"layers", {2, 4, 8, 16}, [](Sizes& s, std::int64_t v) { s.config.layers = v; }},
            {"width",
             {256, 512, 1024},
             [](Sizes& s, std::int64_t v) {  // heads of 64, a hidden layer three times as wide
                 s.config.width = v;
                 s.config.hidden = 3 * v;
                 s.config.heads = s.config.kv_heads = v / 64;
             }},
            {"sequence", {128, 256, 512, 1024}, [](Sizes& s, std::int64_t v) { s.sequence = v; }},
            {"vocabulary",
             {4096, 8192, 16384, 32768},
             [](Sizes& s, std::int64_t v) { s.config.vocabulary = v; }},
            {"batch", {1, 2, 4, 8}, [](Sizes& s, std::int64_t v) { s.batch = v; }}};
}

/// Bytes of this process that are allocated now; 0 where the system does not say.
double allocated_bytes() {
#ifdef __APPLE__
    malloc_statistics_t all{};
    malloc_zone_statistics(nullptr, &all);
    return static_cast<double>(all.size_in_use);
#elif defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    const auto all = mallinfo2();
    return static_cast<double>(all.uordblks) + static_cast<double>(all.hblkhd);
#else
    return 0.0;
#endif
}

/// FLOP of products, and bytes of everything else, each array once in and once out.
struct Work {
    double flops = 0.0, bytes = 0.0;
};

Work work_of(const Sizes& sizes) {
    train::Config config;
    config.model = sizes.config;
    config.data.directory = "none";  // nothing is read: the step is counted
    config.run.sequence = sizes.sequence;
    config.run.batch = sizes.batch;
    config.engine.pipeline = "dynamic";
    const auto plan = train::step_plan(config);
    Work work{plan.host_flops, plan.host_bytes};
    for (const auto& program : plan.programs) {
        const auto cost = device::emulator::program_cost(program.function);
        double bytes = cost.input_bytes + cost.output_bytes;
        for (const auto& operation : cost.operations) {
            using device::emulator::Work;
            if (operation.work == Work::elementwise || operation.work == Work::reduction ||
                operation.work == Work::movement) {
                bytes += operation.read_bytes + operation.written_bytes;
            }
        }
        work.flops += static_cast<double>(program.evaluations) * cost.flops();
        work.bytes += static_cast<double>(program.evaluations) * bytes;
    }
    return work;
}

/// Steps of one size by so many threads.
class Point {
  public:
    Point(const Sizes& sizes, const ScaleOptions& options, int threads)
        : work_(work_of(sizes)), pool_(threads) {
        const double before = allocated_bytes();
        const auto architecture = model::architecture(sizes.config);
        DeviceOptions device_options = options.device;
        device_options.threads = threads;
        device_ = open_device(device_options, pool_);
        Random random(1);
        train::ParameterSet weights(architecture);
        weights.initialize(random);
        step_ = std::make_unique<TrainingStep>(architecture, *device_, pool_, sizes.sequence,
                                               TrainingStep::Options{}, std::move(weights));
        tokens_ = random_tokens(sizes.batch, sizes.sequence, sizes.config.vocabulary, random);
        first_loss_ = step_->run(tokens_).loss;  // touches memory for the first time: not counted
        memory_ = allocated_bytes() - before;
    }

    void run() {
        const StepFigures figures = step_->run(tokens_);
        times_.push_back(figures.ms);
        last_loss_ = figures.loss;
    }
    void check() const {
        if (!(last_loss_ < first_loss_)) {
            fail(Code::diverged, "cli.bench",
                 "the loss did not fall ({} to {}): what was timed is wrong", first_loss_,
                 last_loss_);
        }
    }

    const Work& work() const { return work_; }
    double memory() const { return memory_; }
    double ms() const { return median(times_); }
    /// How many times as long as the other's the steps of the same rounds took, the median: what
    /// slows the machine for a while slows both.
    double growth_from(const Point& other) const {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < times_.size(); ++i) {
            ratios.push_back(times_[i] / other.times_[i]);
        }
        return median(ratios);
    }

  private:
    Work work_;
    ThreadPool pool_;
    std::unique_ptr<device::Device> device_;
    std::unique_ptr<TrainingStep> step_;
    std::vector<std::int32_t> tokens_;
    std::vector<double> times_;
    double first_loss_ = 0.0, last_loss_ = 0.0, memory_ = 0.0;
};

/// Whether the system says what is allocated.
bool is_known(const Point& point) {
    return point.memory() > 0.0;
}

Cell megabytes(const Point& point) {
    return is_known(point) ? Cell{point.memory() / 1e6} : Cell{};
}

Cell growth_of_memory(const Point& before, const Point& point) {
    return is_known(before) ? Cell{point.memory() / before.memory()} : Cell{};
}

void run(const ScaleOptions& options) {
    ThreadPool all_threads(options.device.threads);
    std::vector<int> thread_counts{1};
    if (all_threads.threads() > 1) {
        thread_counts.push_back(all_threads.threads());
    }
    Report report("scale", options.device.device,
                  fmt::format("measured on this machine: wall time of training, {} numerics",
                              options.device.numerics));
    report.define("step",
                  fmt::format("dynamic pipeline, one size at a time; the others are 4 layers "
                              "of width 256 (768 hidden, heads of 64), vocabulary 8192, 1 x "
                              "256 tokens; medians of {} rounds",
                              options.steps));
    report.define("memory",
                  "bytes allocated for weights, gradients, moments, activations, programs");
    report.define("work", "growth of FLOP of products or of bytes of everything else, the larger");
    report.define("time x", "of a step against the size before in the same round, the median");
    report.define("time / work", "above 1: time grew faster than the work");
    report.columns({{"axis", "axis"},
                    {"value", "value"},
                    {"threads", "threads"},
                    {"ms", "ms"},
                    {"memory_mb", "memory MB"},
                    {"time_growth", "time x"},
                    {"memory_growth", "memory x"},
                    {"flop_growth", "FLOP x"},
                    {"byte_growth", "bytes x"},
                    {"ratio", "time / work"}});
    const auto all = axes();
    if (std::none_of(all.begin(), all.end(), [&](const Axis& axis) {
            return axis.name.find(options.only) != std::string::npos;
        })) {
        fail(
            Code::invalid_argument, "cli.bench",
            "no size has '{}' in its name: there are layers, width, sequence, vocabulary and batch",
            options.only);
    }
    double worst = 0.0;
    std::string worst_place;
    for (const Axis& axis : all) {
        if (axis.name.find(options.only) == std::string::npos) {
            continue;
        }
        for (const int threads : thread_counts) {
            std::vector<std::unique_ptr<Point>> points;
            for (const std::int64_t value : axis.values) {
                Sizes sizes = base();
                axis.set(sizes, value);
                points.push_back(std::make_unique<Point>(sizes, options, threads));
            }
            for (int round = 0; round < options.steps; ++round) {
                for (const auto& point : points) {
                    point->run();
                }
            }
            double growth = 1.0;
            for (std::size_t i = 0; i < points.size(); ++i) {
                const Point& point = *points[i];
                point.check();
                std::vector<Cell> row{axis.name, static_cast<double>(axis.values[i]),
                                      static_cast<double>(threads), point.ms(), megabytes(point)};
                if (i == 0) {
                    row.resize(10);
                    report.row(std::move(row));
                    continue;
                }
                const Point& before = *points[i - 1];
                const double time = point.growth_from(before),
                             flops = point.work().flops / before.work().flops,
                             bytes = point.work().bytes / before.work().bytes,
                             ratio = time / std::max(flops, bytes);
                growth *= time;
                if (ratio > worst) {
                    worst = ratio;
                    worst_place =
                        fmt::format("{} {}, {} threads", axis.name, axis.values[i], threads);
                }
                for (const Cell& cell : {Cell{time}, growth_of_memory(before, point), Cell{flops},
                                         Cell{bytes}, Cell{ratio}}) {
                    row.push_back(cell);
                }
                report.row(std::move(row));
            }
            const double span =
                static_cast<double>(axis.values.back()) / static_cast<double>(axis.values.front());
            std::string note = fmt::format("{}, {} threads: time ~ {}^{:.2f}", axis.name, threads,
                                           axis.name, std::log(growth) / std::log(span));
            if (is_known(*points.front())) {
                const double memory = points.back()->memory() / points.front()->memory();
                note += fmt::format(", memory ~ {}^{:.2f}", axis.name,
                                    std::log(memory) / std::log(span));
            }
            report.note(std::move(note));
        }
    }
    report.note(fmt::format("largest time / work {:.2f}: {}", worst, worst_place));
    report.field("steps", options.steps);
    report.field("numerics", options.device.numerics);
    report.field("worst_ratio", worst);
    report.finish(options.json);
}

}  // namespace

void add_scale(CLI::App& bench) {
    auto options = std::make_shared<ScaleOptions>();
    CLI::App* command = bench.add_subcommand(
        "scale",
        "How a step's time and memory grow with layers, width, sequence, vocabulary, batch");
    command->add_option("--only", options->only, "axes whose name contains this");
    command->add_option("--steps", options->steps, "rounds: a step of every size of an axis each")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    command->add_option("--json", options->json, "also write the figures to this file");
    options->device.add_to(*command);
    command->footer("Example:\n  pome bench scale --only sequence");
    command->callback([options] { run(*options); });
}

}  // namespace pome::cli::bench
