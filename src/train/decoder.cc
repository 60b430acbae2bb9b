#include "train/decoder.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/convert.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/matrix_vector.h"
#include "kernels/rmsnorm.h"
#include "model/cached_attention.h"
#include "train/surface_io.h"

namespace pome::train {
namespace {

using device::Surface;

/// The shortest cache: rows of 64 bytes, which every route takes. Longer ones double it.
constexpr std::int64_t shortest_cache = 32;
/// Fewer tokens than this are read one by one: a chunk costs about as much.
constexpr std::int64_t worth_a_chunk = 8;

model::Form form_for(model::Form form, const device::Device& device) {
    form.dtype = device.profile().compute;
    form.transposed_weights = true;
    if (const auto row = device.profile().surfaces.row_bytes; row > 0) {
        form.hidden_multiple = row / static_cast<std::int64_t>(size_in_memory(form.dtype));
    }
    form.head_multiple = std::max<std::int64_t>(1, device.profile().limits.matmul_inner_multiple);
    return form;
}

void set(Surface& surface, std::int64_t index, double value) {
    if (surface.type().dtype == DType::fp32) {
        surface.floats()[index] = static_cast<float>(value);
    } else {
        surface.halves()[index] = to_fp16(value, Rounding::nearest_even);
    }
}

/// The surface of so many channels at `width` positions.
Shape activations(std::int64_t channels, std::int64_t width) {
    return width == 1 ? Shape{1, 1, 1, channels} : Shape{1, channels, 1, width};
}

/// Fills a surface [1, >= columns, 1, >= rows] with the transpose of a matrix [rows, columns]; the
/// rest keeps its zeros. Every `group` rows of the matrix take `padded` of the surface.
void store_weight(std::span<const float> values, const Shape& shape, std::int64_t group,
                  std::int64_t padded, Surface& surface, ThreadPool& pool) {
    const std::int64_t rows = surface.type().shape[3], columns = surface.type().shape[1];
    if (rows == shape[0] && columns == shape[1]) {
        return store_transposed(values.data(), columns, surface, pool);
    }
    std::vector<float> filled(static_cast<std::size_t>(rows * columns));
    for (std::int64_t row = 0; row < shape[0]; ++row) {
        const std::int64_t to = row / group * padded + row % group;
        std::copy_n(values.data() + row * shape[1], shape[1], filled.data() + to * columns);
    }
    store_transposed(filled.data(), columns, surface, pool);
}

}  // namespace

/// A stage compiled for a number of positions.
struct Decoder::Program {
    std::int64_t width;
    model::Stage stage;
    std::unique_ptr<device::Executable> executable;
};

/// One block: its weights by the name of the stage's input and, for attention, its cache.
struct Decoder::Layer {
    std::map<std::string, Surface, std::less<>> weights;
    Surface keys, values;
};

Decoder::Decoder(const model::Architecture& architecture, const ParameterSet& weights,
                 device::Device& device, ThreadPool& pool, const model::Form& form)
    : architecture_(architecture),
      weights_(weights),
      device_(device),
      pool_(pool),
      form_(form_for(form, device)) {
    for (const model::Block& block : architecture.blocks) {
        auto layer = std::make_unique<Layer>();
        std::size_t next = 0;  // the stages' weights together are in the order of the block's
        for (const Part part : parts(block.stage)) {
            const model::Stage stage = make_stage(part, 1);
            for (const std::string& name : stage.weights) {
                const std::size_t index = weights.index(block.weights[next++]);
                const Shape& shape = weights.parameter(index).shape;
                const bool head = name == "wq" || name == "wk";
                Surface surface(*stage.function.find_type(name));
                store_weight(weights.values(index), shape,
                             head ? architecture.config.head_size() : shape[0],
                             head ? model::padded_head(architecture.config, form_) : shape[0],
                             surface, pool);
                layer->weights.emplace(name, std::move(surface));
            }
        }
        layers_.push_back(std::move(layer));
    }
    if (form_.dtype == DType::fp16) {
        const std::int64_t width = architecture.config.width,
                           vocabulary = architecture.config.vocabulary;
        head_ = Surface(mil::Type::tensor(DType::fp16, {1, width, 1, vocabulary}));
        store_transposed(weights.values(architecture.head).data(), width, head_, pool);
    }
}

Decoder::~Decoder() = default;

std::vector<Decoder::Part> Decoder::parts(model::StageKind kind) {
    switch (kind) {
        case model::StageKind::attention:
            return {Part::query_key_value, Part::attention};
        case model::StageKind::feed_forward:
            return {Part::feed_forward};
        case model::StageKind::mlp:
            return {Part::mlp};
    }
    return {};
}

model::Stage Decoder::make_stage(Part part, std::int64_t positions) const {
    const auto& config = architecture_.config;
    model::Form form = form_;
    form.sequence = positions;
    switch (part) {
        case Part::query_key_value:
            return model::query_key_value_stage(config, form);
        case Part::attention:
            return model::cached_attention_stage(config, form, std::max(cache_, shortest_cache));
        case Part::feed_forward:
            return model::feed_forward_stage(config, form);
        case Part::mlp:
            break;
    }
    return model::mlp_stage(config, form);
}

Decoder::Program& Decoder::program(Part part, std::int64_t positions) {
    auto& slot = programs_[{part, positions}];
    if (slot) {
        return *slot;
    }
    auto made = std::make_unique<Program>();
    made->width = positions;
    made->stage = make_stage(part, positions);
    made->executable = device_.compile(
        {device::program_for(made->stage.function, device_.profile()), made->stage.files});
    slot = std::move(made);
    return *slot;
}

void Decoder::grow(std::int64_t positions) {
    if (positions <= cache_) {
        return;
    }
    std::int64_t cache = std::max(shortest_cache, cache_);
    while (cache < positions) {
        cache *= 2;
    }
    const auto& config = architecture_.config;
    for (std::size_t block = 0; block < layers_.size(); ++block) {
        if (architecture_.blocks[block].stage != model::StageKind::attention) {
            continue;
        }
        Layer& layer = *layers_[block];
        const auto extend = [&](Surface& surface, std::int64_t rows, std::int64_t row) {
            Surface now(mil::Type::tensor(form_.dtype, {1, rows, 1, cache * row}));
            // Rows of the old cache are the beginnings of the new one's.
            const auto bytes = surface.bytes().size() / static_cast<std::size_t>(rows);
            for (std::int64_t i = 0; i < rows && bytes > 0; ++i) {
                const auto to = now.bytes().size() / static_cast<std::size_t>(rows);
                std::memcpy(now.bytes().data() + static_cast<std::size_t>(i) * to,
                            surface.bytes().data() + static_cast<std::size_t>(i) * bytes, bytes);
            }
            surface = std::move(now);
        };
        extend(layer.keys, config.kv_heads * model::padded_head(config, form_), 1);
        extend(layer.values, config.kv_heads, config.head_size());
    }
    cache_ = cache;
    // Programs and masks of the old length are of no use any more.
    std::erase_if(programs_,
                  [](const auto& entry) { return entry.first.first == Part::attention; });
    std::erase_if(shared_, [](const auto& entry) { return entry.first.first == "mask"; });
}

Surface& Decoder::shared(const std::string& name, std::int64_t width, const Shape& shape) {
    return shared_.try_emplace({name, width}, mil::Type::tensor(form_.dtype, shape)).first->second;
}

void Decoder::evaluate(Program& program, Layer& layer) {
    device::Bindings bindings;
    const auto own = [&](const std::string& name) -> Surface* {
        const auto weight = layer.weights.find(name);
        return weight != layer.weights.end() ? &weight->second
               : name == "keys"              ? &layer.keys
               : name == "values"            ? &layer.values
                                             : nullptr;
    };
    for (const auto& input : program.executable->inputs()) {
        Surface* surface = own(input.name);
        bindings.inputs[input.name] =
            surface != nullptr ? surface : &shared(input.name, program.width, input.type.shape);
    }
    for (const auto& output : program.executable->outputs()) {
        bindings.outputs[output.name] = &shared(output.name, program.width, output.type.shape);
    }
    program.executable->evaluate(bindings);
}

void Decoder::set_positions(std::int64_t count, std::int64_t width) {
    Surface& mask = shared("mask", width, {1, width, 1, cache_});
    for (std::int64_t s = 0; s < width; ++s) {
        for (std::int64_t key = 0; key < cache_; ++key) {
            set(mask, s * cache_ + key, key <= positions_ + s ? 0.0 : model::masked);
        }
    }
    const auto& config = architecture_.config;
    if (!config.rope) {
        return;
    }
    const std::int64_t channels = config.heads * model::padded_head(config, form_);
    Surface& cosine = shared("cosine", width, activations(channels, width));
    Surface& sine = shared("sine", width, activations(channels, width));
    for (std::int64_t s = 0; s < count; ++s) {
        const auto angles = model::rotation_angles(config, form_, positions_ + s);
        for (std::int64_t c = 0; c < channels; ++c) {
            set(cosine, c * width + s, angles.cosine[static_cast<std::size_t>(c)]);
            set(sine, c * width + s, angles.sine[static_cast<std::size_t>(c)]);
        }
    }
}

void Decoder::remember(Layer& layer, std::int64_t count, std::int64_t width) {
    const auto& config = architecture_.config;
    const std::int64_t size = config.head_size(),
                       key_channels = config.kv_heads * model::padded_head(config, form_);
    const auto copy = [&](auto* keys, auto* values, const auto* k, const auto* v) {
        for (std::int64_t s = 0; s < count; ++s) {
            const std::int64_t position = positions_ + s;
            for (std::int64_t c = 0; c < key_channels; ++c) {
                keys[c * cache_ + position] = k[c * width + s];
            }
            for (std::int64_t c = 0; c < config.kv_width(); ++c) {
                values[(c / size * cache_ + position) * size + c % size] = v[c * width + s];
            }
        }
    };
    const Surface &k = shared("k", width, activations(key_channels, width)),
                  &v = shared("v", width, activations(config.kv_width(), width));
    if (form_.dtype == DType::fp32) {
        copy(layer.keys.floats(), layer.values.floats(), k.floats(), v.floats());
    } else {
        copy(layer.keys.halves(), layer.values.halves(), k.halves(), v.halves());
    }
}

void Decoder::run_block(std::size_t index, std::int64_t count, std::int64_t width) {
    const model::Block& block = architecture_.blocks[index];
    Layer& layer = *layers_[index];
    const auto& config = architecture_.config;
    kernels::rmsnorm(config.width, width, stream_.data(), weights_.values(block.norm).data(),
                     static_cast<float>(config.norm_epsilon), normalized_.data(), roots_.data(),
                     pool_);
    store(normalized_.data(), shared("x", width, activations(config.width, width)), pool_);
    for (const Part part : parts(block.stage)) {
        evaluate(program(part, width), layer);
        if (part == Part::query_key_value) {
            remember(layer, count, width);
        }
    }
    load(shared("y", width, activations(config.width, width)), branch_.data(), pool_);
    for (std::size_t i = 0; i < stream_.size(); ++i) {
        stream_[i] += branch_[i];
    }
}

void Decoder::step(std::span<const std::int32_t> tokens, std::int64_t width) {
    const auto& config = architecture_.config;
    const auto count = static_cast<std::int64_t>(tokens.size());
    const auto size = static_cast<std::size_t>(config.width * width);
    for (auto* values : {&stream_, &normalized_, &branch_}) {
        values->resize(size);
    }
    roots_.resize(static_cast<std::size_t>(width));
    std::vector<std::int32_t> padded(tokens.begin(), tokens.end());
    padded.resize(static_cast<std::size_t>(width), 0);  // positions that nobody looks at
    kernels::embedding_gather(weights_.values(architecture_.embedding).data(), config.width, padded,
                              stream_.data(), pool_);
    set_positions(count, width);
    for (std::size_t block = 0; block < layers_.size(); ++block) {
        run_block(block, count, width);
    }
    kernels::rmsnorm(
        config.width, width, stream_.data(), weights_.values(architecture_.final_norm).data(),
        static_cast<float>(config.norm_epsilon), normalized_.data(), roots_.data(), pool_);
    hidden_.resize(static_cast<std::size_t>(config.width));
    for (std::int64_t c = 0; c < config.width; ++c) {
        hidden_[static_cast<std::size_t>(c)] =
            normalized_[static_cast<std::size_t>(c * width + count - 1)];
    }
    positions_ += count;
}

void Decoder::read(std::span<const std::int32_t> tokens) {
    const auto& config = architecture_.config;
    const auto count = static_cast<std::int64_t>(tokens.size());
    if (count > config.sequence - positions_) {
        fail(Code::invalid_argument, "train.generate",
             "{} tokens after {} are more than the model's {} positions", count, positions_,
             config.sequence);
    }
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= config.vocabulary) {
            fail(Code::invalid_argument, "train.generate",
                 "token id {} is outside the vocabulary of {}", token, config.vocabulary);
        }
    }
    grow(positions_ + count);
    while (!tokens.empty()) {
        const bool many = tokens.size() >= static_cast<std::size_t>(worth_a_chunk);
        const std::size_t now = many ? std::min(tokens.size(), static_cast<std::size_t>(chunk)) : 1;
        step(tokens.first(now), many ? chunk : 1);
        tokens = tokens.subspan(now);
    }
}

std::vector<float> Decoder::logits() const {
    const std::int64_t width = architecture_.config.width,
                       vocabulary = architecture_.config.vocabulary;
    if (positions_ == 0) {
        fail(Code::invalid_argument, "train.generate", "no token was read: give a prompt of one");
    }
    std::vector<float> logits(static_cast<std::size_t>(vocabulary));
    if (head_.elements() > 0) {
        kernels::matrix_vector(hidden_.data(), head_.halves(), width, vocabulary, vocabulary,
                               logits.data(), pool_);
    } else {
        kernels::gemm(false, true, 1, vocabulary, width, 1.0F, hidden_.data(), width,
                      weights_.values(architecture_.head).data(), width, 0.0F, logits.data(),
                      vocabulary, pool_);
    }
    return logits;
}

}  // namespace pome::train
