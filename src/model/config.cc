#include "model/config.h"

#include <fmt/ranges.h>

#include <array>

#include "base/error.h"

namespace pome::model {
namespace {

struct Preset {
    std::string_view name;
    std::int64_t width, hidden, layers, heads, kv_heads, vocabulary, sequence;
};

// Sizes of the published llama2.c checkpoints.
constexpr std::array<Preset, 4> presets{{
    {"stories260K", 64, 172, 5, 8, 4, 512, 512},
    {"stories15M", 288, 768, 6, 6, 6, 32000, 256},
    {"stories42M", 512, 1376, 8, 8, 8, 32000, 1024},
    {"stories110M", 768, 2048, 12, 12, 12, 32000, 1024},
}};

}  // namespace

void ModelConfig::check() const {
    const auto positive = [](std::string_view name, std::int64_t value) {
        constexpr std::int64_t limit = std::int64_t{1} << 24;
        if (value < 1 || value > limit) {
            fail(Code::invalid_argument, "model.config", "{} is {}, it must be from 1 to {}", name,
                 value, limit);
        }
    };
    if (kind != "llama" && kind != "mlp") {
        fail(Code::invalid_argument, "model.config", "kind is '{}', not 'llama' or 'mlp'", kind);
    }
    positive("width", width);
    positive("hidden", hidden);
    positive("layers", layers);
    positive("vocabulary", vocabulary);
    positive("sequence", sequence);
    positive("heads", heads);
    positive("kv_heads", kv_heads);
    if (kind == "llama") {
        if (width % heads != 0 || head_size() % 2 != 0) {
            fail(Code::invalid_argument, "model.config",
                 "width {} over {} heads is no even head size; choose heads so that width / heads "
                 "is even",
                 width, heads);
        }
        if (heads % kv_heads != 0) {
            fail(Code::invalid_argument, "model.config", "heads {} is no multiple of kv_heads {}",
                 heads, kv_heads);
        }
    }
    if (!(rope_base > 1.0) || !(rope_base < 1e12)) {
        fail(Code::invalid_argument, "model.config",
             "rope_base is {}, it must be between 1 and 1e12", rope_base);
    }
    if (!(norm_epsilon > 0.0) || !(norm_epsilon < 1.0)) {
        fail(Code::invalid_argument, "model.config",
             "norm_epsilon is {}, it must be between 0 and 1", norm_epsilon);
    }
}

ModelConfig preset(std::string_view name) {
    for (const Preset& row : presets) {
        if (row.name == name) {
            ModelConfig config;
            config.width = row.width;
            config.hidden = row.hidden;
            config.layers = row.layers;
            config.heads = row.heads;
            config.kv_heads = row.kv_heads;
            config.vocabulary = row.vocabulary;
            config.sequence = row.sequence;
            return config;
        }
    }
    fail(Code::invalid_argument, "model.config", "no preset '{}'; known: {}", name,
         fmt::join(preset_names(), ", "));
}

std::vector<std::string> preset_names() {
    std::vector<std::string> names;
    for (const Preset& row : presets) {
        names.emplace_back(row.name);
    }
    return names;
}

}  // namespace pome::model
