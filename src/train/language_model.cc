#include "train/language_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "kernels/classifier.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/rmsnorm.h"

namespace pome::train {
namespace {

/// Sequences of a process in which the host does an extra's work too, to say what it would cost.
constexpr std::int64_t compared_sequences = 3;

}  // namespace

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
        const Span span = pipeline_.span(Part::host, "embedding");
        kernels::embedding_gather(weights.values(architecture_.embedding).data(),
                                  architecture_.config.width, tokens_, streams_[0].data(), pool_);
    }
    for (std::size_t block = 0; block < architecture_.blocks.size(); ++block) {
        {
            const Span span = pipeline_.span(Part::host, norm_title(block));
            normalize(block, weights.values(architecture_.blocks[block].norm), normalized_.data());
        }
        pipeline_.forward(block, normalized_.data(), branch_.data());
        const Span span =
            pipeline_.span(Part::host, "residual sum", static_cast<std::int64_t>(block));
        const float *before = streams_[block].data(), *branch = branch_.data();
        float* after = streams_[block + 1].data();
        pool_.for_ranges(static_cast<std::int64_t>(branch_.size()), 16384,
                         [&](std::int64_t begin, std::int64_t end, int) {
                             for (std::int64_t i = begin; i < end; ++i) {
                                 after[i] = before[i] + branch[i];
                             }
                         });
    }
}

std::string LanguageModel::norm_title(std::size_t at) const {
    return at == architecture_.blocks.size() ? "final norm" : fmt::format("norm, block {}", at);
}

template <typename Work>
void LanguageModel::compare(Extra extra, std::int64_t enough, Work work) {
    ExtraCost& cost = pipeline_.extra_costs()[extra];
    if (cost.host_runs >= enough) {
        return;
    }
    if (cost.runs == 1) {  // the first finds cold memory
        work();
        return;
    }
    ++cost.host_runs;
    const Span span(pipeline_.timeline(), Timeline::Track::step, "host",
                    fmt::format("{} on the host, for comparison", extra_name(extra)), -1,
                    &cost.host_ms);
    work();
}

void LanguageModel::normalize_last(const ParameterSet& weights) {
    const std::size_t last = streams_.size() - 1;
    const auto gain = weights.values(architecture_.final_norm);
    const auto epsilon = static_cast<float>(architecture_.config.norm_epsilon);
    const std::int64_t width = architecture_.config.width;
    if (!pipeline_.offload().final_norm) {
        const Span span = pipeline_.span(Part::host, norm_title(last));
        normalize(last, gain, normalized_.data());
        return;
    }
    pipeline_.offload().final_norm(streams_[last].data(), normalized_.data());
    {
        const Span span = pipeline_.span(Part::host, "roots of the final norm");
        kernels::rmsnorm_root(width, sequence_, streams_[last].data(), epsilon, roots_[last].data(),
                              pool_);
    }
    compare(Extra::final_norm, compared_sequences, [&] {
        compared_.resize(normalized_.size());
        std::vector<float> roots(roots_[last].size());
        kernels::rmsnorm(width, sequence_, streams_[last].data(), gain.data(), epsilon,
                         compared_.data(), roots.data(), pool_);
    });
}

void LanguageModel::host_classifier(const ParameterSet& weights, float* logits) {
    const std::int64_t width = architecture_.config.width,
                       vocabulary = architecture_.config.vocabulary;
    kernels::classifier_logits({width, sequence_, vocabulary}, normalized_.data(),
                               weights.values(architecture_.head).data(), logits, pool_, scratch_);
}

bool LanguageModel::classify(const ParameterSet& weights) {
    const Offload& offload = pipeline_.offload();
    logits_.resize(static_cast<std::size_t>(sequence_ * architecture_.config.vocabulary));
    if (offload.classifier_softmax) {
        offload.classifier_softmax(normalized_.data(), logits_.data());
    } else if (offload.classifier) {
        offload.classifier(normalized_.data(), logits_.data());
    } else {
        const Span span = pipeline_.span(Part::host, "classifier");
        host_classifier(weights, logits_.data());
    }
    if (offload.classifier) {
        compare(Extra::classifier, compared_sequences, [&] {
            compared_.resize(logits_.size());
            host_classifier(weights, compared_.data());
        });
    }
    if (offload.softmax && !offload.classifier_softmax) {
        offload.softmax(logits_.data());
    }
    return static_cast<bool>(offload.softmax);
}

double LanguageModel::forward(std::span<const std::int32_t> tokens,
                              std::span<const std::int32_t> targets, const ParameterSet& weights) {
    run_blocks(tokens, weights);
    normalize_last(weights);
    const bool probabilities = classify(weights);
    const std::int64_t vocabulary = architecture_.config.vocabulary;
    counted_ = std::count_if(targets.begin(), targets.end(), [](std::int32_t t) { return t >= 0; });
    const float mean = counted_ > 0 ? 1.0F / static_cast<float>(counted_) : 0.0F;
    if (!probabilities) {
        const Span span = pipeline_.span(Part::host, "loss");
        return kernels::cross_entropy(logits_.data(), targets, vocabulary, mean, pool_).loss;
    }
    if (pipeline_.extra_costs()[Extra::softmax].host_runs < compared_sequences) {
        compared_ = logits_;  // probabilities pass for logits: the work is the same
    }
    compare(Extra::softmax, compared_sequences,
            [&] { kernels::cross_entropy(compared_.data(), targets, vocabulary, mean, pool_); });
    const Span span = pipeline_.span(Part::host, "loss");
    constexpr float half_of_the_smallest = 0x1p-25F;  // what fp16 rounds to 0 is below it
    return kernels::cross_entropy_of_probabilities(logits_.data(), targets, vocabulary, mean,
                                                   half_of_the_smallest, pool_)
        .loss;
}

void LanguageModel::normalize_backward(std::size_t at, const std::string& norm,
                                       const ParameterSet& weights, ParameterSet& gradients) {
    const std::int64_t width = architecture_.config.width;
    const float *x = streams_[at].data(), *root = roots_[at].data(), *dy = dy_.data();
    const float* gain = weights.values(norm).data();
    float* dgain = gradients.values(norm).data();
    if (!pipeline_.offload().norm_backward) {
        const Span span = pipeline_.span(Part::host, norm_title(at) + " backward");
        kernels::rmsnorm_backward(width, sequence_, x, gain, root, dy, dx_.data(), dgain, pool_);
        return;
    }
    {
        const Span span = pipeline_.span(Part::host, norm_title(at) + " backward, gain");
        kernels::rmsnorm_gain_gradient(width, sequence_, x, root, dy, dgain, pool_);
    }
    pipeline_.offload().norm_backward(at, x, dy, dx_.data());
    compare(Extra::norm_backward, compared_sequences * static_cast<std::int64_t>(streams_.size()),
            [&] {
                compared_.resize(dx_.size());
                kernels::rmsnorm_backward(width, sequence_, x, gain, root, dy, compared_.data(),
                                          nullptr, pool_);
            });
}

void LanguageModel::backward(double scale, const ParameterSet& weights, ParameterSet& gradients) {
    const std::int64_t width = architecture_.config.width,
                       vocabulary = architecture_.config.vocabulary;
    dx_.resize(branch_.size());
    dy_.resize(branch_.size());
    struct Drain {
        Pipeline& pipeline;
        ~Drain() { pipeline.drain_weight_gradients(); }
    } const drain{pipeline_};  // the work reads logits_, whatever happens
    const auto factor = static_cast<float>(scale);
    {
        const Span span = pipeline_.span(Part::host, "classifier backward");
        kernels::classifier_input_gradient({width, sequence_, vocabulary},
                                           weights.values(architecture_.head).data(),
                                           logits_.data(), factor, dy_.data(), pool_, scratch_);
    }
    float* head = gradients.values(architecture_.head).data();
    pipeline_.add_weight_gradient("classifier weight gradient", pool_,
                                  [this, head, factor, width, vocabulary](ThreadPool& pool) {
                                      kernels::classifier_weight_gradient(
                                          {width, sequence_, vocabulary}, logits_.data(),
                                          normalized_.data(), factor, head, pool,
                                          gradient_scratch_);
                                  });
    std::fill(dx_.begin(), dx_.end(), 0.0F);
    normalize_backward(architecture_.blocks.size(), architecture_.final_norm, weights, gradients);
    for (std::size_t block = architecture_.blocks.size(); block-- > 0;) {
        // dx_ is the gradient of the stream after the block: the branch gets it whole, the skip
        // keeps it.
        pipeline_.backward(block, dx_.data(), dy_.data(), gradients);
        normalize_backward(block, architecture_.blocks[block].norm, weights, gradients);
    }
    pipeline_.wait_for_weight_gradients();  // a tied head's gradient is the embedding's
    const Span span = pipeline_.span(Part::host, "embedding gradient");
    kernels::embedding_scatter(dx_.data(), width, tokens_,
                               gradients.values(architecture_.embedding).data(), pool_);
}

std::span<const float> LanguageModel::all_logits(std::span<const std::int32_t> tokens,
                                                 const ParameterSet& weights) {
    run_blocks(tokens, weights);
    normalize_last(weights);
    classify(weights);
    return logits_;
}

}  // namespace pome::train
