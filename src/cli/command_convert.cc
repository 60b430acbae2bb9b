#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "formats/weight_blob_repair.h"
#include "mil/text.h"
#include "train/model_file.h"
#include "train/trainable_model.h"

namespace pome::cli {
namespace {

struct ConvertCommand {
    std::string input, output;
    bool json = false;
    // Of a program that becomes a model.
    std::string weights, loss = "mean_squared_error";
    std::vector<std::string> fixed;
    std::optional<std::uint64_t> seed;
    std::string dtype = "fp16";  // of a damaged blob's elements
};

using Path = std::filesystem::path;

void say(const ConvertCommand& options, const nlohmann::json& record, const std::string& text) {
    if (options.json) {
        fmt::print("{}\n", record.dump());
    } else {
        fmt::print("{}\n", text);
    }
}

void convert_program(const ConvertCommand& options) {
    const auto program = mil::read(read_text(options.input), options.input);
    const auto files = options.weights.empty() ? mil::WeightFiles()
                                               : mil::WeightFiles::load(program, options.weights);
    const auto model = train::model_from_program(
        program, files, {train::loss_from(options.loss), options.fixed, options.seed});
    formats::write_ane_model(options.output, model);
    std::int64_t trained = 0, parameters = 0;
    for (const auto& weight : model.weights) {
        trained += weight.trained ? 1 : 0;
        parameters += weight.trained ? weight.shape.elements() : 0;
    }
    say(options,
        {{"input", options.input},
         {"kind", "mil program"},
         {"output", options.output},
         {"loss", model.loss},
         {"weights", trained},
         {"fixed", static_cast<std::int64_t>(model.weights.size()) - trained},
         {"parameters", parameters}},
        fmt::format("{} (MIL program) to {}: {} parameters in {} weights, loss {}", options.input,
                    options.output, parameters, trained, model.loss));
}

/// Whether the file is a damaged weight blob: then it was repaired.
bool repair(const ConvertCommand& options) {
    if (std::filesystem::is_directory(options.input) ||
        Path(options.output).extension() != ".bin") {
        return false;
    }
    const MappedFile file(options.input);
    const auto found = formats::diagnose_blob(file.bytes());
    if (!found.repairable) {
        return false;
    }
    const auto dtype = dtype_from_name(options.dtype);
    if (!dtype) {
        fail(Code::invalid_argument, "cli.convert", "--dtype '{}' is no element type",
             options.dtype);
    }
    const auto repaired = formats::repair_blob(file.bytes(), options.input, *dtype);
    write_file_atomic(options.output, repaired);
    say(options,
        {{"input", options.input},
         {"kind", "damaged weight blob"},
         {"output", options.output},
         {"fault", found.explanation},
         {"dtype", options.dtype},
         {"data_bytes", found.data_bytes}},
        fmt::format("{} (damaged weight blob) to {}: {} bytes of {}\nfault: {}", options.input,
                    options.output, found.data_bytes, options.dtype, found.explanation));
    return true;
}

void convert(const ConvertCommand& options) {
    if (Path(options.input).extension() == ".mil") {
        return convert_program(options);
    }
    if (repair(options)) {
        return;
    }
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
                     "BLZT checkpoint, llama2.c .bin, .safetensors, checkpoint or run directory; a "
                     ".mil program; a damaged weight blob")
        ->required()
        ->check(CLI::ExistingPath);
    command
        ->add_option("output", options->output,
                     "file.bin (llama2.c, or a repaired weight blob), file.safetensors or file.ane")
        ->required();
    command
        ->add_option("--weights", options->weights,
                     "of a program: directory that stands for @model_path, or its weights/")
        ->check(CLI::ExistingDirectory);
    command
        ->add_option("--loss", options->loss,
                     "of a program: mean_squared_error or cross_entropy (over the channels)")
        ->capture_default_str();
    command->add_option("--fixed", options->fixed,
                        "of a program: a constant in a weight file that is not to be trained");
    command->add_option("--seed", options->seed,
                        "of a program: weights without a file start random, scaled by fan-in");
    command->add_option("--dtype", options->dtype, "of a damaged weight blob: its element type")
        ->capture_default_str();
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "Examples:\n  pome convert ane_stories110M_ckpt.bin stories110M.safetensors\n"
        "  pome convert examples/mlp.mil model.ane --seed 1\n"
        "  pome convert headerless.bin repaired.bin --dtype fp16\n"
        "What the output cannot hold, and what was adapted, is said on standard error.");
    command->callback([options] { convert(*options); });
}

}  // namespace pome::cli
