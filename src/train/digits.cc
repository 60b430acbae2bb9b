#include "train/digits.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "mil/autodiff/autodiff.h"
#include "train/config_reader.h"
#include "train/digits_data.h"
#include "train/resident_state.h"
#include "train/schedule.h"
#include "train/stopwatch.h"
#include "train/surface_io.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.digits";

using device::Surface;

model::Classifier classifier_of(const DigitsConfig& c, DType dtype) {
    return c.model == "mlp"
               ? model::mlp_classifier(digit_pixels, c.hidden, digit_classes, c.pictures, dtype)
               : model::conv_classifier(digit_side, c.channels, digit_classes, c.pictures, dtype);
}

/// Weights and moments, on the engine or on the host.
class State {
  public:
    virtual ~State() = default;
    virtual const Surface& weight(std::size_t index) const = 0;
    virtual Surface& gradient(std::size_t index) = 0;
    /// The gradients' sum of squares; infinite after an overflow.
    virtual double sum_of_squares() = 0;
    virtual void update(const kernels::AdamW& rule) = 0;
    virtual void skip() = 0;
};

class EngineState final : public State {
  public:
    EngineState(device::Device& device, ThreadPool& pool, Times& times,
                const std::vector<ResidentTensor>& tensors, const model::StateForm& form,
                const std::vector<std::vector<float>>& start)
        : state_(device, pool, times, tensors, form) {
        for (std::size_t i = 0; i < start.size(); ++i) {
            state_.set_weights(i, start[i]);
        }
    }
    const Surface& weight(std::size_t index) const override { return state_.weight(index); }
    Surface& gradient(std::size_t index) override { return state_.gradient_target(index); }
    double sum_of_squares() override {
        state_.take_gradients(0);
        return state_.sum_of_squares();
    }
    void update(const kernels::AdamW& rule) override { state_.update(rule); }
    void skip() override { state_.discard_gradients(); }

  private:
    ResidentState state_;
};

/// What the engine's state is compared with.
class MasterState final : public State {
  public:
    MasterState(device::Device& device, ThreadPool& pool, Times& times,
                const std::vector<ResidentTensor>& tensors,
                const std::vector<std::vector<float>>& start)
        : pool_(pool), times_(times) {
        for (const ResidentTensor& tensor : tensors) {
            const auto type = mil::Type::tensor(device.profile().compute, tensor.surface);
            staged_.emplace_back(type);
            gradients_.emplace_back(type);
            decays_.push_back(tensor.decays);
            const std::vector<float> zeros(static_cast<std::size_t>(tensor.surface.elements()));
            m_.push_back(zeros), v_.push_back(zeros), loaded_.push_back(zeros);
        }
        // The host's arrays have the surfaces' shape, with zeros where those have them.
        for (std::size_t i = 0; i < start.size(); ++i) {
            store_matrix(start[i].data(), {tensors[i].rows, tensors[i].columns}, staged_[i], pool_);
            weights_.emplace_back(static_cast<std::size_t>(staged_[i].elements()));
            for (std::size_t k = 0; k < start[i].size(); ++k) {
                const auto columns = static_cast<std::size_t>(tensors[i].columns);
                weights_[i][k / columns * static_cast<std::size_t>(tensors[i].surface[3]) +
                            k % columns] = start[i][k];
            }
        }
    }
    const Surface& weight(std::size_t index) const override { return staged_[index]; }
    Surface& gradient(std::size_t index) override { return gradients_[index]; }
    double sum_of_squares() override {
        double total = 0.0;
        for (std::size_t i = 0; i < loaded_.size(); ++i) {
            load(gradients_[i], loaded_[i].data(), pool_);
            total += kernels::sum_of_squares(loaded_[i], pool_);
        }
        return total;
    }
    void update(const kernels::AdamW& rule) override {
        const Stopwatch watch(times_.host);
        for (std::size_t i = 0; i < weights_.size(); ++i) {
            kernels::AdamW own = rule;
            own.weight_decay = decays_[i] ? rule.weight_decay : 0.0F;
            kernels::adamw(own, loaded_[i], weights_[i], m_[i], v_[i], pool_);
        }
        stage();
    }
    void skip() override {}

  private:
    void stage() {
        for (std::size_t i = 0; i < weights_.size(); ++i) {
            store(weights_[i].data(), staged_[i], pool_);
        }
    }
    ThreadPool& pool_;
    Times& times_;
    std::vector<std::vector<float>> weights_, m_, v_, loaded_;
    std::vector<Surface> staged_, gradients_;
    std::vector<bool> decays_;
};

/// The two programs and what they are bound to.
class Classification {
  public:
    Classification(const DigitsConfig& config, device::Device& device, ThreadPool& pool,
                   Times& times)
        : pool_(pool),
          times_(times),
          pictures_(config.pictures),
          dtype_(device.profile().compute),
          classifier_(classifier_of(config, dtype_)),
          x_(mil::Type::tensor(dtype_, {1, digit_pixels, 1, pictures_})),
          target_(mil::Type::tensor(dtype_, {1, digit_classes, 1, pictures_})),
          factor_(mil::Type::tensor(dtype_, {1, 1, 1, model::number_row})),
          probability_(mil::Type::tensor(dtype_, {1, 1, 1, pictures_})),
          logits_(mil::Type::tensor(dtype_, {1, digit_classes, 1, pictures_})) {
        const auto compile = [&](mil::Function function) {
            return device.compile({device::program_for(std::move(function), device.profile()), {}});
        };
        step_ = compile(classification_step(classifier_));
        forward_ = compile(classifier_.function);
    }

    const std::vector<model::ClassifierWeight>& weights() const { return classifier_.weights; }
    std::int64_t saturated() const { return step_->arithmetic().saturated; }

    /// Mean loss of the pictures `chosen`; gradients of `factor` times the sum of losses.
    double step(const Digits& digits, const std::vector<std::int64_t>& chosen, double factor,
                State& state) {
        {
            const Stopwatch watch(times_.io);
            store_pictures(digits, chosen);
            std::vector<float> target(static_cast<std::size_t>(digit_classes * pictures_));
            for (std::int64_t n = 0; n < pictures_; ++n) {
                const int label = label_of(digits, chosen, n);
                target[static_cast<std::size_t>(label * pictures_ + n)] = 1.0F;
            }
            store(target.data(), target_, pool_);
            const std::vector<float> row(model::number_row, static_cast<float>(factor));
            store(row.data(), factor_, pool_);
        }
        device::Bindings bindings = bind(state);
        bindings.inputs["target"] = &target_;
        bindings.inputs["factor"] = &factor_;
        bindings.outputs["probability"] = &probability_;
        for (std::size_t i = 0; i < weights().size(); ++i) {
            bindings.outputs["d_" + weights()[i].name] = &state.gradient(i);
        }
        evaluate(*step_, bindings);
        const Stopwatch watch(times_.host);
        std::vector<float> probability(static_cast<std::size_t>(pictures_));
        load(probability_, probability.data(), pool_);
        double loss = 0.0;
        for (const float p : probability) {
            loss -= std::log(std::max(static_cast<double>(p), 0x1p-24));
        }
        return loss / static_cast<double>(pictures_);
    }

    /// How many of the pictures the classifier reads right.
    std::int64_t right(const Digits& digits, const std::vector<std::int64_t>& chosen,
                       State& state) {
        store_pictures(digits, chosen);
        device::Bindings bindings = bind(state);
        bindings.outputs["y"] = &logits_;
        evaluate(*forward_, bindings);
        std::vector<float> y(static_cast<std::size_t>(logits_.elements()));
        load(logits_, y.data(), pool_);
        std::int64_t right = 0;
        for (std::int64_t n = 0; n < pictures_; ++n) {
            int best = 0;
            for (int label = 1; label < digit_classes; ++label) {
                if (y[static_cast<std::size_t>(label * pictures_ + n)] >
                    y[static_cast<std::size_t>(best * pictures_ + n)]) {
                    best = label;
                }
            }
            right += best == label_of(digits, chosen, n) ? 1 : 0;
        }
        return right;
    }

  private:
    static int label_of(const Digits& digits, const std::vector<std::int64_t>& chosen,
                        std::int64_t n) {
        return digits.labels[static_cast<std::size_t>(chosen[static_cast<std::size_t>(n)])];
    }

    void store_pictures(const Digits& digits, const std::vector<std::int64_t>& chosen) {
        std::vector<float> x(static_cast<std::size_t>(digit_pixels * pictures_));
        for (std::int64_t n = 0; n < pictures_; ++n) {
            const float* image =
                digits.images.data() + chosen[static_cast<std::size_t>(n)] * digit_pixels;
            for (std::int64_t i = 0; i < digit_pixels; ++i) {
                x[static_cast<std::size_t>(i * pictures_ + n)] = image[i];
            }
        }
        store(x.data(), x_, pool_);
    }

    device::Bindings bind(State& state) {
        device::Bindings bindings;
        bindings.inputs["x"] = &x_;
        for (std::size_t i = 0; i < weights().size(); ++i) {
            bindings.inputs[weights()[i].name] = &state.weight(i);
        }
        return bindings;
    }

    void evaluate(device::Executable& executable, const device::Bindings& bindings) {
        const Stopwatch watch(times_.device);
        executable.evaluate(bindings);
    }

    ThreadPool& pool_;
    Times& times_;
    std::int64_t pictures_;
    DType dtype_;
    model::Classifier classifier_;
    std::unique_ptr<device::Executable> step_, forward_;
    Surface x_, target_, factor_, probability_, logits_;
};

/// Consecutive pictures, from the beginning again after the last.
std::vector<std::int64_t> take(const std::vector<std::int64_t>& order, std::int64_t first,
                               std::int64_t count) {
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; i < count; ++i) {
        chosen.push_back(
            order[static_cast<std::size_t>((first + i) % static_cast<std::int64_t>(order.size()))]);
    }
    return chosen;
}

std::vector<std::int64_t> counting(std::int64_t count) {
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < count; ++i) {
        order.push_back(i);
    }
    return order;
}

}  // namespace

mil::Function classification_step(const model::Classifier& classifier) {
    mil::autodiff::Options wanted;
    for (const auto& weight : classifier.weights) {
        wanted.with_respect_to.push_back(weight.name);
    }
    const auto parts = mil::autodiff::differentiate(classifier.function, wanted);
    mil::Builder b;
    std::map<std::string, mil::Value, std::less<>> values;
    for (const auto& parameter : classifier.function.parameters) {
        values[parameter.name] = b.input(parameter.name, parameter.type);
    }
    const mil::Type logits = *classifier.function.find_type("y");
    const auto target = b.input("target", logits);
    const auto factors =
        b.input("factor", mil::Type::tensor(logits.dtype, {1, 1, 1, model::number_row}));
    const auto factor = b.slice(factors, {0, 0, 0, 0}, {1, 1, 1, 1});
    for (const auto& weight : classifier.weights) {
        b.reserve("d_" + weight.name);
    }
    b.reserve("probability");
    for (const auto& operation : parts.forward.operations) {
        b.copy(operation, values);
    }
    const auto softmax = b.softmax(values.at("y"), 1);
    b.output(b.rename(b.reduce_sum(b.mul(softmax, target), {1}, true), "probability"));
    // The backward function has names of its own for what it computes.
    std::map<std::string, mil::Value, std::less<>> backward;
    for (const auto& parameter : parts.backward.parameters) {
        backward[parameter.name] = parameter.name == "d_y" ? b.mul(b.sub(softmax, target), factor)
                                                           : values.at(parameter.name);
    }
    for (const auto& operation : parts.backward.operations) {
        b.copy(operation, backward);
    }
    for (const auto& weight : classifier.weights) {
        b.output(b.rename(backward.at("d_" + weight.name), "d_" + weight.name));
    }
    return b.take();
}

void DigitsConfig::check() const {
    const auto whole = [](std::string_view key, std::int64_t value, std::int64_t least,
                          std::int64_t most) { expect_in_range(here, key, value, least, most); };
    if (model != "mlp" && model != "conv") {
        fail(Code::invalid_argument, here, "digits.model is '{}', not mlp or conv", model);
    }
    if (state != "master" && !resident_form(state)) {
        fail(Code::invalid_argument, here,
             "digits.state is '{}', not compensated, weights, plain or master", state);
    }
    whole("digits.hidden", hidden, 1, 4096);
    whole("digits.channels", channels, 1, 256);
    whole("digits.pictures", pictures, 1, 4096);
    whole("digits.steps", steps, 1, 1000000);
    whole("digits.train_pictures", train_pictures, 1, 1000000);
    whole("digits.test_pictures", test_pictures, pictures, 1000000);
    whole("digits.report_every", report_every, 1, 1000000);
    optimizer.check(here);
    loss_scale.check(here);
}

bool is_digits_config(std::string_view text) {
    try {
        return toml::parse(text).contains("digits");
    } catch (const toml::parse_error&) {
        return false;  // whoever reads it in full says where it is broken
    }
}

DigitsConfig parse_digits_config(std::string_view text, std::string_view source,
                                 const std::vector<std::string>& settings) {
    const toml::table table = parse_settings(text, source, settings);
    DigitsConfig c;
    c.optimizer.learning_rate = 1e-3;
    c.optimizer.beta2 = 0.999;
    c.optimizer.weight_decay = 0.01;
    ConfigReader r(table, source);
    r.read("digits.model", c.model);
    r.read("digits.hidden", c.hidden);
    r.read("digits.channels", c.channels);
    r.read("digits.pictures", c.pictures);
    r.read("digits.steps", c.steps);
    r.read("digits.train_pictures", c.train_pictures);
    r.read("digits.test_pictures", c.test_pictures);
    r.read("digits.seed", c.seed);
    r.read("digits.report_every", c.report_every);
    r.read("digits.state", c.state);
    r.read("optimizer.learning_rate", c.optimizer.learning_rate);
    r.read("optimizer.minimum_rate", c.optimizer.minimum_rate);
    r.read("optimizer.warmup_steps", c.optimizer.warmup_steps);
    r.read("optimizer.beta1", c.optimizer.beta1);
    r.read("optimizer.beta2", c.optimizer.beta2);
    r.read("optimizer.epsilon", c.optimizer.epsilon);
    r.read("optimizer.weight_decay", c.optimizer.weight_decay);
    r.read("engine.loss_scale", c.loss_scale.initial);
    r.read("engine.loss_scale_maximum", c.loss_scale.maximum);
    r.read("engine.loss_scale_patience", c.loss_scale.patience);
    r.read("engine.device", c.device);
    r.read("engine.numerics", c.numerics);
    r.read("engine.threads", c.threads);
    r.expect_all_known();
    c.check();
    return c;
}

DigitsReport run_digits(const DigitsConfig& c, device::Device& device, ThreadPool& pool,
                        const std::function<void(const DigitsReport&)>& report) {
    c.check();
    if (!device.profile().capabilities.runtime_weights) {
        fail(Code::unsupported, here,
             "{} does not run programs whose weights are inputs (capability runtime_weights), and "
             "weights that lie in surfaces are; use another engine.device",
             device.name());
    }
    const Digits train = draw_digits(c.train_pictures, c.seed),
                 test = draw_digits(c.test_pictures, c.seed + 1000003);
    Times times;
    Classification classification(c, device, pool, times);
    Random random(c.seed);
    std::vector<ResidentTensor> tensors;
    std::vector<std::vector<float>> start;
    for (const auto& weight : classification.weights()) {
        const bool matrix = weight.deviation > 0.0;
        tensors.push_back({weight.name, weight.rows, weight.columns, matrix, 0, weight.surface});
        std::vector<float> values(static_cast<std::size_t>(weight.rows * weight.columns));
        for (float& value : values) {
            value = static_cast<float>(matrix ? weight.deviation * random.normal() : 0.0);
        }
        start.push_back(std::move(values));
    }
    std::unique_ptr<State> state;
    if (const auto form = resident_form(c.state)) {
        state = std::make_unique<EngineState>(device, pool, times, tensors, *form, start);
    } else {
        state = std::make_unique<MasterState>(device, pool, times, tensors, start);
    }

    const auto accuracy = [&] {
        const auto order = counting(c.test_pictures);
        const std::int64_t batches = c.test_pictures / c.pictures;
        std::int64_t right = 0;
        for (std::int64_t batch = 0; batch < batches; ++batch) {
            right +=
                classification.right(test, take(order, batch * c.pictures, c.pictures), *state);
        }
        return static_cast<double>(right) / static_cast<double>(batches * c.pictures);
    };

    LossScale scale(c.loss_scale);
    auto order = counting(c.train_pictures);
    std::int64_t position = c.train_pictures, updates = 0, counted = 0, saturated = 0;
    double loss = 0.0;
    DigitsReport line;
    for (std::int64_t step = 0; step < c.steps; ++step) {
        if (position >= c.train_pictures) {  // a new epoch: another order
            for (std::size_t i = order.size(); i > 1; --i) {
                std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(i))]);
            }
            position = 0;
        }
        const auto pictures = static_cast<double>(c.pictures);
        loss += classification.step(train, take(order, position, c.pictures),
                                    scale.scale() / pictures, *state);
        ++counted;
        position += c.pictures;
        const std::int64_t now = classification.saturated();
        const bool overflow = now > saturated;
        saturated = now;
        if (!std::isfinite(state->sum_of_squares()) || overflow) {
            state->skip();
            scale.overflowed();
        } else {
            kernels::AdamW rule{};
            rule.learning_rate = static_cast<float>(learning_rate(c.optimizer, step, c.steps));
            rule.beta1 = static_cast<float>(c.optimizer.beta1);
            rule.beta2 = static_cast<float>(c.optimizer.beta2);
            rule.epsilon = static_cast<float>(c.optimizer.epsilon);
            rule.weight_decay = static_cast<float>(c.optimizer.weight_decay);
            rule.gradient_factor = static_cast<float>(1.0 / scale.scale());
            rule.update = ++updates;
            state->update(rule);
            scale.succeeded();
        }
        if ((step + 1) % c.report_every == 0 || step + 1 == c.steps) {
            const auto n = static_cast<double>(counted);
            line = {step + 1,
                    loss / n,
                    0.0,
                    scale.scale(),
                    scale.skipped(),
                    {times.device / n, times.io / n, times.host / n, 0.0},
                    device.compiles()};
            line.accuracy = accuracy();
            times = {};
            loss = 0.0;
            counted = 0;
            report(line);
        }
    }
    return line;
}

}  // namespace pome::train
