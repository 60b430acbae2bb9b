#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/large_memory.h"
#include "base/thread_pool.h"
#include "kernels/matmul.h"
#include "train/pipeline.h"

namespace pome::train {

/// The host's half of a language model: embedding, norms, residual sums, classifier and loss,
/// around the blocks that a pipeline runs on the engine. One sequence at a time. Activations are
/// channel-first fp32 [C][S].
class LanguageModel {
  public:
    /// All references must outlive this. `sequence` is the pipeline's.
    LanguageModel(const model::Architecture& architecture, Pipeline& pipeline, ThreadPool& pool,
                  std::int64_t sequence);

    /// Sum over the positions of -log p(target), in nats. tokens, targets [S]; a target of -1 does
    /// not count. Afterwards backward() may be called once.
    double forward(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets,
                   const ParameterSet& weights);

    /// Adds the gradient of scale * (mean loss of the last forward()) to `gradients`.
    void backward(double scale, const ParameterSet& weights, ParameterSet& gradients);

    /// Logits [S][V] after every position; the engine's probabilities where it computes those. Not
    /// to be followed by backward().
    std::span<const float> all_logits(std::span<const std::int32_t> tokens,
                                      const ParameterSet& weights);

  private:
    /// Embedding and all blocks; leaves the residual stream after the last in streams_.back().
    void run_blocks(std::span<const std::int32_t> tokens, const ParameterSet& weights);
    void normalize(std::size_t at, std::span<const float> gain, float* y);
    void normalize_last(const ParameterSet& weights);
    /// logits_ of normalized_: logits, or probabilities where the engine computes them. Returns
    /// which.
    bool classify(const ParameterSet& weights);
    void host_classifier(const ParameterSet& weights, float* logits);
    /// dx_ += the gradient through norm `at` of dy_, and the gradient of its gain.
    void normalize_backward(std::size_t at, const std::string& norm, const ParameterSet& weights,
                            ParameterSet& gradients);
    /// Runs what the host would compute in an extra's place, for its time, until that is known.
    template <typename Work>
    void compare(Extra extra, std::int64_t enough, Work work);
    /// The norm before block `at`, or the final one.
    std::string norm_title(std::size_t at) const;

    const model::Architecture& architecture_;
    Pipeline& pipeline_;
    ThreadPool& pool_;
    std::int64_t sequence_;
    std::vector<std::vector<float>>
        streams_;  // residual stream before each block, and after the last
    std::vector<std::vector<float>> roots_;  // 1 / rms of each of them, [S]
    std::vector<float> normalized_;          // [C][S]
    std::vector<float> branch_;              // [C][S]
    std::vector<float> dx_, dy_;             // [C][S], of backward()
    LargeVector<float> logits_;              // [S][V]; after forward() their gradient, unscaled
    LargeVector<float> compared_;            // what compare() computes into
    kernels::MatmulScratch scratch_, gradient_scratch_;  // its work may run beside the rest
    std::vector<std::int32_t> tokens_;
    std::int64_t counted_ = 0;
};

}  // namespace pome::train
