#include "train/generate.h"

#include "base/error.h"
#include "formats/tokenizer.h"
#include "train/sampler.h"

namespace pome::train {

Generator::Generator(const model::Architecture& architecture, const ParameterSet& weights,
                     device::Device& device, ThreadPool& pool, const model::Form& form)
    : architecture_(architecture), decoder_(architecture, weights, device, pool, form) {}

void Generator::run(const std::vector<std::int32_t>& prompt, const GenerateOptions& options,
                    const std::function<void(std::int32_t)>& take) {
    const std::int64_t limit = architecture_.config.sequence;
    if (static_cast<std::int64_t>(prompt.size()) > limit) {
        fail(Code::invalid_argument, "train.generate",
             "the prompt has {} tokens, the model {} positions; shorten it", prompt.size(), limit);
    }
    Random random(options.seed);
    decoder_.clear();
    std::vector<std::int32_t> waiting = prompt;
    for (std::int64_t made = 0; made < options.tokens; ++made) {
        if (decoder_.positions() == limit) {
            return;
        }
        decoder_.read(waiting);
        const std::int32_t next = sample_token(decoder_.logits(), options.temperature, random);
        if (next == formats::Tokenizer::bos || next == formats::Tokenizer::eos) {
            return;
        }
        take(next);
        waiting = {next};
    }
}

}  // namespace pome::train
