#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pome::model {

/// A language model's sizes: models are data.
struct ModelConfig {
    std::string kind =
        "llama";  ///< "llama" (RMSNorm, RoPE, attention, SwiGLU) or "mlp" (RMSNorm, ReLU layers)
    std::int64_t width = 0;   ///< channels of the residual stream
    std::int64_t hidden = 0;  ///< channels inside a feed-forward block
    std::int64_t layers = 0;
    std::int64_t heads = 1;  ///< query heads; width / heads is the head size
    std::int64_t kv_heads =
        1;  ///< key/value heads; query head h uses key/value head h / (heads / kv_heads)
    std::int64_t vocabulary = 0;
    std::int64_t sequence = 0;  ///< positions that the model was made for
    bool tied_head = true;      ///< the classifier is the embedding
    bool rope = true;  ///< positions rotate queries and keys; false: nothing tells positions
    double rope_base = 10000.0;
    double norm_epsilon = 1e-5;

    std::int64_t head_size() const { return width / heads; }
    std::int64_t kv_width() const { return head_size() * kv_heads; }
    /// Throws Error{invalid_argument} naming the size, its value and the rule.
    void check() const;

    friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// "stories260K", "stories15M", "stories42M", "stories110M". Throws Error{invalid_argument} listing
/// the names.
ModelConfig preset(std::string_view name);
std::vector<std::string> preset_names();

}  // namespace pome::model
