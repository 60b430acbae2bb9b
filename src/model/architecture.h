#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/shape.h"
#include "model/config.h"
#include "model/stage.h"

namespace pome::model {

/// A trainable tensor and how it starts.
struct Parameter {
    std::string name;        ///< "layers.3.attention.wq.weight"
    Shape shape;             ///< linear layers [out, in]; norms [C]; embedding [V, C]
    double deviation = 0.0;  ///< starts normal with this standard deviation; 0: all ones
    bool decays = true;      ///< weight decay applies (not to norms)
    std::int64_t elements() const { return shape.elements(); }
};

enum class StageKind : std::uint8_t { attention, feed_forward, mlp };

/// x = x + stage(rmsnorm(x) * norm).
struct Block {
    std::string norm;  ///< parameter
    StageKind stage = StageKind::attention;
    std::vector<std::string> weights;  ///< parameters, in the order of Stage::weights
};

/// A decoder-only language model: embedding, blocks, final norm, classifier.
struct Architecture {
    ModelConfig config;
    std::vector<Parameter> parameters;
    std::vector<Block> blocks;
    std::string embedding = "embedding.weight";
    std::string final_norm = "norm.weight";
    std::string head;  ///< the classifier's parameter: the embedding when tied

    std::int64_t parameter_count() const;
};

/// Checks the config and lists the model's parameters and blocks.
Architecture architecture(const ModelConfig& config);

Stage make_stage(StageKind kind, const ModelConfig& config, const Form& form);

}  // namespace pome::model
