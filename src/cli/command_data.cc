#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "train/corpus.h"
#include "train/prepare.h"

namespace pome::cli {
namespace {

struct PrepareCommand {
    train::PrepareOptions prepare;
    std::vector<std::string> inputs;
    std::string tokenizer, output;
    bool json = false;
};

void prepare(PrepareCommand options) {
    options.prepare.inputs.assign(options.inputs.begin(), options.inputs.end());
    options.prepare.tokenizer = options.tokenizer;
    options.prepare.output = options.output;
    const auto result = train::prepare(options.prepare);
    if (options.json) {
        const nlohmann::json record{{"documents", result.documents},
                                    {"train_tokens", result.train_tokens},
                                    {"validation_tokens", result.validation_tokens},
                                    {"vocabulary", result.vocabulary}};
        fmt::print("{}\n", record.dump());
    } else {
        fmt::print("{} documents: {} tokens to train, {} to validate, vocabulary {}, in {}\n",
                   result.documents, result.train_tokens, result.validation_tokens,
                   result.vocabulary, options.output);
    }
}

void add_prepare(CLI::App& data) {
    auto options = std::make_shared<PrepareCommand>();
    CLI::App* command = data.add_subcommand(
        "prepare", "Turn text into token files, with a tokenizer learned or given");
    command
        ->add_option("inputs", options->inputs,
                     "text files (<|endoftext|> between documents) or JSON lines (.jsonl)")
        ->required()
        ->check(CLI::ExistingFile);
    command
        ->add_option("--output", options->output,
                     "directory for train.bin, val.bin and tokenizer.bin")
        ->required();
    command->add_option("--tokenizer", options->tokenizer, "use this one instead of learning one")
        ->check(CLI::ExistingFile);
    command
        ->add_option("--vocabulary", options->prepare.vocabulary, "pieces of a learned tokenizer")
        ->capture_default_str()
        ->check(CLI::Range(260, 65536));
    command
        ->add_option("--validation", options->prepare.validation, "share of the documents held out")
        ->capture_default_str();
    command->add_option("--field", options->prepare.field, "text field of JSON lines")
        ->capture_default_str();
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer("Example:\n  pome data prepare stories.txt --output data --vocabulary 512");
    command->callback([options] { prepare(*options); });
}

void add_stories(CLI::App& data) {
    struct Options {
        std::string output;
        std::uint64_t seed = 1;
        std::uint64_t bytes = 600000;
    };
    auto options = std::make_shared<Options>();
    CLI::App* command = data.add_subcommand(
        "stories", "Write little English stories made by a grammar: text to try things on");
    command->add_option("--output", options->output, "file to write")->required();
    command->add_option("--bytes", options->bytes, "how much, at least")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 30));
    command->add_option("--seed", options->seed, "the same seed gives the same text")
        ->capture_default_str();
    command->footer("Example:\n  pome data stories --output stories.txt");
    command->callback([options] {
        write_file_atomic(options->output, train::generate_stories(options->seed, options->bytes));
    });
}

}  // namespace

void add_data(CLI::App& app) {
    CLI::App* data = app.add_subcommand("data", "Make training data");
    data->require_subcommand(1);
    add_prepare(*data);
    add_stories(*data);
}

}  // namespace pome::cli
