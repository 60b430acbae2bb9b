#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "device/emulator/calibration.h"
#include "mil/text.h"
#include "mil/verifier.h"
#include "train/selection.h"
#include "train/step_plan.h"
#include "train/tiny_regression.h"

namespace pome::cli {
namespace {

using device::Profile;
using device::emulator::Milliseconds;
using device::emulator::Prediction;
using nlohmann::json;

constexpr const char* how_good =
    "modelled, not measured; `pome plan --calibration` says how far off such figures were";

struct PlanCommand {
    std::string file, device;
    std::vector<std::string> settings;
    double host_ms = 0.0, idle_ms = 0.0;
    bool json = false, calibration = false;
};

const Profile& profile_of(const std::string& device) {
    constexpr std::string_view prefix = "emulator:";
    if (!device.starts_with(prefix)) {
        fail(Code::unsupported, "cli.plan",
             "device '{}' has no time model; plan for a chip: --device emulator:CHIP, see `pome "
             "devices`",
             device);
    }
    return device::find_profile(std::string_view(device).substr(prefix.size()));
}

json milliseconds(const Milliseconds& time) {
    return {{"total", time.total()},      {"wake", time.wake},
            {"dispatch", time.dispatch},  {"compute", time.compute},
            {"weights", time.weights},    {"activations", time.activations},
            {"bound", name(time.bound())}};
}

/// A program of a step and what the model says about it.
struct Stage {
    std::string name;
    std::int64_t evaluations = 0;
    double flops = 0.0, weight_bytes = 0.0, surface_bytes = 0.0;
    Prediction one;  ///< evaluation
    double milliseconds() const { return one.time.total() * static_cast<double>(evaluations); }
    double joules() const { return one.joules * static_cast<double>(evaluations); }
};

struct StepModel {
    std::vector<Stage> stages;
    double host_ms = 0.0;
    bool host_given = false;
    std::int64_t tokens = 0;  ///< 0: the step has no tokens
    double engine_ms = 0.0, engine_joules = 0.0, watts = 0.0;
    std::string pipeline;  ///< and why, for people
    std::int64_t compiles_once = 0, compiles_step = 0;
    double compile_once_ms = 0.0, compile_step_ms = 0.0;
    double step_ms() const { return engine_ms + host_ms; }
    double tokens_per_second() const { return static_cast<double>(tokens) / step_ms() * 1e3; }
};

Stage price(const std::string& name, const mil::Function& function, std::int64_t evaluations,
            const Profile& profile) {
    const auto cost = device::emulator::program_cost(function);
    return {.name = name,
            .evaluations = evaluations,
            .flops = cost.flops(),
            .weight_bytes = cost.weight_bytes(),
            .surface_bytes = cost.input_bytes + cost.output_bytes,
            .one = device::emulator::predict(cost, profile)};
}

void finish(StepModel& step, const device::emulator::HostWork& host, double compiled_bytes,
            const PlanCommand& options, const Profile& profile) {
    step.host_given = options.host_ms > 0.0;
    step.host_ms =
        step.host_given ? options.host_ms : device::emulator::predict_host(host, profile);
    for (const auto& stage : step.stages) {
        step.engine_ms += stage.milliseconds();
        step.engine_joules += stage.joules();
    }
    // While the host works the engine idles.
    step.engine_joules += profile.energy->idle_watts * step.host_ms / 1e3;
    step.watts = step.engine_joules / step.step_ms() * 1e3;
    step.compile_once_ms = profile.time->compile_ms * static_cast<double>(step.compiles_once);
    step.compile_step_ms = profile.time->compile_ms * static_cast<double>(step.compiles_step) +
                           profile.time->compile_ms_per_mb * compiled_bytes / 1e6;
}

void print_step(const StepModel& step, const Profile& profile) {
    fmt::print("model of emulator:{} ({}, route {}): {}\n", profile.name, profile.family,
               profile.route, how_good);
    if (!step.pipeline.empty()) {
        fmt::print("{}\n", step.pipeline);
    }
    fmt::print("{:<24} {:>6} {:>10} {:>10} {:>10} {:>7} {:>10} {:>10}\n", "program", "times",
               "bound", "ms each", "ms", "share", "mJ", "GFLOP");
    for (const auto& stage : step.stages) {
        fmt::print("{:<24} {:>6} {:>10} {:>10.4f} {:>10.3f} {:>6.1f}% {:>10.3f} {:>10.3f}\n",
                   stage.name, stage.evaluations, name(stage.one.time.bound()),
                   stage.one.time.total(), stage.milliseconds(),
                   100.0 * stage.milliseconds() / step.step_ms(), 1e3 * stage.joules(),
                   1e-9 * stage.flops * static_cast<double>(stage.evaluations));
    }
    fmt::print("{:<24} {:>6} {:>10} {:>10} {:>10.3f} {:>6.1f}%\n",
               step.host_given ? "host (given)" : "host (modelled)", "", "", "", step.host_ms,
               100.0 * step.host_ms / step.step_ms());
    fmt::print("step {:.3f} ms: engine {:.3f}, host {:.3f}\n", step.step_ms(), step.engine_ms,
               step.host_ms);
    fmt::print("engine {:.2f} mJ a step, {:.2f} W on average; the host's energy is not modelled\n",
               1e3 * step.engine_joules, step.watts);
    if (step.tokens > 0) {
        fmt::print("{} tokens a step, {:.0f} tokens/s, {:.3f} mJ a token\n", step.tokens,
                   step.tokens_per_second(),
                   1e3 * step.engine_joules / static_cast<double>(step.tokens));
    }
    if (step.compiles_once > 0) {
        fmt::print("compiles {} programs once, about {:.0f} ms\n", step.compiles_once,
                   step.compile_once_ms);
    }
    if (step.compiles_step > 0) {
        fmt::print(
            "compiles {} programs for every step, about {:.0f} ms, beside the step where it does "
            "not have to wait for them\n",
            step.compiles_step, step.compile_step_ms);
    }
}

void print_step_json(const StepModel& step, const Profile& profile) {
    json programs = json::array();
    for (const auto& stage : step.stages) {
        programs.push_back({{"name", stage.name},
                            {"evaluations", stage.evaluations},
                            {"bound", name(stage.one.time.bound())},
                            {"ms_each", milliseconds(stage.one.time)},
                            {"ms", stage.milliseconds()},
                            {"share", stage.milliseconds() / step.step_ms()},
                            {"joules", stage.joules()},
                            {"flops", stage.flops},
                            {"weight_bytes", stage.weight_bytes},
                            {"surface_bytes", stage.surface_bytes}});
    }
    json record{{"model", true},
                {"device", "emulator:" + profile.name},
                {"programs", programs},
                {"host", {{"ms", step.host_ms}, {"source", step.host_given ? "given" : "model"}}},
                {"ms_per_step", step.step_ms()},
                {"engine_ms", step.engine_ms},
                {"engine_joules", step.engine_joules},
                {"engine_watts", step.watts},
                {"pipeline", step.pipeline},
                {"compiles", {{"once", step.compiles_once}, {"each_step", step.compiles_step}}},
                {"compile_ms_once", step.compile_once_ms},
                {"compile_ms_each_step", step.compile_step_ms}};
    if (step.tokens > 0) {
        record["tokens"] = step.tokens;
        record["tokens_per_second"] = step.tokens_per_second();
    }
    fmt::print("{}\n", record.dump());
}

/// The two-layer run, as its original makes it: four programs compiled anew every ten steps.
StepModel tiny_step(const train::TinyConfig& config, const PlanCommand& options,
                    const Profile& profile) {
    StepModel step;
    const auto work = device::emulator::published_work(
        "tiny", {config.width, config.hidden, config.positions}, {});
    for (const auto& program : work.programs) {
        step.stages.push_back(price(program.name, program.function, program.count, profile));
    }
    step.compiles_once = 4;
    finish(step, work.host, 0.0, options, profile);
    return step;
}

StepModel model_step(train::Config config, const PlanCommand& options, const Profile& profile) {
    StepModel step;
    // Which pipeline the chip can run is found out as `pome train` does it.
    ThreadPool pool(1);
    DeviceOptions named;
    named.device = "emulator:" + profile.name;
    const auto device = open_device(named, pool);
    const auto choice = train::resolve(config, *device);
    step.pipeline = fmt::format("{} pipeline: {}", choice.pipeline, choice.reason);
    const auto plan = train::step_plan(config, profile.limits.max_channels);
    for (const auto& program : plan.programs) {
        step.stages.push_back(price(program.name, program.function, program.evaluations, profile));
    }
    step.tokens = plan.tokens;
    step.compiles_once = plan.compiles_once;
    step.compiles_step = plan.compiles_update;
    finish(step, {plan.host_flops, plan.host_bytes}, plan.compiled_bytes, options, profile);
    return step;
}

void plan_step(const PlanCommand& options, const std::string& text) {
    const auto chosen = [&](const std::string& config) -> const Profile& {
        return profile_of(options.device.empty() ? config : options.device);
    };
    const auto print = [&](const StepModel& step, const Profile& profile) {
        options.json ? print_step_json(step, profile) : print_step(step, profile);
    };
    if (train::is_tiny_config(text)) {
        const auto config = train::parse_tiny_config(text, options.file, options.settings);
        const Profile& profile = chosen(config.device);
        print(tiny_step(config, options, profile), profile);
        return;
    }
    const auto config =
        train::parse_config(text, options.file, options.settings, std::filesystem::current_path());
    const Profile& profile = chosen(config.engine.device);
    print(model_step(config, options, profile), profile);
}

void plan_program(const PlanCommand& options, const std::string& text) {
    const auto program = mil::read(text, options.file);
    mil::verify(program);
    const mil::Function* function = program.find_function("main");
    if (function == nullptr) {
        fail(Code::malformed_program, "cli.plan", "{}: there is no function 'main'", options.file);
    }
    const Profile& profile = profile_of(options.device.empty() ? "emulator:m4" : options.device);
    const auto cost = device::emulator::program_cost(*function);
    const auto whole = device::emulator::predict(cost, profile, {options.idle_ms});
    if (options.json) {
        json operations = json::array();
        for (std::size_t i = 0; i < cost.operations.size(); ++i) {
            const auto& operation = cost.operations[i];
            operations.push_back({{"op", operation.op},
                                  {"result", operation.result},
                                  {"line", operation.line},
                                  {"work", name(operation.work)},
                                  {"fused", operation.fused},
                                  {"flops", operation.flops},
                                  {"weight_bytes", operation.weight_bytes},
                                  {"ms", whole.operations[i].time.total()}});
        }
        fmt::print("{}\n", json{{"model", true},
                                {"device", "emulator:" + profile.name},
                                {"ms", milliseconds(whole.time)},
                                {"joules", whole.joules},
                                {"watts", whole.watts()},
                                {"flops", cost.flops()},
                                {"weight_bytes", cost.weight_bytes()},
                                {"operations", operations}}
                               .dump());
        return;
    }
    fmt::print("model of emulator:{} ({}, route {}): {}\n", profile.name, profile.family,
               profile.route, how_good);
    fmt::print("{:>5} {:<24} {:<20} {:<12} {:>10} {:>10} {:>10}\n", "line", "op", "result", "work",
               "MFLOP", "weights KB", "us");
    for (std::size_t i = 0; i < cost.operations.size(); ++i) {
        const auto& operation = cost.operations[i];
        if (operation.op != "const") {
            fmt::print("{:>5} {:<24} {:<20} {:<12} {:>10.3f} {:>10.1f} {:>10.2f}\n", operation.line,
                       operation.op, operation.result,
                       operation.fused ? "fused" : name(operation.work), operation.flops / 1e6,
                       operation.weight_bytes / 1e3, 1e3 * whole.operations[i].time.total());
        }
    }
    const Milliseconds& time = whole.time;
    fmt::print(
        "{:.4f} ms, bound by {}: wake {:.4f}, dispatch {:.4f}, compute {:.4f}, weights {:.4f}, "
        "activations {:.4f}\n{:.4f} mJ, {:.2f} W; {:.3f} MFLOP, {:.1f} KB of weights, {:.1f} KB "
        "through surfaces\n",
        time.total(), name(time.bound()), time.wake, time.dispatch, time.compute, time.weights,
        time.activations, 1e3 * whole.joules, whole.watts(), cost.flops() / 1e6,
        cost.weight_bytes() / 1e3, (cost.input_bytes + cost.output_bytes) / 1e3);
}

void print_calibration(bool as_json) {
    const auto rows = device::emulator::compare_all();
    if (!as_json) {
        fmt::print("{}", device::emulator::calibration_text(rows));
        return;
    }
    json list = json::array();
    for (const auto& row : rows) {
        json record{{"name", row.row->name},
                    {"kind", row.row->step ? "step" : "program"},
                    {"device", "emulator:" + row.row->device},
                    {"held_out", row.held_out},
                    {"measured_ms", row.row->milliseconds},
                    {"model_ms", row.milliseconds()},
                    {"model_engine", milliseconds(row.engine)},
                    {"model_host_ms", row.host_ms},
                    {"error", row.error()},
                    {"source", row.row->source},
                    {"note", row.row->note},
                    {"explained", row.row->explained}};
        if (row.row->watts > 0.0) {
            record["measured_watts"] = row.row->watts;
            record["model_watts"] = row.watts;
        }
        list.push_back(std::move(record));
    }
    const auto found = device::emulator::accuracy(rows);
    const auto group = [](const device::emulator::Accuracy::Group& g) {
        return json{{"rows", g.rows}, {"median_error", g.median}};
    };
    fmt::print("{}\n", json{{"held_out_programs", group(found.held_out_programs)},
                            {"fitted_programs", group(found.fitted_programs)},
                            {"held_out_steps", group(found.held_out_steps)},
                            {"fitted_steps", group(found.fitted_steps)},
                            {"held_out_watts", group(found.held_out_watts)},
                            {"fitted_watts", group(found.fitted_watts)},
                            {"worse_than_two", found.worse_than_two},
                            {"unexplained", found.unexplained},
                            {"rows", list}}
                           .dump());
}

void plan(const PlanCommand& options) {
    if (options.calibration) {
        print_calibration(options.json);
        return;
    }
    if (options.file.empty()) {
        fail(Code::invalid_argument, "cli.plan",
             "give a config (CONFIG.toml), a program (FILE.mil) or --calibration");
    }
    const std::string text = read_text(options.file);
    options.file.ends_with(".mil") ? plan_program(options, text) : plan_step(options, text);
}

}  // namespace

void add_plan(CLI::App& app) {
    auto options = std::make_shared<PlanCommand>();
    CLI::App* command = app.add_subcommand(
        "plan", "Model the time and energy of a training step or a program on a chip");
    command
        ->add_option("file", options->file,
                     "what `pome train` takes (one update is modelled), or a MIL program")
        ->check(CLI::ExistingFile);
    command->add_option("--device", options->device,
                        "emulator:CHIP[/ROUTE]; else the config's, emulator:m4 for a program");
    command->add_option("--set", options->settings,
                        "section.key=value, over the file's; may be repeated");
    command
        ->add_option("--host-ms", options->host_ms,
                     "the host's milliseconds a step, measured; else modelled")
        ->check(CLI::PositiveNumber);
    command
        ->add_option("--idle-ms", options->idle_ms,
                     "of a program: how long the engine was idle before it")
        ->check(CLI::NonNegativeNumber);
    command->add_flag("--calibration", options->calibration,
                      "compare the model with every published measurement instead");
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "Examples:\n  pome plan configs/demo.toml --device emulator:m5max\n"
        "  pome plan examples/double.mil --device emulator:m1/e5rt --idle-ms 6000\n"
        "  pome plan --calibration\n"
        "Every figure is modelled; docs/time-model.md says how and how well.");
    command->callback([options] { plan(*options); });
}

}  // namespace pome::cli
