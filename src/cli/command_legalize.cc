#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "device/legalize/legalize.h"
#include "mil/text.h"

namespace pome::cli {
namespace {

constexpr std::string_view here = "cli.legalize";

struct LegalizeCommand {
    std::string program, weights, function, device = "emulator:m1", output, output_weights;
    bool json = false;
};

const device::Profile& profile_of(const std::string& name) {
    constexpr std::string_view prefix = "emulator:";
    if (!name.starts_with(prefix)) {
        fail(Code::invalid_argument, here,
             "device '{}' has no limits to legalize for; name an emulator:CHIP of `pome devices`",
             name);
    }
    return device::find_profile(std::string_view(name).substr(prefix.size()));
}

nlohmann::json to_json(const device::BoundaryChange& change) {
    nlohmann::json parts = nlohmann::json::array();
    for (const auto& part : change.parts) {
        parts.push_back({{"name", part.name},
                         {"type", part.type.text()},
                         {"view", part.view.sizes()},
                         {"begin", part.begin},
                         {"size", part.size.sizes()},
                         {"placed", part.placed.sizes()}});
    }
    return {{"kind", change.is_input ? "input" : "output"},
            {"name", change.name},
            {"type", change.type.text()},
            {"parts", std::move(parts)}};
}

nlohmann::json to_json(const device::Legalized& legal, const std::string& function) {
    nlohmann::json record{{"function", function},
                          {"changes", nlohmann::json::array()},
                          {"refusals", nlohmann::json::array()},
                          {"boundary", nlohmann::json::array()}};
    for (const auto& change : legal.changes) {
        record["changes"].push_back({{"rule", change.rule},
                                     {"line", change.line},
                                     {"value", change.value},
                                     {"what", change.what},
                                     {"same_bits", change.equality == device::Equality::bits}});
    }
    for (const auto& refusal : legal.refusals) {
        record["refusals"].push_back({{"rule", refusal.rule},
                                      {"line", refusal.line},
                                      {"value", refusal.value},
                                      {"reason", refusal.reason}});
    }
    for (const auto& change : legal.boundary) {
        record["boundary"].push_back(to_json(change));
    }
    return record;
}

void print(const device::Legalized& legal, const LegalizeCommand& options,
           const std::string& function) {
    for (const auto& change : legal.changes) {
        fmt::print("{}\n", change.text());
    }
    for (const auto& change : legal.boundary) {
        for (const auto& part : change.parts) {
            fmt::print("{} '{}' {}: {} from {} as {} at the start of '{}' {}\n",
                       change.is_input ? "input" : "output", change.name, change.type.text(),
                       part.size.text(), Shape(part.begin).text(), part.placed.text(), part.name,
                       part.type.text());
        }
    }
    for (const auto& refusal : legal.refusals) {
        fmt::print("not rewritten: {}\n", refusal.text());
    }
    const auto same =
        std::count_if(legal.changes.begin(), legal.changes.end(),
                      [](const auto& change) { return change.equality == device::Equality::bits; });
    fmt::print("{}: {} changes for {}, {} of them with the same bits; {} not rewritten\n", function,
               legal.changes.size(), options.device, same, legal.refusals.size());
}

/// Writes the weight files of the rewritten program below --output-weights; without it there may
/// be none that the original had not.
void write_weights(const mil::WeightFiles& before, const mil::Package& after,
                   const std::string& directory) {
    constexpr std::string_view prefix = "@model_path/";
    for (const std::string& path : mil::blob_paths(after.program)) {
        const auto found = after.weights.files().find(path);
        if (found == after.weights.files().end()) {
            continue;  // the original's, and not given
        }
        if (directory.empty()) {
            if (!before.files().contains(path)) {
                fail(Code::invalid_argument, here,
                     "the rewritten program has a weight file of its own, '{}'; add "
                     "--output-weights DIR",
                     path);
            }
            continue;
        }
        const auto file = std::filesystem::path(directory) / path.substr(prefix.size());
        std::filesystem::create_directories(file.parent_path());
        write_file_atomic(file, *found->second);
    }
}

void run(const LegalizeCommand& options, int& status) {
    const device::Profile& profile = profile_of(options.device);
    mil::Package package;
    package.program = mil::read(read_text(options.program), options.program);
    if (!options.weights.empty()) {
        package.weights = mil::WeightFiles::load(package.program, options.weights);
    }
    const mil::WeightFiles before = package.weights;
    std::vector<std::string> functions{options.function};
    if (options.function.empty()) {
        functions.clear();
        for (const auto& function : package.program.functions) {
            functions.push_back(function.name);
        }
    }
    nlohmann::json records = nlohmann::json::array();
    std::vector<std::pair<std::string, device::Legalized>> done;
    for (const auto& function : functions) {
        done.emplace_back(function, device::legalize(package, profile, function));
        package = done.back().second.package;
        if (!done.back().second.refusals.empty()) {
            status = exit_failed;
        }
    }
    if (!options.output.empty()) {
        write_weights(before, package, options.output_weights);
        write_file_atomic(options.output, mil::write(package.program));
    }
    for (const auto& [function, legal] : done) {
        if (options.json) {
            records.push_back(to_json(legal, function));
        } else {
            print(legal, options, function);
        }
    }
    if (options.json) {
        fmt::print("{}\n",
                   nlohmann::json{{"device", options.device}, {"functions", records}}.dump());
    }
}

std::string rewrites() {
    std::string text;
    for (const auto& info : device::known_rewrites()) {
        text += fmt::format("  {:<15} {}\n                  when {}\n", info.rule, info.what,
                            info.when);
    }
    return text;
}

}  // namespace

void add_legalize(CLI::App& app, int& status) {
    auto options = std::make_shared<LegalizeCommand>();
    CLI::App* command = app.add_subcommand(
        "legalize", "Rewrite a MIL program into an equal one that a chip and route accept");
    command->add_option("program", options->program, "MIL text")
        ->required()
        ->check(CLI::ExistingFile);
    command->add_option("--device", options->device, "emulator:CHIP[/ROUTE]; see `pome devices`")
        ->capture_default_str();
    command->add_option("--output", options->output, "file for the rewritten program");
    command
        ->add_option("--weights", options->weights,
                     "directory that stands for @model_path, or its weights/")
        ->check(CLI::ExistingDirectory);
    command->add_option("--output-weights", options->output_weights,
                        "directory for the rewritten program's weight files");
    command->add_option("--function", options->function, "one function; otherwise all of them");
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "Prints what was changed, and where inputs and outputs lie afterwards; exit status 1 when\n"
        "something could not be rewritten. `pome run --legalize` does all this on the way.\n"
        "Rewrites:\n" +
        rewrites() +
        "Example:\n  pome legalize examples/double.mil --device emulator:m1 --output legal.mil");
    command->callback([options, &status] { run(*options, status); });
}

}  // namespace pome::cli
