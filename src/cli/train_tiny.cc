#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "cli/train_command.h"
#include "train/tiny_regression.h"

namespace pome::cli {
namespace {

/// A run directory of this run: its config as it was resolved, and the published program's
/// checkpoint.
struct Run {
    std::filesystem::path directory;
    std::filesystem::path config() const { return directory / "config.toml"; }
    std::filesystem::path checkpoint() const { return directory / "ane_train_ckpt.bin"; }
};

/// The lines of the original program, without its times.
void print(const train::TinyReport& line, bool json) {
    using Kind = train::TinyReport::Kind;
    if (json) {
        constexpr const char* kinds[] = {"main", "overlapped", "restart", "finished"};
        fmt::print("{}\n", nlohmann::json{{"kind", kinds[static_cast<int>(line.kind)]},
                                          {"step", line.step},
                                          {"loss", line.loss},
                                          {"compiles", line.compiles}}
                               .dump());
    } else if (line.kind == Kind::restart) {
        fmt::print("[exec() restart at step {}, {} compiles, loss={:.6f}]\n", line.step,
                   line.compiles, line.loss);
    } else if (line.kind == Kind::finished) {
        fmt::print("finished at step {}, loss={:.6f}\n", line.step, line.loss);
    } else if (line.printed) {
        fmt::print("step {:<5} loss={:<10.6f}{}  compiles={}\n", line.step, line.loss,
                   line.kind == Kind::overlapped ? "  (overlapped with compile)" : "",
                   line.compiles);
    }
    std::fflush(stdout);
}

/// Makes the run's directory; without one of the user's, a temporary one that this process owns
/// until it hands over.
Run begin(const TrainOptions& options, const train::TinyConfig& config,
          std::optional<TemporaryDirectory>& temporary) {
    if (options.run.empty()) {
        temporary.emplace();
    }
    Run run{options.run.empty() ? temporary->path() : std::filesystem::path(options.run)};
    if (std::filesystem::exists(run.config())) {
        fail(Code::invalid_argument, "cli.train",
             "{0}: holds a run already; continue it with `pome train --resume {0}` or choose "
             "another directory",
             run.directory.string());
    }
    std::error_code error;
    std::filesystem::create_directories(run.directory, error);
    if (error) {
        fail(Code::io, "cli.train", "{}: cannot create the run directory: {}",
             run.directory.string(), error.message());
    }
    write_file_atomic(run.config(), config.text());
    return run;
}

}  // namespace

int train_tiny(const TrainOptions& options, const std::string& text) {
    const bool resumes = !options.resume.empty();
    const auto config =
        train::parse_tiny_config(text, resumes ? options.resume : options.config, options.settings);
    std::optional<TemporaryDirectory> temporary;
    const Run run = resumes ? Run{options.resume} : begin(options, config, temporary);
    sweep_temporary_files(run.directory);
    // Killed before its first checkpoint, a run begins again: nothing of it was random.
    auto checkpoint = std::filesystem::exists(run.checkpoint())
                          ? formats::read_tiny_checkpoint(run.checkpoint())
                          : train::begin_tiny(config);
    if (resumes && !options.json) {
        fmt::print("[RESUMED at step {}, loss={:.6f}, compiles reset]\n", checkpoint.step,
                   checkpoint.loss);
    }
    ThreadPool pool(1);  // products of 64 x 128 x 16: threads would only wait for each other
    const auto device = open_device(config.device, config.numerics, options, pool);
    const bool finished =
        train::run_tiny(config, checkpoint, *device,
                        [&](const train::TinyReport& line) { print(line, options.json); });
    report_engine(*device);
    formats::write_tiny_checkpoint(run.checkpoint(), checkpoint);
    if (!finished) {
        TrainOptions next = options;
        next.temporary = options.temporary || temporary.has_value();
        go_on_in_a_new_process(next, run.directory.string());
    }
    if (options.temporary) {
        std::filesystem::remove_all(run.directory);
    }
    return exit_done;
}

}  // namespace pome::cli
