#include "train/static_pipeline.h"

#include <fmt/format.h>

#include <cstring>

#include "formats/weight_blob.h"
#include "kernels/convert.h"
#include "kernels/layout.h"

namespace pome::train {
namespace {

model::Form for_device(model::Form form, const device::Device& device) {
    form.dtype = device.profile().compute;
    return form;
}

/// y [columns, rows] = x [rows, columns]^T.
template <typename T>
std::vector<T> transposed(const std::vector<T>& x, std::int64_t rows, std::int64_t columns) {
    constexpr std::int64_t tile = 32;  // rows and columns that stay in the cache together
    std::vector<T> y(x.size());
    for (std::int64_t row0 = 0; row0 < rows; row0 += tile) {
        for (std::int64_t column0 = 0; column0 < columns; column0 += tile) {
            for (std::int64_t row = row0; row < std::min(rows, row0 + tile); ++row) {
                for (std::int64_t column = column0; column < std::min(columns, column0 + tile);
                     ++column) {
                    y[static_cast<std::size_t>(column * rows + row)] =
                        x[static_cast<std::size_t>(row * columns + column)];
                }
            }
        }
    }
    return y;
}

template <typename T>
std::vector<std::byte> blob(const mil::passes::BakedWeight& weight, std::vector<T> values) {
    if (weight.transposed) {
        values = transposed(values, weight.rows, weight.columns);
    }
    formats::BlobWriter writer;
    writer.add(weight.dtype, std::as_bytes(std::span(values)));
    return writer.take();
}

/// The weight file of a baked weight: fp16 rounds to nearest even.
std::vector<std::byte> weight_file(const mil::passes::BakedWeight& weight,
                                   std::span<const float> values) {
    if (weight.dtype == DType::fp32) {
        return blob(weight, std::vector<float>(values.begin(), values.end()));
    }
    std::vector<fp16> halves(values.size());
    kernels::to_fp16(values.data(), halves.data(), static_cast<std::int64_t>(values.size()),
                     Rounding::nearest_even);
    return blob(weight, std::move(halves));
}

/// Two independent multiply-and-fold chains over 8 bytes at a time.
void add_to_digest(std::array<std::uint64_t, 2>& digest, std::span<const std::byte> bytes) {
    constexpr std::array<std::uint64_t, 2> factors{0x9E3779B97F4A7C15U, 0xD6E8FEB86659FD93U};
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, std::min(sizeof(word), bytes.size() - at));
        for (std::size_t i = 0; i < digest.size(); ++i) {
            digest[i] = (digest[i] ^ word) * factors[i];
            digest[i] ^= digest[i] >> (29 + 3 * i);
        }
    }
}

}  // namespace

StaticPipeline::StaticPipeline(const model::Architecture& architecture, device::Device& device,
                               ThreadPool& pool, const model::Form& form, const Options& options)
    : StagePipeline(architecture, pool, for_device(form, device), options.training),
      device_(device),
      slots_(architecture.blocks.size()),
      queue_(device, options.failed_programs) {
    for (std::size_t block = 0; block < blocks(); ++block) {
        const Kind* kind = layer(block).kind;
        if (bakings_.contains(kind)) {
            continue;
        }
        const auto bake = [&](Direction direction) {
            const mil::Function& function = kind->function(direction, is_training());
            std::vector<std::string> weights;
            for (const auto& parameter : function.parameters) {
                if (std::find(kind->stage.weights.begin(), kind->stage.weights.end(),
                              parameter.name) != kind->stage.weights.end()) {
                    weights.push_back(parameter.name);
                }
            }
            return mil::passes::bake_weights(function, weights);
        };
        Baking& made = bakings_[kind];
        made.forward = bake(Direction::forward);
        if (is_training()) {
            made.backward = bake(Direction::backward);
        }
    }
}

StaticPipeline::~StaticPipeline() = default;

const mil::passes::Baked& StaticPipeline::baked(std::size_t block, Direction direction) const {
    const Baking& made = bakings_.at(layer(block).kind);
    return direction == Direction::forward ? made.forward : made.backward;
}

std::int64_t StaticPipeline::compiles_for_update() const {
    return static_cast<std::int64_t>(blocks()) * (is_training() ? 2 : 1);
}

void StaticPipeline::stage_weights(const ParameterSet& weights) {
    const Stopwatch watch(times().io);
    // In the order of their evaluation: forward from the first block, backward from the last.
    for (std::size_t block = 0; block < blocks(); ++block) {
        stage(block, Direction::forward, weights);
    }
    for (std::size_t block = blocks(); is_training() && block-- > 0;) {
        stage(block, Direction::backward, weights);
    }
}

void StaticPipeline::stage(std::size_t block, Direction direction, const ParameterSet& weights) {
    const Kind& kind = *layer(block).kind;
    const mil::passes::Baked& form = baked(block, direction);
    auto package = std::make_shared<mil::Package>();
    Digest digest{};
    package->weights = kind.stage.files;
    for (const auto& weight : form.weights) {
        const auto& names = kind.stage.weights;
        const auto at = static_cast<std::size_t>(
            std::find(names.begin(), names.end(), weight.parameter) - names.begin());
        auto file = weight_file(weight, weights.values(parameter(block, at)));
        add_to_digest(digest, file);
        package->weights.add(weight.path, std::move(file));
    }
    Slot& slot = slots_[block][direction];
    if (slot.program.valid() && slot.digest == digest) {
        return;  // unchanged
    }
    slot.digest = digest;
    for (std::size_t other = 0; other < blocks(); ++other) {
        const auto found = slots_[other].find(direction);
        if (other != block && found != slots_[other].end() && found->second.digest == digest &&
            layer(other).kind == &kind) {
            slot.program = found->second.program;
            return;
        }
    }
    package->program = device::program_for(form.function, device_.profile());
    slot.program = queue_.add(
        fmt::format("the {} program of block {}",
                    kind.stage.name + (direction == Direction::forward ? " forward" : " backward"),
                    block),
        [package] { return *package; });
}

device::Executable& StaticPipeline::executable(std::size_t block, Direction direction) {
    const auto found = slots_[block].find(direction);
    if (found == slots_[block].end()) {
        fail(Code::invalid_argument, "train.pipeline", "evaluation before stage_weights()");
    }
    return *found->second.program.get();
}

void StaticPipeline::evaluate(std::size_t block, Direction direction) {
    device::Executable* program = nullptr;
    {
        const Stopwatch watch(times().wait);
        program = &executable(block, direction);
    }
    const Stopwatch watch(times().device);
    const std::int64_t before = program->arithmetic().saturated;
    program->evaluate(bindings(block, direction));
    saturated_ += program->arithmetic().saturated - before;
}

}  // namespace pome::train
