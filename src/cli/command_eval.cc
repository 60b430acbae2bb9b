#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "formats/tokenizer.h"
#include "train/dynamic_pipeline.h"
#include "train/evaluate.h"
#include "train/model_file.h"
#include "train/prepare.h"
#include "train/trainer.h"

namespace pome::cli {
namespace {

struct EvalCommand {
    std::string model, tokenizer, data;
    std::int64_t sequence = 0, windows = 0;
    bool json = false;
    DeviceOptions device;
};

/// Token files are taken as they are, text is encoded with a bos before each document.
std::filesystem::path token_file(const EvalCommand& options, const formats::Tokenizer& tokenizer,
                                 const TemporaryDirectory& work) {
    const std::filesystem::path path = options.data;
    if (path.extension() == ".bin") {
        return path;
    }
    const auto text = read_text(path);
    std::vector<std::int32_t> ids;
    const auto documents = path.extension() == ".jsonl"
                               ? train::split_json_lines(text, "text", path.string())
                               : train::split_documents(text, path.string());
    for (const auto& document : documents) {
        const auto more = tokenizer.encode(document, true, false);
        ids.insert(ids.end(), more.begin(), more.end());
    }
    formats::write_tokens(work.path() / "tokens.bin", ids, tokenizer.vocabulary());
    return work.path() / "tokens.bin";
}

void eval(const EvalCommand& options) {
    const auto loaded = train::load_model(options.model);
    const auto& config = loaded.architecture.config;
    const auto tokenizer = formats::Tokenizer::read(options.tokenizer);
    tokenizer.expect_vocabulary(config.vocabulary, options.tokenizer);
    const TemporaryDirectory work;
    const std::int64_t sequence = options.sequence > 0 ? options.sequence : config.sequence;
    const train::TokenDataset data(token_file(options, tokenizer, work), config.vocabulary,
                                   sequence);
    ThreadPool pool(options.device.threads);
    const auto device = open_device(options.device, pool);
    train::DynamicPipeline pipeline(loaded.architecture, *device, pool,
                                    train::stage_form({}, sequence), {});
    pipeline.stage_weights(loaded.weights);
    train::LanguageModel language_model(loaded.architecture, pipeline, pool, sequence);
    const auto result = train::evaluate(language_model, loaded.weights, data, options.windows);
    report_engine(*device);
    if (options.json) {
        const nlohmann::json record{
            {"loss", result.loss},      {"perplexity", result.perplexity()},
            {"tokens", result.tokens},  {"sequence", sequence},
            {"device", device->name()}, {"numerics", options.device.numerics}};
        fmt::print("{}\n", record.dump());
    } else {
        fmt::print("loss {:.6f}  perplexity {:.4f}  {} tokens in sequences of {} on {}\n",
                   result.loss, result.perplexity(), result.tokens, sequence, device->name());
    }
}

}  // namespace

void add_eval(CLI::App& app) {
    auto options = std::make_shared<EvalCommand>();
    CLI::App* command = app.add_subcommand("eval", "Loss and perplexity of a model on text");
    command
        ->add_option("--model", options->model,
                     "llama2.c .bin, BLZT or other checkpoint, .safetensors, or run directory")
        ->required()
        ->check(CLI::ExistingPath);
    command
        ->add_option("--tokenizer", options->tokenizer,
                     "tokenizer.bin of llama2.c or a SentencePiece .model")
        ->required()
        ->check(CLI::ExistingFile);
    command->add_option("--data", options->data, "text, .jsonl, or token file (.bin)")
        ->required()
        ->check(CLI::ExistingFile);
    options->device.add_to(*command);
    command->add_option("--sequence", options->sequence, "positions a window; 0: the model's")
        ->check(CLI::Range(0, 1 << 20));
    command->add_option("--windows", options->windows, "windows spread over the data; 0: all")
        ->check(CLI::Range(0, 1 << 30));
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "Example:\n  pome eval --model stories260K.bin --tokenizer tok512.bin --data stories.txt "
        "--device emulator:m4 --json");
    command->callback([options] { eval(*options); });
}

}  // namespace pome::cli
