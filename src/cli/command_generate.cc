#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "cli/commands.h"
#include "formats/tokenizer.h"
#include "train/generate.h"
#include "train/model_file.h"
#include "train/trainer.h"

namespace pome::cli {
namespace {

struct GenerateCommand {
    std::string model, tokenizer, prompt;
    DeviceOptions device;
    train::GenerateOptions generate;
};

void generate(const GenerateCommand& options) {
    const auto loaded = train::load_model(options.model);
    const auto tokenizer = formats::Tokenizer::read(options.tokenizer);
    tokenizer.expect_vocabulary(loaded.architecture.config.vocabulary, options.tokenizer);
    ThreadPool pool(options.device.threads);
    const auto device = open_device(options.device, pool);
    train::Generator generator(loaded.architecture, loaded.weights, *device, pool,
                               train::stage_form({}, 0));
    const auto prompt = tokenizer.encode(options.prompt, true, false);
    std::int32_t previous = formats::Tokenizer::bos;
    const auto print = [&](std::int32_t token) {
        const std::string text = tokenizer.decode(previous, token);
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
        previous = token;
    };
    for (std::size_t i = 1; i < prompt.size(); ++i) {
        print(prompt[i]);
    }
    generator.run(prompt, options.generate, print);
    if (isatty(STDOUT_FILENO) != 0) {
        fmt::print("\n");
    }  // the text alone goes to files and pipes
    report_engine(*device);
}

}  // namespace

void add_generate(CLI::App& app) {
    auto options = std::make_shared<GenerateCommand>();
    CLI::App* command = app.add_subcommand(
        "generate", "Write text with a model; nothing but the text goes to standard output");
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
    options->device.add_to(*command);
    command
        ->add_option("--temperature", options->generate.temperature,
                     "0: always the likeliest token")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 100.0));
    command->add_option("--tokens", options->generate.tokens, "how many at most")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 24));
    command->add_option("--prompt", options->prompt, "text to go on from");
    command->add_option("--seed", options->generate.seed, "the same seed gives the same text")
        ->capture_default_str();
    command->footer(
        "Example:\n  pome generate --model stories260K.bin --tokenizer tok512.bin --device "
        "emulator:m4 --temperature 0 --tokens 100");
    command->callback([options] { generate(*options); });
}

}  // namespace pome::cli
