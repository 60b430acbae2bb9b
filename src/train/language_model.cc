#include "train/language_model.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/rmsnorm.h"

namespace pome::train {

LanguageModel::LanguageModel(const model::Architecture& architecture, Pipeline& pipeline,
                             ThreadPool& pool, std::int64_t sequence)
    : architecture_(architecture), pipeline_(pipeline), pool_(pool), sequence_(sequence) {
    const auto size = static_cast<std::size_t>(architecture.config.width * sequence);
    streams_.assign(architecture.blocks.size() + 1, std::vector<float>(size));
    roots_.assign(architecture.blocks.size() + 1,
                  std::vector<float>(static_cast<std::size_t>(sequence)));
    normalized_.resize(size);
    branch_.resize(size);
}

void LanguageModel::normalize(std::size_t at, std::span<const float> gain, float* y) {
    kernels::rmsnorm(architecture_.config.width, sequence_, streams_[at].data(), gain.data(),
                     static_cast<float>(architecture_.config.norm_epsilon), y, roots_[at].data(),
                     pool_);
}

void LanguageModel::run_blocks(std::span<const std::int32_t> tokens, const ParameterSet& weights) {
    if (static_cast<std::int64_t>(tokens.size()) != sequence_) {
        fail(Code::invalid_argument, "train.model",
             "{} tokens given to a model made for {} positions", tokens.size(), sequence_);
    }
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= architecture_.config.vocabulary) {
            fail(Code::invalid_argument, "train.model",
                 "token id {} is outside the vocabulary of {}", token,
                 architecture_.config.vocabulary);
        }
    }
    tokens_.assign(tokens.begin(), tokens.end());
    {
        const Stopwatch watch(pipeline_.times().host);
        kernels::embedding_gather(weights.values(architecture_.embedding).data(),
                                  architecture_.config.width, tokens_, streams_[0].data(), pool_);
    }
    for (std::size_t block = 0; block < architecture_.blocks.size(); ++block) {
        {
            const Stopwatch watch(pipeline_.times().host);
            normalize(block, weights.values(architecture_.blocks[block].norm), normalized_.data());
        }
        pipeline_.forward(block, normalized_.data(), branch_.data());
        const Stopwatch watch(pipeline_.times().host);
        const auto& before = streams_[block];
        auto& after = streams_[block + 1];
        for (std::size_t i = 0; i < before.size(); ++i) {
            after[i] = before[i] + branch_[i];
        }
    }
}

double LanguageModel::forward(std::span<const std::int32_t> tokens,
                              std::span<const std::int32_t> targets, const ParameterSet& weights) {
    run_blocks(tokens, weights);
    const Stopwatch watch(pipeline_.times().host);
    const std::int64_t width = architecture_.config.width,
                       vocabulary = architecture_.config.vocabulary;
    normalize(streams_.size() - 1, weights.values(architecture_.final_norm), normalized_.data());
    logits_.resize(static_cast<std::size_t>(sequence_ * vocabulary));
    kernels::gemm(true, true, sequence_, vocabulary, width, 1.0F, normalized_.data(), sequence_,
                  weights.values(architecture_.head).data(), width, 0.0F, logits_.data(),
                  vocabulary, pool_);
    counted_ = std::count_if(targets.begin(), targets.end(), [](std::int32_t t) { return t >= 0; });
    const float mean = counted_ > 0 ? 1.0F / static_cast<float>(counted_) : 0.0F;
    return kernels::cross_entropy(logits_.data(), targets, vocabulary, mean, pool_).loss;
}

void LanguageModel::backward(double scale, const ParameterSet& weights, ParameterSet& gradients) {
    const std::int64_t width = architecture_.config.width,
                       vocabulary = architecture_.config.vocabulary;
    auto& dx = dx_;
    auto& dy = dy_;
    dx.resize(branch_.size());
    dy.resize(branch_.size());
    {
        const Stopwatch watch(pipeline_.times().host);
        const auto factor = static_cast<float>(scale);
        kernels::gemm(true, true, width, sequence_, vocabulary, factor,
                      weights.values(architecture_.head).data(), width, logits_.data(), vocabulary,
                      0.0F, dy.data(), sequence_, pool_);
        kernels::gemm(true, true, vocabulary, width, sequence_, factor, logits_.data(), vocabulary,
                      normalized_.data(), sequence_, 1.0F,
                      gradients.values(architecture_.head).data(), width, pool_);
        std::fill(dx.begin(), dx.end(), 0.0F);
        kernels::rmsnorm_backward(width, sequence_, streams_.back().data(),
                                  weights.values(architecture_.final_norm).data(),
                                  roots_.back().data(), dy.data(), dx.data(),
                                  gradients.values(architecture_.final_norm).data(), pool_);
    }
    for (std::size_t block = architecture_.blocks.size(); block-- > 0;) {
        // dx is the gradient of the stream after the block: the branch gets it whole, the skip
        // keeps it.
        pipeline_.backward(block, dx.data(), dy.data(), gradients);
        const Stopwatch watch(pipeline_.times().host);
        const auto& norm = architecture_.blocks[block].norm;
        kernels::rmsnorm_backward(width, sequence_, streams_[block].data(),
                                  weights.values(norm).data(), roots_[block].data(), dy.data(),
                                  dx.data(), gradients.values(norm).data(), pool_);
    }
    const Stopwatch watch(pipeline_.times().host);
    kernels::embedding_scatter(dx.data(), width, tokens_,
                               gradients.values(architecture_.embedding).data(), pool_);
}

std::vector<float> LanguageModel::next_logits(std::span<const std::int32_t> tokens,
                                              std::int64_t position, const ParameterSet& weights) {
    run_blocks(tokens, weights);
    const std::int64_t width = architecture_.config.width,
                       vocabulary = architecture_.config.vocabulary;
    normalize(streams_.size() - 1, weights.values(architecture_.final_norm), normalized_.data());
    std::vector<float> last(static_cast<std::size_t>(width));
    for (std::int64_t c = 0; c < width; ++c) {
        last[static_cast<std::size_t>(c)] =
            normalized_[static_cast<std::size_t>(c * sequence_ + position)];
    }
    std::vector<float> logits(static_cast<std::size_t>(vocabulary));
    kernels::gemm(false, true, 1, vocabulary, width, 1.0F, last.data(), width,
                  weights.values(architecture_.head).data(), width, 0.0F, logits.data(), vocabulary,
                  pool_);
    return logits;
}

}  // namespace pome::train
