#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/architecture.h"
#include "train/baked_programs.h"
#include "train/pipeline.h"

namespace pome::train {

/// The names of the extras that a chip with `limit` channels (0: any number) can run: all, but
/// softmax of more tokens than channels.
std::vector<std::string> extras_for(const model::ModelConfig& config, std::int64_t limit);

/// Tokens [first, first + rows) that one of a classifier's programs gives logits of.
struct ClassifierPart {
    std::int64_t first = 0, rows = 0;
};
/// As few parts as a chip with `limit` channels (0: any number) needs.
std::vector<ClassifierPart> classifier_parts(std::int64_t vocabulary, std::int64_t limit);
/// The gradient through a model's norm: x and d_y in, d_x out.
mil::Function norm_backward_function(const model::Stage& norm);

/// The programs of a model's extras: final RMSNorm, classifier, softmax and the gradients through
/// all norms, with weights baked in. The gradients are derived from the norm's stage. A classifier
/// of more channels than the chip has is cut into several programs.
class ExtraPrograms {
  public:
    /// All references must outlive this. Throws Error{unsupported} naming the extra that the chip
    /// cannot run.
    ExtraPrograms(Pipeline& owner, const model::Architecture& architecture,
                  const device::Profile& profile, BakedPrograms& programs, ThreadPool& pool,
                  const model::Form& form, const std::set<Extra>& extras, bool training);

    const Offload& offload() const { return offload_; }
    /// The programs of the forward pass, and of the gradient through one norm (numbered as in
    /// Offload), for new weights.
    void stage_forward(const ParameterSet& weights);
    void stage_backward(std::size_t norm, const ParameterSet& weights);
    std::int64_t compiles_for_update() const;
    bool take_overflow();

  private:
    /// A stage's function, and the program that the newest weights gave it.
    struct Unit {
        mil::passes::Baked form;
        mil::WeightFiles tables;
        CompileQueue::Program program;
        device::Surface y;
        std::int64_t first = 0, rows = 0;  ///< of the vocabulary: a classifier's part
    };
    std::unique_ptr<Unit> unit(const model::Stage& stage) const;
    void make_norm_backward();
    void make_offload();
    void evaluate(Extra extra, const CompileQueue::Program& program,
                  const device::Bindings& bindings, std::int64_t block = -1);
    void store_stream(Extra extra, const float* x, device::Surface& surface);
    void load_into(Extra extra, const device::Surface& surface, float* values);
    void run_classifier(const float* x);
    void run_softmax();
    const std::string& norm_parameter(std::size_t norm) const;

    Pipeline& owner_;
    const model::Architecture& architecture_;
    BakedPrograms& programs_;
    ThreadPool& pool_;
    model::Form form_;
    std::set<Extra> extras_;
    bool training_;
    Offload offload_;
    std::unique_ptr<Unit> final_norm_, softmax_, norm_backward_;
    std::vector<std::unique_ptr<Unit>> classifier_;
    std::vector<CompileQueue::Program> norm_backward_programs_;
    device::Surface x_, dy_;     // [1, C, 1, S]
    device::Surface logits_;     // [1, V, 1, S], softmax's input
    std::vector<float> values_;  // [C][S]
    bool overflow_ = false;
};

/// The largest number of channels that an extra of this profile may have; 0: any.
std::int64_t channel_limit(const device::Profile& profile);

}  // namespace pome::train
