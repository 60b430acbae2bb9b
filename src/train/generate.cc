#include "train/generate.h"

#include <algorithm>

#include "base/error.h"
#include "formats/tokenizer.h"
#include "train/dynamic_pipeline.h"
#include "train/sampler.h"

namespace pome::train {

/// The model compiled for one number of positions.
struct Generator::Length {
    std::int64_t positions;
    DynamicPipeline pipeline;
    LanguageModel model;

    Length(const model::Architecture& architecture, const ParameterSet& weights,
           device::Device& device, ThreadPool& pool, const model::Form& form)
        : positions(form.sequence),
          pipeline(architecture, device, pool, form, {}),
          model(architecture, pipeline, pool, form.sequence) {
        pipeline.stage_weights(weights);
    }
};

Generator::Generator(const model::Architecture& architecture, const ParameterSet& weights,
                     device::Device& device, ThreadPool& pool, const model::Form& form)
    : architecture_(architecture), weights_(weights), device_(device), pool_(pool), form_(form) {}

Generator::~Generator() = default;

Generator::Length& Generator::at_least(std::int64_t positions) {
    if (lengths_.empty() || lengths_.back()->positions < positions) {
        constexpr std::int64_t shortest = 32;
        std::int64_t length = lengths_.empty() ? shortest : lengths_.back()->positions * 2;
        while (length < positions) {
            length *= 2;
        }
        model::Form form = form_;
        form.sequence = std::min(length, std::max(shortest, architecture_.config.sequence));
        lengths_.push_back(std::make_unique<Length>(architecture_, weights_, device_, pool_, form));
    }
    return *lengths_.back();
}

void Generator::run(std::vector<std::int32_t> tokens, const GenerateOptions& options,
                    const std::function<void(std::int32_t)>& take) {
    const std::int64_t limit = architecture_.config.sequence;
    if (static_cast<std::int64_t>(tokens.size()) > limit) {
        fail(Code::invalid_argument, "train.generate",
             "the prompt has {} tokens, the model {} positions; shorten it", tokens.size(), limit);
    }
    Random random(options.seed);
    for (std::int64_t made = 0; made < options.tokens; ++made) {
        const auto known = static_cast<std::int64_t>(tokens.size());
        if (known > limit) {
            return;
        }
        Length& length = at_least(known);
        std::vector<std::int32_t> padded =
            tokens;  // later positions are masked, whatever stands there
        padded.resize(static_cast<std::size_t>(length.positions), 0);
        const auto logits = length.model.next_logits(padded, known - 1, weights_);
        const std::int32_t next = sample_token(logits, options.temperature, random);
        if (next == formats::Tokenizer::bos || next == formats::Tokenizer::eos) {
            return;
        }
        take(next);
        tokens.push_back(next);
    }
}

}  // namespace pome::train
