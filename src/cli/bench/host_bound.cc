#include "cli/bench/host_bound.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/random.h"
#include "cli/bench/timing.h"
#include "kernels/classifier.h"
#include "kernels/convert.h"
#include "kernels/matmul.h"
#include "train/stage_pipeline.h"
#include "train/trainer.h"

namespace pome::cli::bench {
namespace {

constexpr double fp32 = 4.0, fp16 = 2.0;

/// Elements that the host looks at before they go into the weight gradients of a block.
double operand_elements(const model::Stage& stage) {
    const auto parts = train::training_programs(stage);
    std::set<std::string> names;
    for (const auto& product : parts.host_gradients) {
        names.insert({product.left, product.right});
    }
    double elements = 0.0;
    for (const auto& name : names) {
        const mil::Type* type = parts.backward.find_type(name);
        type = type != nullptr ? type : parts.forward.find_type(name);
        elements += static_cast<double>(type->shape.elements());
    }
    return elements;
}

}  // namespace

HostBytes host_bytes(const model::Architecture& architecture, std::int64_t sequence,
                     std::int64_t batch) {
    const auto sequences = static_cast<double>(batch);
    const double stream = sequences * static_cast<double>(architecture.config.width * sequence);
    const auto blocks = static_cast<double>(architecture.blocks.size());
    const auto parameters = static_cast<double>(architecture.parameter_count());
    const model::Form form = train::stage_form({}, sequence);
    HostBytes bytes;
    std::map<model::StageKind, double> operands;
    for (const auto& block : architecture.blocks) {
        const auto [entry, first] = operands.try_emplace(block.stage, 0.0);
        if (first) {
            entry->second =
                operand_elements(model::make_stage(block.stage, architecture.config, form));
        }
        bytes.operands += fp16 * sequences * entry->second;
        for (const auto& parameter : architecture.parameters) {
            if (std::find(block.weights.begin(), block.weights.end(), parameter.name) !=
                block.weights.end()) {
                bytes.staging += (fp16 + fp32) * static_cast<double>(parameter.elements());
            }
        }
    }
    bytes.surfaces = 4.0 * (fp16 + fp32) * stream * blocks;
    bytes.norms = 6.0 * fp32 * stream * (blocks + 1.0);
    bytes.residuals = 3.0 * fp32 * stream * blocks;
    bytes.embedding = 5.0 * fp32 * stream;
    bytes.loss =
        2.0 * fp32 * sequences * static_cast<double>(architecture.config.vocabulary * sequence);
    bytes.gradients = 2.0 * fp32 * parameters;
    bytes.optimizer = 7.0 * fp32 * parameters;
    return bytes;
}

double host_product_flops(const model::Architecture& architecture, std::int64_t sequence) {
    double weights = 3.0 * static_cast<double>(architecture.config.width) *
                     static_cast<double>(architecture.config.vocabulary);
    for (const auto& block : architecture.blocks) {
        for (const auto& parameter : architecture.parameters) {
            if (std::find(block.weights.begin(), block.weights.end(), parameter.name) !=
                block.weights.end()) {
                weights += static_cast<double>(parameter.elements());
            }
        }
    }
    return 2.0 * static_cast<double>(sequence) * weights;
}

double host_products_ms(const model::Architecture& architecture, std::int64_t sequence,
                        train::ParameterSet& gradients, ThreadPool& pool) {
    const std::int64_t width = architecture.config.width,
                       vocabulary = architecture.config.vocabulary;
    Random random(2);
    const auto values = [&](std::int64_t count) {
        std::vector<float> list(static_cast<std::size_t>(count));
        std::generate(list.begin(), list.end(),
                      [&] { return static_cast<float>(random.normal()); });
        return list;
    };
    std::int64_t widest = width;
    for (const auto& parameter : architecture.parameters) {
        if (parameter.shape.rank() == 2 && parameter.name != architecture.embedding) {
            widest = std::max({widest, parameter.shape[0], parameter.shape[1]});
        }
    }
    const auto halves = [&](std::int64_t count) {
        const auto floats = values(count);
        std::vector<pome::fp16> list(floats.size());
        kernels::to_fp16(floats.data(), list.data(), count, Rounding::nearest_even);
        return list;
    };
    const auto left = halves(widest * sequence), right = halves(widest * sequence);
    kernels::MatmulScratch scratch;
    auto logits = values(vocabulary * sequence);
    auto stream = values(width * sequence);
    const auto head = values(vocabulary * width);
    std::vector<float> result(static_cast<std::size_t>(width * sequence));
    const auto sweep = [&] {
        const kernels::ClassifierSizes sizes{width, sequence, vocabulary};
        kernels::classifier_logits(sizes, stream.data(), head.data(), logits.data(), pool, scratch);
        kernels::classifier_input_gradient(sizes, head.data(), logits.data(), 1.0F, result.data(),
                                           pool, scratch);
        kernels::classifier_weight_gradient(sizes, logits.data(), stream.data(), 1.0F,
                                            gradients.values(architecture.head).data(), pool,
                                            scratch);
        for (const auto& block : architecture.blocks) {
            std::vector<kernels::MatmulSum> products;
            for (const auto& name : block.weights) {
                const std::size_t index = gradients.index(name);
                const Shape& shape = gradients.parameter(index).shape;
                products.push_back({{left.data(), shape[0], sequence, sequence, 1},
                                    {right.data(), sequence, shape[1], 1, sequence},
                                    gradients.values(index).data(),
                                    shape[1]});
            }
            kernels::matmul_add(products, pool, scratch);
        }
    };
    sweep();
    std::vector<double> times;
    for (int i = 0; i < 5; ++i) {
        times.push_back(milliseconds(sweep));
    }
    return median(times);
}

double copy_gbs(ThreadPool& pool) {
    constexpr std::int64_t size = std::int64_t{256} << 20;
    LargeVector<char> from(size, 1), to(size, 2);
    const double ms = median_ms([&] {
        pool.for_ranges(size, 1 << 20, [&](std::int64_t begin, std::int64_t end, int) {
            std::memcpy(to.data() + begin, from.data() + begin,
                        static_cast<std::size_t>(end - begin));
        });
    });
    return 2.0 * static_cast<double>(size) / ms / 1e6;
}

}  // namespace pome::cli::bench
