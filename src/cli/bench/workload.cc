#include "cli/bench/workload.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "cli/bench/timing.h"

namespace pome::cli::bench {

using device::Profile;
using device::emulator::Measurement;

Workload chain(std::int64_t depth, std::int64_t channels, std::int64_t height, std::int64_t width,
               std::vector<std::string> options) {
    const std::string map =
        height == 1 ? fmt::format("{} positions", width) : fmt::format("{}x{}", height, width);
    return {.name = depth == 1 ? fmt::format("{} channels, {}", channels, map)
                               : fmt::format("{} x {}, {}", depth, channels, map),
            .recipe = "conv",
            .sizes = {1, channels, channels, height, width, 1, depth},
            .options = std::move(options)};
}

Modelled model(const Workload& workload, const Profile& profile) {
    const auto priced = device::emulator::price(
        device::emulator::published_work(workload.recipe, workload.sizes, workload.options));
    Modelled sum;
    for (const auto& program : priced.programs) {
        const auto one = device::emulator::predict(program.cost, profile);
        const auto count = static_cast<double>(program.count);
        for (std::int64_t i = 0; i < program.count; ++i) {
            sum.engine += one.time;
        }
        sum.flops += program.cost.flops() * count;
        sum.weight_bytes += program.cost.weight_bytes() * count;
        sum.surface_bytes += (program.cost.input_bytes + program.cost.output_bytes) * count;
        sum.joules += one.joules * count;
    }
    sum.host_ms = device::emulator::predict_host(priced.host, profile);
    return sum;
}

namespace {

/// Chip, route and alternatives, whichever way the profile was named.
std::string full_name(const Profile& profile) {
    const auto plus = profile.name.find('+');
    return profile.chip + "/" + profile.route +
           (plus == std::string::npos ? "" : profile.name.substr(plus));
}

}  // namespace

std::vector<const Measurement*> published(const Workload& workload, const Profile& profile) {
    std::vector<const Measurement*> found;
    for (const auto& row : device::emulator::measurements()) {
        if (row.recipe == workload.recipe && row.sizes == workload.sizes &&
            row.options == workload.options &&
            full_name(device::find_profile(row.device)) == full_name(profile)) {
            found.push_back(&row);
        }
    }
    return found;
}

double peak_tflops(const Profile& profile, bool int8) {
    return profile.time->pointwise_tflops * (int8 ? profile.time->int8_pointwise_gain : 1.0);
}

void ModelOptions::add_to(CLI::App& command, bool runs) {
    command
        .add_option(
            "--device", device,
            "emulator:CHIP[/ROUTE][+ALTERNATIVE], whose time model speaks; see `pome devices`")
        ->capture_default_str();
    command.add_option("--json", json, "also write the figures to this file");
    if (runs) {
        command.add_flag("--emulate", emulate,
                         "also run each program on the emulator and time that, on this machine");
        command.add_option("--threads", threads, "of --emulate; 0 takes all processors")
            ->capture_default_str()
            ->check(CLI::Range(0, 4096));
    }
}

const Profile& ModelOptions::profile() const {
    if (!device.starts_with("emulator:")) {
        fail(Code::unsupported, "cli.bench",
             "--device '{}' has no time model; name a chip: --device emulator:CHIP, see `pome "
             "devices`",
             device);
    }
    const Profile& found = find_device_profile(device);
    if (!found.time || !found.energy) {
        fail(Code::unsupported, "cli.bench", "--device '{}': its profile says nothing of time",
             device);
    }
    return found;
}

std::string origin(const Profile& profile) {
    return fmt::format("model of {} ({}, route {}), not measured", profile.chip, profile.family,
                       profile.route);
}

Report ModelOptions::report(const std::string& task) const {
    Report report(task, device, origin(profile()));
    report.define("FLOP", "of products alone, a multiplication and an addition counted apart");
    report.define("model", "docs/time-model.md; one evaluation in a steady loop");
    return report;
}

void table_of_workloads(Report& report, const std::vector<Workload>& workloads,
                        const ModelOptions& options) {
    const Profile& profile = options.profile();
    const double peak = peak_tflops(profile);
    report.define("peak", fmt::format("{:.2f} TFLOPS of fp16 1x1 convolutions: pointwise_tflops of "
                                      "the profile, `pome devices --device {} --verbose`",
                                      peak, options.device));
    report.define("weights", "constants as stored, equal ones once");
    report.define("model/published", "milliseconds; 1 is agreement");
    if (options.emulate) {
        report.define("emulation ms",
                      "wall time on this machine, exact numerics: nothing of a chip");
    }
    report.field("peak_tflops", peak);
    report.columns({{"name", "program"},
                    {"gflop", "GFLOP"},
                    {"weights_mb", "weights MB"},
                    {"surfaces_mb", "surfaces MB"},
                    {"model_ms", "model ms"},
                    {"bound", "bound"},
                    {"model_tflops", "TFLOPS"},
                    {"model_share", "% peak"},
                    {"model_weight_gbs", "weights GB/s"},
                    {"model_mj", "mJ"},
                    {"published_ms", "published ms"},
                    {"published_tflops", "TFLOPS"},
                    {"published_share", "% peak"},
                    {"ratio", "model/published"},
                    {"emulation_ms", "emulation ms"},
                    {"source", "published by"}});
    std::unique_ptr<ThreadPool> pool;
    std::unique_ptr<device::Device> emulator;
    if (options.emulate) {
        pool = std::make_unique<ThreadPool>(options.threads);
        DeviceOptions named;
        named.device = options.device;
        emulator = open_device(named, *pool);
    }
    for (const auto& workload : workloads) {
        const Modelled found = model(workload, profile);
        const double ms = found.ms();
        const Cell emulated = emulator ? Cell(evaluation_ms(workload, *emulator)) : Cell();
        auto rows = published(workload, profile);
        if (rows.empty()) {
            rows.push_back(nullptr);  // the figure is unknown, the row is not
        }
        for (const Measurement* row : rows) {
            std::vector<Cell> cells{workload.name,
                                    found.flops / 1e9,
                                    found.weight_bytes / 1e6,
                                    found.surface_bytes / 1e6,
                                    ms,
                                    std::string(name(found.engine.bound())),
                                    found.tflops(),
                                    report.share(found.tflops(), peak),
                                    found.weight_bytes / ms / 1e6,
                                    found.joules * 1e3,
                                    {},
                                    {},
                                    {},
                                    {},
                                    emulated,
                                    {}};
            if (row != nullptr) {
                const double rate = found.flops / row->milliseconds / 1e9;
                cells[10] = row->milliseconds;
                cells[11] = rate;
                cells[12] = report.share(rate, peak);
                cells[13] = ms / row->milliseconds;
                cells[15] = row->source;
            }
            report.row(std::move(cells));
        }
    }
}

namespace {

/// Weight files for the constants of a function: random, so small that a chain keeps its size.
mil::WeightFiles random_weights(const mil::Function& function, Random& random) {
    mil::WeightFiles files;
    for (const auto& operation : function.operations) {
        const mil::Literal* value = operation.find_attribute("val");
        const auto* blob = value != nullptr ? std::get_if<mil::Blob>(&value->payload) : nullptr;
        if (blob == nullptr || files.files().contains(blob->path)) {
            continue;
        }
        const Shape& shape = value->type.shape;
        if (value->type.dtype != DType::fp16 || blob->offset != 64) {
            fail(Code::unsupported, "cli.bench",
                 "constant '{}' of {} is not one fp16 tensor a file", blob->path,
                 value->type.text());
        }
        std::vector<double> values(static_cast<std::size_t>(shape.elements()));
        const double deviation =
            1.0 / std::sqrt(static_cast<double>(shape.elements()) / static_cast<double>(shape[0]));
        for (double& element : values) {
            element = deviation * random.normal();
        }
        files.store(blob->path, DType::fp16, shape, values);
    }
    return files;
}

}  // namespace

double evaluation_ms(const Workload& workload, device::Device& device) {
    auto work = device::emulator::published_work(workload.recipe, workload.sizes, workload.options);
    if (work.programs.size() != 1) {
        fail(Code::unsupported, "cli.bench", "'{}' is {} programs; one can be timed", workload.name,
             work.programs.size());
    }
    Random random(1);
    mil::Function& function = work.programs.front().function;
    auto files = random_weights(function, random);
    const auto executable = device.compile(
        {device::program_for(std::move(function), device.profile()), std::move(files)});
    std::map<std::string, device::Surface> surfaces;
    device::Bindings bound;
    for (const auto& input : executable->inputs()) {
        device::Surface& surface = surfaces.try_emplace(input.name, input.type).first->second;
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            surface.halves()[i] = to_fp16(random.normal(), Rounding::nearest_even);
        }
        bound.inputs[input.name] = &surface;
    }
    for (const auto& output : executable->outputs()) {
        bound.outputs[output.name] = &surfaces.try_emplace(output.name, output.type).first->second;
    }
    executable->evaluate(bound);  // warm-up, and the result that is judged
    for (const auto& [name, surface] : bound.outputs) {
        bool finite = true, zero = true;
        for (std::int64_t i = 0; i < surface->elements(); ++i) {
            const float y = to_float(surface->halves()[i]);
            finite = finite && std::isfinite(y);
            zero = zero && y == 0.0F;
        }
        if (!finite || zero) {
            fail(Code::evaluation_failed, "cli.bench",
                 "'{}' on {}: output '{}' is {}; what would be timed is wrong", workload.name,
                 device.name(), name, finite ? "all zero" : "not finite");
        }
    }
    return median_ms([&] { executable->evaluate(bound); });
}

}  // namespace pome::cli::bench
