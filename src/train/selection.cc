#include "train/selection.h"

#include <fmt/format.h>

#include <vector>

#include "base/error.h"
#include "mil/builder.h"
#include "train/dynamic_pipeline.h"
#include "train/resident_pipeline.h"
#include "train/static_pipeline.h"
#include "train/surface_io.h"
#include "train/trainer.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.pipeline";
constexpr std::int64_t static_batch = 10;  // sequences that share the compiles of an update

/// Compiles and evaluates w @ x with w as an input; why that failed, or empty. The elements are
/// small integers, so every engine gives the exact result.
std::string probe_runtime_weights(device::Device& device) {
    constexpr std::int64_t rows = 64, inner = 64, columns = 64;
    try {
        const DType dtype = device.profile().compute;
        mil::Builder b;
        const auto w = b.input("a0_w", mil::Type::tensor(dtype, {1, rows, 1, inner}));
        const auto x = b.input("a1_x", mil::Type::tensor(dtype, {1, inner, 1, columns}));
        const auto y =
            b.matmul(b.reshape(w, {1, 1, rows, inner}), b.reshape(x, {1, 1, inner, columns}));
        b.output(b.rename(b.reshape(y, {1, rows, 1, columns}), "y"));
        const auto executable =
            device.compile({device::program_for(b.take(), device.profile()), {}});
        device::Surface ws(executable->inputs()[0].type), xs(executable->inputs()[1].type),
            ys(executable->outputs()[0].type);
        std::vector<float> wv(rows * inner), xv(inner * columns), yv(rows * columns);
        for (std::size_t i = 0; i < wv.size(); ++i) {
            wv[i] = static_cast<float>(static_cast<int>(i * 7 % 5) - 2);
            xv[i] = static_cast<float>(static_cast<int>(i * 11 % 7) - 3);
        }
        ThreadPool pool(1);
        store(wv.data(), ws, pool);
        store(xv.data(), xs, pool);
        executable->evaluate({{{"a0_w", &ws}, {"a1_x", &xs}}, {{"y", &ys}}});
        load(ys, yv.data(), pool);
        for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t c = 0; c < columns; ++c) {
                float sum = 0.0F;
                for (std::int64_t k = 0; k < inner; ++k) {
                    sum += wv[static_cast<std::size_t>(r * inner + k)] *
                           xv[static_cast<std::size_t>(k * columns + c)];
                }
                const float found = yv[static_cast<std::size_t>(r * columns + c)];
                if (found != sum) {
                    return fmt::format("element ({}, {}) is {} instead of {}", r, c, found, sum);
                }
            }
        }
        return {};
    } catch (const Error& error) {
        return error.text();
    }
}

}  // namespace

Choice choose_pipeline(const std::string& wanted, device::Device& device) {
    const bool allowed = device.profile().capabilities.runtime_weights;
    if (wanted == "static" || wanted == "static-extras") {
        return {wanted, "engine.pipeline asks for it"};
    }
    if (wanted == "dynamic" || wanted == "resident") {
        if (!allowed) {
            fail(
                Code::unsupported, here,
                "engine.pipeline is '{}', but {} does not run programs whose weights are "
                "inputs (capability runtime_weights); use engine.pipeline = \"static\" or \"auto\"",
                wanted, device.name());
        }
        return {wanted,
                wanted == "dynamic"
                    ? "engine.pipeline asks for it"
                    : "engine.pipeline asks for it; weights, gradients and AdamW of the "
                      "blocks on the engine, of embedding, norms and classifier on the host"};
    }
    if (!allowed) {
        return {"static",
                fmt::format("{} does not run programs whose weights are inputs", device.name())};
    }
    const std::string fault = probe_runtime_weights(device);
    if (!fault.empty()) {
        return {"static", "a probe of weights as inputs failed: " + fault};
    }
    return {"dynamic", "a probe of weights as inputs gave the right result"};
}

namespace {

/// Extras by default, or a check of those that were asked for.
void resolve_extras(Config& config, const device::Profile& profile, Choice& choice) {
    auto& extras = config.engine.extras;
    const std::int64_t limit = channel_limit(profile);
    if (extras) {
        if (!extras->empty() && choice.pipeline == "dynamic") {
            fail(Code::unsupported, here,
                 "engine.extras need programs with compiled weights; this run uses the '{}' "
                 "pipeline ({}); use engine.pipeline = \"static-extras\", or leave engine.extras "
                 "out",
                 choice.pipeline, choice.reason);
        }
        return;
    }
    extras.emplace();
    if (choice.pipeline != "static-extras") {
        return;
    }
    *extras = extras_for(config.model, limit);
    if (extras->size() < all_extras().size()) {
        choice.reason +=
            fmt::format("; softmax over {} tokens stays on the host: {} takes {} channels",
                        config.model.vocabulary, profile.name, limit);
    }
}

}  // namespace

Choice resolve(Config& config, device::Device& device) {
    Choice choice = choose_pipeline(config.engine.pipeline, device);
    config.engine.pipeline = choice.pipeline;
    if (config.run.batch == 0) {
        config.run.batch = choice.pipeline.starts_with("static") ? static_batch : 1;
    }
    resolve_extras(config, device.profile(), choice);
    if (!config.engine.overlap) {
        config.engine.overlap = !device.uses_host_processors();
    }
    if (config.engine.product_scale && choice.pipeline.starts_with("static")) {
        fail(Code::unsupported, here,
             "engine.product_scale needs the scales as inputs, which only the dynamic and resident "
             "pipelines have; this run uses '{}' ({}); set engine.product_scale = false",
             choice.pipeline, choice.reason);
    }
    return choice;
}

std::unique_ptr<Pipeline> make_pipeline(const Config& config,
                                        const model::Architecture& architecture,
                                        device::Device& device, ThreadPool& pool,
                                        const std::filesystem::path& failed_programs) {
    const model::Form form = stage_form(config.engine, config.run.sequence);
    std::unique_ptr<Pipeline> pipeline;
    if (config.engine.pipeline == "dynamic") {
        pipeline = std::make_unique<DynamicPipeline>(
            architecture, device, pool, form,
            DynamicPipeline::Options{.training = true,
                                     .scale_products = config.engine.product_scale,
                                     .recompute = config.engine.recompute});
    } else if (config.engine.pipeline == "resident") {
        pipeline = std::make_unique<ResidentPipeline>(
            architecture, device, pool, form,
            ResidentPipeline::Options{.form = *resident_form(config.engine.resident_state),
                                      .scale_products = config.engine.product_scale,
                                      .recompute = config.engine.recompute});
    } else {
        StaticPipeline::Options options{.training = true,
                                        .failed_programs = failed_programs,
                                        .extras = {},
                                        .recompute = config.engine.recompute};
        for (const auto& name : config.engine.extras.value_or(std::vector<std::string>{})) {
            options.extras.insert(extra_from(name));
        }
        pipeline = std::make_unique<StaticPipeline>(architecture, device, pool, form, options);
    }
    if (config.engine.overlap.value_or(false)) {
        pipeline->overlap_weight_gradients(pool.threads());
    }
    return pipeline;
}

}  // namespace pome::train
