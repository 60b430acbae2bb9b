#include "train/extra_programs.h"

#include <fmt/format.h>

#include "base/error.h"
#include "mil/autodiff/autodiff.h"
#include "train/stopwatch.h"
#include "train/surface_io.h"

namespace pome::train {

using device::Surface;

std::int64_t channel_limit(const device::Profile& profile) {
    return profile.limits.max_channels;
}

std::vector<std::string> extras_for(const model::ModelConfig& config, std::int64_t limit) {
    std::vector<std::string> names;
    for (const Extra extra : all_extras()) {
        if (extra != Extra::softmax || limit == 0 || config.vocabulary <= limit) {
            names.emplace_back(extra_name(extra));
        }
    }
    return names;
}

std::vector<ClassifierPart> classifier_parts(std::int64_t vocabulary, std::int64_t limit) {
    const std::int64_t count = limit > 0 ? (vocabulary + limit - 1) / limit : 1;
    std::vector<ClassifierPart> parts;
    for (std::int64_t part = 0; part < count; ++part) {
        const std::int64_t first = vocabulary * part / count;
        parts.push_back({first, vocabulary * (part + 1) / count - first});
    }
    return parts;
}

mil::Function norm_backward_function(const model::Stage& norm) {
    mil::autodiff::Options wanted;
    wanted.with_respect_to = {"x"};
    wanted.recompute = mil::autodiff::Recompute::everything;  // the engine did not run these norms:
                                                              // nothing was saved
    wanted.stop_gradients = norm.stop_gradients;
    return mil::autodiff::differentiate(norm.function, wanted).backward;
}

ExtraPrograms::ExtraPrograms(Pipeline& owner, const model::Architecture& architecture,
                             const device::Profile& profile, BakedPrograms& programs,
                             ThreadPool& pool, const model::Form& form,
                             const std::set<Extra>& extras, bool training)
    : owner_(owner),
      architecture_(architecture),
      programs_(programs),
      pool_(pool),
      form_(form),
      extras_(extras),
      training_(training) {
    const model::ModelConfig& config = architecture.config;
    const std::int64_t vocabulary = config.vocabulary, limit = channel_limit(profile);
    if (extras_.empty()) {
        return;
    }
    x_ = Surface(mil::Type::tensor(form_.dtype, {1, config.width, 1, form_.sequence}));
    if (extras_.contains(Extra::final_norm)) {
        final_norm_ = unit(model::norm_stage(config, form_));
    }
    if (extras_.contains(Extra::classifier)) {
        for (const ClassifierPart& part : classifier_parts(vocabulary, limit)) {
            classifier_.push_back(unit(model::classifier_stage(config, form_, part.rows)));
            classifier_.back()->first = part.first;
            classifier_.back()->rows = part.rows;
        }
    }
    if (extras_.contains(Extra::softmax)) {
        if (limit > 0 && vocabulary > limit) {
            fail(Code::unsupported, "train.pipeline",
                 "engine.extras has softmax over {} tokens, but {} takes at most {} channels; "
                 "leave softmax out",
                 vocabulary, profile.name, limit);
        }
        softmax_ = unit(model::softmax_stage(config, form_));
        if (classifier_.empty()) {
            logits_ = Surface(mil::Type::tensor(form_.dtype, {1, vocabulary, 1, form_.sequence}));
        }
    }
    if (extras_.contains(Extra::norm_backward) && training_) {
        make_norm_backward();
    }
    make_offload();
}

std::unique_ptr<ExtraPrograms::Unit> ExtraPrograms::unit(const model::Stage& stage) const {
    auto made = std::make_unique<Unit>();
    made->form = mil::passes::bake_weights(stage.function, stage.weights);
    made->tables = stage.files;
    made->y = Surface(*stage.function.find_type("y"));
    return made;
}

void ExtraPrograms::make_norm_backward() {
    const model::Stage stage = model::norm_stage(architecture_.config, form_);
    const mil::Function backward = norm_backward_function(stage);
    norm_backward_ = std::make_unique<Unit>();
    norm_backward_->form = mil::passes::bake_weights(backward, stage.weights);
    norm_backward_->y = Surface(x_.type());
    dy_ = Surface(x_.type());
    values_.resize(static_cast<std::size_t>(x_.elements()));
    norm_backward_programs_.resize(architecture_.blocks.size() + 1);
}

const std::string& ExtraPrograms::norm_parameter(std::size_t norm) const {
    return norm < architecture_.blocks.size() ? architecture_.blocks[norm].norm
                                              : architecture_.final_norm;
}

void ExtraPrograms::stage_forward(const ParameterSet& weights) {
    if (final_norm_) {
        final_norm_->program = programs_.program(
            "the final norm's program", final_norm_->form, final_norm_->tables,
            [&](const std::string&) { return weights.values(architecture_.final_norm); });
    }
    for (const auto& part : classifier_) {
        const auto width = static_cast<std::size_t>(architecture_.config.width);
        part->program =
            programs_.program(fmt::format("the classifier program of tokens {} to {}", part->first,
                                          part->first + part->rows - 1),
                              part->form, part->tables, [&](const std::string&) {
                                  return weights.values(architecture_.head)
                                      .subspan(static_cast<std::size_t>(part->first) * width,
                                               static_cast<std::size_t>(part->rows) * width);
                              });
    }
    if (softmax_) {
        softmax_->program =
            programs_.program("the softmax program", softmax_->form, softmax_->tables, {});
    }
}

void ExtraPrograms::stage_backward(std::size_t norm, const ParameterSet& weights) {
    if (norm_backward_) {
        norm_backward_programs_[norm] = programs_.program(
            fmt::format("the program of the gradient through norm {}", norm), norm_backward_->form,
            norm_backward_->tables,
            [&](const std::string&) { return weights.values(norm_parameter(norm)); });
    }
}

std::int64_t ExtraPrograms::compiles_for_update() const {
    return (final_norm_ ? 1 : 0) + static_cast<std::int64_t>(classifier_.size()) +
           (softmax_ && !softmax_->program.valid() ? 1 : 0) +
           static_cast<std::int64_t>(norm_backward_programs_.size());
}

bool ExtraPrograms::take_overflow() {
    return std::exchange(overflow_, false);
}

void ExtraPrograms::evaluate(Extra extra, const CompileQueue::Program& program,
                             const device::Bindings& bindings, std::int64_t block) {
    const std::string title(extra_name(extra));
    device::Executable& executable = wait_for(program, owner_, title, block);
    const Stopwatch watch(owner_.extra_costs()[extra].device_ms);
    const Span span = owner_.span(Part::device, title, block);
    const std::int64_t before = executable.arithmetic().saturated;
    executable.evaluate(bindings);
    overflow_ = overflow_ || executable.arithmetic().saturated > before;
}

void ExtraPrograms::store_stream(Extra extra, const float* x, Surface& surface) {
    const Stopwatch watch(owner_.extra_costs()[extra].io_ms);
    const Span span = owner_.span(Part::io, fmt::format("store {}", extra_name(extra)));
    // The engine takes infinities for numbers: the results would not show that one came in.
    overflow_ =
        overflow_ || (surface.type().dtype == DType::fp16 && leaves_fp16(x, surface.elements()));
    store(x, surface, pool_);
}

void ExtraPrograms::load_into(Extra extra, const Surface& surface, float* values) {
    const Stopwatch watch(owner_.extra_costs()[extra].io_ms);
    const Span span = owner_.span(Part::io, fmt::format("load {}", extra_name(extra)));
    load(surface, values, pool_);
    overflow_ = overflow_ || has_infinity(values, surface.elements());
}

void ExtraPrograms::run_classifier(const float* x) {
    ++owner_.extra_costs()[Extra::classifier].runs;
    store_stream(Extra::classifier, x, x_);
    for (const auto& part : classifier_) {
        evaluate(Extra::classifier, part->program, {{{"x", &x_}}, {{"y", &part->y}}});
    }
}

void ExtraPrograms::run_softmax() {
    ++owner_.extra_costs()[Extra::softmax].runs;
    const Surface& logits = classifier_.empty() ? logits_ : classifier_.front()->y;
    evaluate(Extra::softmax, softmax_->program, {{{"x", &logits}}, {{"y", &softmax_->y}}});
}

void ExtraPrograms::make_offload() {
    const std::int64_t vocabulary = architecture_.config.vocabulary;
    // A timed transfer between the host's [S][V] and a part of the engine's [V][S].
    const auto transfer = [this](Extra extra, const char* what, auto work) {
        const Stopwatch watch(owner_.extra_costs()[extra].io_ms);
        const Span span = owner_.span(Part::io, fmt::format("{} {}", what, extra_name(extra)));
        work();
    };
    if (final_norm_) {
        offload_.final_norm = [this](const float* x, float* y) {
            ++owner_.extra_costs()[Extra::final_norm].runs;
            store_stream(Extra::final_norm, x, x_);
            evaluate(Extra::final_norm, final_norm_->program,
                     {{{"x", &x_}}, {{"y", &final_norm_->y}}});
            load_into(Extra::final_norm, final_norm_->y, y);
        };
    }
    if (!classifier_.empty()) {
        offload_.classifier = [this, vocabulary, transfer](const float* x, float* logits) {
            run_classifier(x);
            transfer(Extra::classifier, "load", [&] {
                for (const auto& part : classifier_) {
                    load_transposed(part->y, logits + part->first, vocabulary, pool_);
                }
            });
        };
    }
    if (softmax_) {
        const auto load_probabilities = [this, vocabulary, transfer](float* probabilities) {
            transfer(Extra::softmax, "load",
                     [&] { load_transposed(softmax_->y, probabilities, vocabulary, pool_); });
        };
        offload_.softmax = [this, vocabulary, transfer, load_probabilities](float* values) {
            Surface& logits = classifier_.empty() ? logits_ : classifier_.front()->y;
            transfer(Extra::softmax, "store",
                     [&] { store_transposed(values, vocabulary, logits, pool_); });
            run_softmax();
            load_probabilities(values);
        };
        if (!classifier_.empty()) {
            offload_.classifier_softmax = [this, load_probabilities](const float* x,
                                                                     float* probabilities) {
                run_classifier(x);
                run_softmax();
                load_probabilities(probabilities);
            };
        }
    }
    if (norm_backward_) {
        offload_.norm_backward = [this](std::size_t norm, const float* x, const float* dy,
                                        float* dx) {
            constexpr Extra extra = Extra::norm_backward;
            ++owner_.extra_costs()[extra].runs;
            store_stream(extra, x, x_);
            store_stream(extra, dy, dy_);
            evaluate(extra, norm_backward_programs_[norm],
                     {{{"d_y", &dy_}, {"x", &x_}}, {{"d_x", &norm_backward_->y}}},
                     static_cast<std::int64_t>(norm));
            load_into(extra, norm_backward_->y, values_.data());
            const Span span =
                owner_.span(Part::host, "gradient sum", static_cast<std::int64_t>(norm));
            for (std::size_t i = 0; i < values_.size(); ++i) {
                dx[i] += values_[i];
            }
        };
    }
}

}  // namespace pome::train
