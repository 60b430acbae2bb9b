#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/crash_point.h"
#include "base/file.h"
#include "cli/process.h"
#include "cli/train_command.h"
#include "formats/tokenizer.h"
#include "train/digits.h"
#include "train/generate.h"
#include "train/tiny_regression.h"
#include "train/trainer.h"

namespace pome::cli {
namespace {

// A signal handler can reach nothing else: the trainer looks at it between updates.
std::atomic<bool> stop_requested{false};

void request_stop(int) {
    stop_requested = true;
}

void print_report(const train::Report& line, bool json) {
    for (const train::HealthWarning& warning : line.warnings) {
        fmt::print(stderr, "warning, by step {}: {}: {}\n", line.step, warning.kind,
                   warning.message);
    }
    if (json) {
        fmt::print("{}\n", line.json().dump());
    } else {
        fmt::print(
            "step {:6}  train {:.4f}  val {:.4f}  lr {:.2e}  grad {:.3f}  {:.1f} ms/step (device "
            "{:.1f}, host {:.1f}, io {:.1f}{})  "
            "{:.0f} tokens/s  scale {:.0f}{}\n",
            line.step, line.train_loss, line.validation_loss, line.learning_rate,
            line.gradient_norm, line.milliseconds, line.device_ms, line.host_ms, line.io_ms,
            line.wait_ms >= 0.05 ? fmt::format(", compile {:.1f}", line.wait_ms) : "",
            line.tokens_per_second, line.loss_scale,
            line.skipped > 0 ? fmt::format("  skipped {}", line.skipped) : "");
    }
    std::fflush(stdout);
}

/// What each extra spared the host and cost the device and the transfers, a sequence.
void print_extras(const std::vector<train::ExtraReport>& extras) {
    if (extras.empty()) {
        return;
    }
    fmt::print(stderr, "{:<14}{:>6}{:>10}{:>12}{:>8}{:>10}   ms a sequence\n", "extra", "runs",
               "host", "device", "io", "gain");
    for (const auto& extra : extras) {
        fmt::print(stderr, "{:<14}{:>6}{:>10.2f}{:>12.2f}{:>8.2f}{:>10.2f}\n", extra.name,
                   extra.runs, extra.host_ms, extra.device_ms, extra.io_ms,
                   extra.host_ms - extra.device_ms - extra.io_ms);
    }
}

void print_sample(const train::Trainer& trainer, device::Device& device, ThreadPool& pool) {
    const auto& config = trainer.config();
    const auto tokenizer =
        formats::Tokenizer::read(std::filesystem::path(config.data.directory) / "tokenizer.bin");
    const train::ParameterSet weights = trainer.weights();
    train::Generator generator(trainer.architecture(), weights, device, pool,
                               train::stage_form(config.engine, 0));
    train::GenerateOptions options;
    options.tokens = config.run.sample_tokens;
    options.temperature = 0.8;
    options.seed = config.run.seed;
    std::int32_t previous = formats::Tokenizer::bos;
    fmt::print("sample: ");
    generator.run({formats::Tokenizer::bos}, options, [&](std::int32_t token) {
        fmt::print("{}", tokenizer.decode(previous, token));
        previous = token;
    });
    fmt::print("\n");
}

int train_digits(const TrainOptions& options, const std::string& text) {
    const auto config = train::parse_digits_config(text, options.config, options.settings);
    ThreadPool pool(config.threads);
    const auto device = open_device(config.device, config.numerics, options, pool);
    train::run_digits(config, *device, pool, [&](const train::DigitsReport& line) {
        if (options.json) {
            fmt::print("{}\n", nlohmann::json{{"step", line.step},
                                              {"loss", line.loss},
                                              {"accuracy", line.accuracy},
                                              {"loss_scale", line.loss_scale},
                                              {"skipped", line.skipped},
                                              {"device_ms", line.times.device},
                                              {"host_ms", line.times.host},
                                              {"io_ms", line.times.io},
                                              {"compiles", line.compiles}}
                                   .dump());
        } else {
            fmt::print(
                "step {:5}  loss {:.4f}  accuracy {:.4f}  device {:.1f} ms, host {:.1f}, io "
                "{:.1f}  scale {:.0f}{}\n",
                line.step, line.loss, line.accuracy, line.times.device, line.times.host,
                line.times.io, line.loss_scale,
                line.skipped > 0 ? fmt::format("  skipped {}", line.skipped) : "");
        }
        std::fflush(stdout);
    });
    report_engine(*device);
    return exit_done;
}

int train(const TrainOptions& options) {
    const bool resumes = !options.resume.empty();
    if (resumes == !options.config.empty()) {
        fail(Code::invalid_argument, "cli.train",
             "give either CONFIG.toml with --run DIR or --resume DIR");
    }
    if (resumes && !options.settings.empty()) {
        fail(Code::invalid_argument, "cli.train",
             "--set cannot change a run that is resumed: it goes on exactly as it began");
    }
    if (resumes) {
        crash_point("train.resume");
    }
    const auto source = resumes ? std::filesystem::path(options.resume) / "config.toml"
                                : std::filesystem::path(options.config);
    if (std::filesystem::exists(source)) {
        const std::string text = read_text(source);
        if (train::is_tiny_config(text)) {
            return train_tiny(options, text);
        }
        if (!resumes && train::is_digits_config(text)) {
            return train_digits(options, text);
        }
    }
    if (!resumes && options.run.empty()) {
        fail(Code::invalid_argument, "cli.train",
             "--run DIR is missing: where should the run be kept?");
    }
    const train::Config config =
        resumes ? train::run_config(options.resume)
                : train::parse_config(read_text(options.config), options.config, options.settings,
                                      std::filesystem::current_path());
    ThreadPool pool(config.engine.threads);
    const auto device = open_device(config.engine.device, config.engine.numerics, options, pool,
                                    config.health.count_vanished);
    auto trainer = resumes ? train::Trainer::resume(options.resume, *device, pool)
                           : train::Trainer::create(config, options.run, *device, pool);
    if (!options.json) {
        const auto& model = config.model;
        fmt::print("dim={} hidden={} heads={} seq={} vocab={} layers={}\n", model.width,
                   model.hidden, model.heads, config.run.sequence, model.vocabulary, model.layers);
        fmt::print("{:.2f} M parameters on {} ({}), {} training tokens, {} threads{}\n",
                   static_cast<double>(trainer->architecture().parameter_count()) / 1e6,
                   device->name(), config.engine.numerics, trainer->training_tokens(),
                   pool.threads(),
                   resumes ? fmt::format(", resumed at step {}", trainer->step()) : "");
        const auto& resolved = trainer->config();
        fmt::print(
            "{} pipeline: {}; {} sequences an update{}{}\n", trainer->choice().pipeline,
            trainer->choice().reason, resolved.run.batch,
            resolved.engine.extras->empty()
                ? ""
                : fmt::format("; on the engine too: {}", fmt::join(*resolved.engine.extras, ", ")),
            *resolved.engine.overlap ? "; weight gradients beside the engine" : "");
        if (!resumes) {
            if (!config.weights.empty()) {
                fmt::print("weights of {}\n", config.weights);
            }
            fmt::print("val {:.4f} before the first step\n", trainer->validate().loss);
        }
        std::fflush(stdout);
    }
    if (!options.trace.empty()) {
        trainer->trace(options.trace, options.trace_updates);
    }
    std::signal(SIGINT, request_stop);
    std::signal(SIGTERM, request_stop);
    for (const std::string& note : trainer->weights_notes()) {
        fmt::print(stderr, "note: {}\n", note);
    }
    if (resumes) {
        crash_point("train.resumed");
    }
    const auto outcome = trainer->run(
        [&](const train::Report& line) { print_report(line, options.json); }, stop_requested);
    print_extras(trainer->extras());
    if (outcome == train::Outcome::restart) {
        const std::string run = resumes ? options.resume : options.run;
        fmt::print(stderr, "[restart at step {} after {} compiles]\n", trainer->step(),
                   trainer->compiles());
        report_engine(*device);
        trainer.reset();  // closes its files
        go_on_in_a_new_process(options, run);
    }
    if (outcome == train::Outcome::interrupted) {
        report_engine(*device);
        fmt::print(stderr, "stopped at step {} and saved; continue with: pome train --resume {}\n",
                   trainer->step(), resumes ? options.resume : options.run);
        return exit_interrupted;
    }
    if (config.run.sample_tokens > 0 && !options.json) {
        print_sample(*trainer, *device, pool);
    }
    report_engine(*device);
    return exit_done;
}

}  // namespace

std::unique_ptr<device::Device> open_device(const std::string& device, const std::string& numerics,
                                            const TrainOptions& options, ThreadPool& pool,
                                            bool count_vanished) {
    DeviceOptions chosen;
    chosen.device = device;
    chosen.numerics = numerics;
    chosen.strictness = options.strictness;
    chosen.engine = options.engine;
    if (count_vanished) {
        chosen.counting = device::emulator::Counting::vanishing;
    }
    auto opened = open_device(chosen, pool);
    if (!options.dump_programs.empty()) {
        const std::filesystem::path folder = options.dump_programs;
        std::filesystem::create_directories(folder);
        // A process that goes on with a run numbers on.
        const auto there = std::distance(std::filesystem::directory_iterator(folder), {});
        opened->on_compile(
            [folder, number = there](const mil::Package& package, std::string_view) mutable {
                mil::write_package(package, folder / fmt::format("{:05}", ++number));
            });
    }
    return opened;
}

void go_on_in_a_new_process(const TrainOptions& options, const std::string& run) {
    std::vector<std::string> arguments{"train", "--resume", run, "--strictness",
                                       options.strictness};
    for (std::string& word : options.engine.words()) {
        arguments.push_back(std::move(word));
    }
    if (options.json) {
        arguments.emplace_back("--json");
    }
    if (options.temporary) {
        arguments.emplace_back("--temporary");
    }
    if (!options.dump_programs.empty()) {
        arguments.insert(arguments.end(), {"--dump-programs", options.dump_programs});
    }
    start_again(arguments);
}

void add_train(CLI::App& app, int& status) {
    auto options = std::make_shared<TrainOptions>();
    CLI::App* command = app.add_subcommand("train", "Train a language model, or go on with a run");
    command
        ->add_option("config", options->config,
                     "TOML file: [model], [data], [train], [optimizer], [engine]")
        ->check(CLI::ExistingFile);
    command->add_option("--run", options->run, "directory that will hold the run");
    command->add_option("--resume", options->resume,
                        "run directory to go on with, exactly where it stopped");
    command->add_option("--set", options->settings,
                        "section.key=value, over the file's; may be repeated");
    command
        ->add_option("--strictness", options->strictness,
                     "of an emulator: strict (silent failures of the chip are errors) or "
                     "as-hardware (they happen)")
        ->capture_default_str();
    options->engine.add_to(*command);
    command->add_option("--trace", options->trace,
                        "write the timeline of the first updates to this file, for "
                        "chrome://tracing or ui.perfetto.dev");
    command->add_option("--trace-updates", options->trace_updates, "how many updates, 3 by default")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1000}));
    command->add_option("--dump-programs", options->dump_programs,
                        "write every program that is compiled to DIR/NNNNN: model.mil and weights, "
                        "for `pome lint` and `pome run`");
    command->add_flag("--temporary", options->temporary, "remove the run directory at the end")
        ->group("");  // what a run without a directory passes on to its next process
    command->add_flag("--json", options->json, "one JSON object a report on standard output");
    command->footer(
        "Examples:\n  pome train configs/demo.toml --run runs/demo --set train.steps=200\n"
        "  pome train --resume runs/demo\n"
        "SIGINT and SIGTERM save and end the run with status 3.");
    command->callback([options, &status] { status = train(*options); });
}

}  // namespace pome::cli
