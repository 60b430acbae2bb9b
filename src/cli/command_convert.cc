#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "train/model_file.h"

namespace pome::cli {
namespace {

struct ConvertCommand {
    std::string input, output;
    bool json = false;
};

void convert(const ConvertCommand& options) {
    const auto loaded = train::load_model(options.input);
    auto notes = loaded.notes;
    const auto more = train::save_model(loaded, options.output);
    notes.insert(notes.end(), more.begin(), more.end());
    const auto& c = loaded.architecture.config;
    if (options.json) {
        const nlohmann::json record{{"input", options.input},
                                    {"kind", loaded.kind},
                                    {"output", options.output},
                                    {"parameters", loaded.architecture.parameter_count()},
                                    {"width", c.width},
                                    {"hidden", c.hidden},
                                    {"layers", c.layers},
                                    {"heads", c.heads},
                                    {"kv_heads", c.kv_heads},
                                    {"vocabulary", c.vocabulary},
                                    {"sequence", c.sequence},
                                    {"rope", c.rope},
                                    {"notes", notes}};
        fmt::print("{}\n", record.dump());
        return;
    }
    fmt::print("{} ({}) to {}: {} parameters, width {}, hidden {}, {} layers, vocabulary {}\n",
               options.input, loaded.kind, options.output, loaded.architecture.parameter_count(),
               c.width, c.hidden, c.layers, c.vocabulary);
    for (const std::string& note : notes) {
        fmt::print(stderr, "note: {}\n", note);
    }
}

}  // namespace

void add_convert(CLI::App& app) {
    auto options = std::make_shared<ConvertCommand>();
    CLI::App* command = app.add_subcommand("convert", "Write a model in another file format");
    command
        ->add_option("input", options->input,
                     "BLZT checkpoint, llama2.c .bin, .safetensors, checkpoint or run directory")
        ->required()
        ->check(CLI::ExistingPath);
    command->add_option("output", options->output, "file.bin (llama2.c) or file.safetensors")
        ->required();
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "Example:\n  pome convert ane_stories110M_ckpt.bin stories110M.safetensors\n"
        "What the output cannot hold, and what was adapted, is said on standard error.");
    command->callback([options] { convert(*options); });
}

}  // namespace pome::cli
