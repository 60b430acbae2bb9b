#include "train/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <cmath>

#include "base/error.h"
#include "train/config_reader.h"
#include "train/offload.h"
#include "train/resident_state.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.config";
constexpr std::int64_t many = 1'000'000'000'000;

std::string_view sigmoid_name(model::Sigmoid form) {
    switch (form) {
        case model::Sigmoid::native:
            return "native";
        case model::Sigmoid::exponential:
            return "exponential";
        case model::Sigmoid::tanh:
            return "tanh";
    }
    return "native";
}

model::Sigmoid sigmoid_from(const std::string& name) {
    for (const auto form :
         {model::Sigmoid::native, model::Sigmoid::exponential, model::Sigmoid::tanh}) {
        if (name == sigmoid_name(form)) {
            return form;
        }
    }
    fail(Code::invalid_argument, here, "engine.sigmoid is '{}', not native, exponential or tanh",
         name);
}

constexpr std::pair<mil::autodiff::Recompute, std::string_view> recompute_names[] = {
    {mil::autodiff::Recompute::nothing, "nothing"},
    {mil::autodiff::Recompute::cheap, "cheap"},
    {mil::autodiff::Recompute::everything, "everything"}};

void read_model(ConfigReader& r, model::ModelConfig& m) {
    std::string name;
    r.read("model.preset", name);
    if (!name.empty()) {
        m = model::preset(name);
    }
    r.read("model.kind", m.kind);
    r.read("model.width", m.width);
    r.read("model.hidden", m.hidden);
    r.read("model.layers", m.layers);
    r.read("model.heads", m.heads);
    m.kv_heads = name.empty() ? m.heads : m.kv_heads;
    r.read("model.kv_heads", m.kv_heads);
    r.read("model.vocabulary", m.vocabulary);
    r.read("model.sequence", m.sequence);
    r.read("model.tied_head", m.tied_head);
    r.read("model.rope", m.rope);
    r.read("model.rope_base", m.rope_base);
    r.read("model.norm_epsilon", m.norm_epsilon);
}

void read_run(ConfigReader& r, RunConfig& t) {
    r.read("train.steps", t.steps);
    r.read("train.sequence", t.sequence);
    r.read("train.batch", t.batch);
    r.read("train.seed", t.seed);
    r.read("train.time_limit_minutes", t.time_limit_minutes);
    r.read("train.report_every", t.report_every);
    r.read("train.validate_every", t.validate_every);
    r.read("train.validation_windows", t.validation_windows);
    r.read("train.save_every", t.save_every);
    r.read("train.keep_last", t.keep_last);
    r.read("train.sample_tokens", t.sample_tokens);
}

void read_optimizer(ConfigReader& r, OptimizerConfig& o) {
    r.read("optimizer.learning_rate", o.learning_rate);
    r.read("optimizer.minimum_rate", o.minimum_rate);
    r.read("optimizer.warmup_steps", o.warmup_steps);
    r.read("optimizer.beta1", o.beta1);
    r.read("optimizer.beta2", o.beta2);
    r.read("optimizer.epsilon", o.epsilon);
    r.read("optimizer.weight_decay", o.weight_decay);
    r.read("optimizer.clip_norm", o.clip_norm);
}

void read_health(ConfigReader& r, HealthConfig& h) {
    r.read("health.range_every", h.range_every);
    r.read("health.count_vanished", h.count_vanished);
    r.read("health.window", h.window);
    r.read("health.plateau", h.plateau);
    r.read("health.spike_factor", h.spike_factor);
    r.read("health.divergence_factor", h.divergence_factor);
    r.read("health.skips_to_warn", h.skips_to_warn);
    r.read("health.skips_to_diverge", h.skips_to_diverge);
    r.read("health.on_divergence", h.on_divergence);
    r.read("health.rollback_rate", h.rollback_rate);
    r.read("health.rollbacks", h.rollbacks);
}

void read_engine(ConfigReader& r, EngineConfig& e) {
    r.read("engine.device", e.device);
    r.read("engine.numerics", e.numerics);
    r.read("engine.threads", e.threads);
    r.read("engine.pipeline", e.pipeline);
    r.read("engine.extras", e.extras);
    r.read("engine.overlap", e.overlap);
    r.read("engine.resident_state", e.resident_state);
    r.read("engine.compile_limit", e.compile_limit);
    std::string recompute(recompute_name(e.recompute));
    r.read("engine.recompute", recompute);
    e.recompute = recompute_from(recompute);
    r.read("engine.loss_scale", e.loss_scale.initial);
    r.read("engine.loss_scale_maximum", e.loss_scale.maximum);
    r.read("engine.loss_scale_patience", e.loss_scale.patience);
    std::string sigmoid(sigmoid_name(e.sigmoid));
    r.read("engine.sigmoid", sigmoid);
    e.sigmoid = sigmoid_from(sigmoid);
    r.read("engine.scale_query", e.scale_query);
    r.read("engine.product_scale", e.product_scale);
    r.read("engine.product_scale_every", e.product_scale_every);
}

bool is_power_of_two(double value) {
    int exponent = 0;
    return value > 0.0 && std::frexp(value, &exponent) == 0.5;
}

}  // namespace

std::string_view recompute_name(mil::autodiff::Recompute which) {
    for (const auto& [value, name] : recompute_names) {
        if (value == which) {
            return name;
        }
    }
    return "cheap";
}

mil::autodiff::Recompute recompute_from(std::string_view name) {
    for (const auto& [value, own] : recompute_names) {
        if (own == name) {
            return value;
        }
    }
    fail(Code::invalid_argument, here, "engine.recompute is '{}', not nothing, cheap or everything",
         name);
}

void OptimizerConfig::check(std::string_view where) const {
    expect_in_range(where, "optimizer.learning_rate", learning_rate, 0, 10);
    expect_in_range(where, "optimizer.minimum_rate", minimum_rate, 0, 1);
    expect_in_range(where, "optimizer.warmup_steps", warmup_steps, 0, many);
    expect_in_range(where, "optimizer.beta1", beta1, 0, 0.999999);
    expect_in_range(where, "optimizer.beta2", beta2, 0, 0.999999);
    expect_in_range(where, "optimizer.epsilon", epsilon, 1e-30, 1);
    expect_in_range(where, "optimizer.weight_decay", weight_decay, 0, 10);
    expect_in_range(where, "optimizer.clip_norm", clip_norm, 0, 1e9);
}

void LossScaleConfig::check(std::string_view where) const {
    expect_in_range(where, "engine.loss_scale_patience", patience, 1, many);
    if (!is_power_of_two(initial) || !is_power_of_two(maximum) || initial > maximum) {
        fail(Code::invalid_argument, where,
             "engine.loss_scale {} and engine.loss_scale_maximum {} must be powers of two, the "
             "first not above the second",
             initial, maximum);
    }
}

void HealthConfig::check(std::string_view where) const {
    expect_in_range(where, "health.range_every", range_every, 0, many);
    expect_in_range(where, "health.window", window, 0, many);
    expect_in_range(where, "health.plateau", plateau, 0, 1);
    expect_in_range(where, "health.spike_factor", spike_factor, 1, 1e12);
    expect_in_range(where, "health.divergence_factor", divergence_factor, 1, 1e12);
    expect_in_range(where, "health.skips_to_warn", skips_to_warn, 1, many);
    expect_in_range(where, "health.skips_to_diverge", skips_to_diverge, 1, many);
    expect_in_range(where, "health.rollback_rate", rollback_rate, 0, 1);
    expect_in_range(where, "health.rollbacks", rollbacks, 0, 1'000);
    if (on_divergence != "warn" && on_divergence != "stop" && on_divergence != "rollback") {
        fail(Code::invalid_argument, where,
             "health.on_divergence is '{}', not warn, stop or rollback", on_divergence);
    }
}

void Config::check() const {
    model.check();
    const auto in_range = [](std::string_view key, auto value, decltype(value) low,
                             decltype(value) high) {
        expect_in_range(here, key, value, low, high);
    };
    in_range("train.steps", run.steps, 1, many);
    in_range("train.sequence", run.sequence, 2, model.sequence);
    in_range("train.batch", run.batch, 0, 1'000'000);
    in_range("train.time_limit_minutes", run.time_limit_minutes, 0, 1e6);
    in_range("train.report_every", run.report_every, 1, many);
    in_range("train.validate_every", run.validate_every, 1, many);
    in_range("train.validation_windows", run.validation_windows, 1, 1'000'000);
    in_range("train.save_every", run.save_every, 1, many);
    in_range("train.keep_last", run.keep_last, 1, 1'000'000);
    in_range("train.sample_tokens", run.sample_tokens, 0, 1'000'000);
    optimizer.check(here);
    health.check(here);
    engine.loss_scale.check(here);
    in_range("engine.product_scale_every", engine.product_scale_every, 1, many);
    in_range("engine.compile_limit", engine.compile_limit, 0, 1'000'000);
    if (engine.pipeline != "auto" && engine.pipeline != "dynamic" && engine.pipeline != "static" &&
        engine.pipeline != "static-extras" && engine.pipeline != "resident") {
        fail(Code::invalid_argument, here,
             "engine.pipeline is '{}', not auto, dynamic, static, static-extras or resident",
             engine.pipeline);
    }
    if (!resident_form(engine.resident_state)) {
        fail(Code::invalid_argument, here,
             "engine.resident_state is '{}', not compensated, weights or plain",
             engine.resident_state);
    }
    for (const auto& name : engine.extras.value_or(std::vector<std::string>{})) {
        extra_from(name);
    }
    if (engine.numerics != "exact" && engine.numerics != "fast") {
        fail(Code::invalid_argument, here, "engine.numerics is '{}', not exact or fast",
             engine.numerics);
    }
}

std::string Config::text() const {
    const auto section = [](std::string_view name, toml::table keys) {
        toml::table whole;
        whole.insert(name, std::move(keys));
        std::ostringstream out;
        out << toml::toml_formatter(whole) << "\n\n";
        return out.str();
    };
    std::string text;
    toml::table sizes{{"kind", model.kind},
                      {"width", model.width},
                      {"hidden", model.hidden},
                      {"layers", model.layers},
                      {"heads", model.heads},
                      {"kv_heads", model.kv_heads},
                      {"vocabulary", model.vocabulary},
                      {"sequence", model.sequence},
                      {"tied_head", model.tied_head},
                      {"rope", model.rope},
                      {"rope_base", model.rope_base},
                      {"norm_epsilon", model.norm_epsilon}};
    if (!weights.empty()) {
        sizes.insert("weights", weights);
    }
    text += section("model", std::move(sizes));
    text += section("data", toml::table{{"directory", data.directory}});
    text += section("train", toml::table{{"steps", run.steps},
                                         {"sequence", run.sequence},
                                         {"batch", run.batch},
                                         {"seed", static_cast<std::int64_t>(run.seed)},
                                         {"time_limit_minutes", run.time_limit_minutes},
                                         {"report_every", run.report_every},
                                         {"validate_every", run.validate_every},
                                         {"validation_windows", run.validation_windows},
                                         {"save_every", run.save_every},
                                         {"keep_last", run.keep_last},
                                         {"sample_tokens", run.sample_tokens}});
    text += section("optimizer", toml::table{{"learning_rate", optimizer.learning_rate},
                                             {"minimum_rate", optimizer.minimum_rate},
                                             {"warmup_steps", optimizer.warmup_steps},
                                             {"beta1", optimizer.beta1},
                                             {"beta2", optimizer.beta2},
                                             {"epsilon", optimizer.epsilon},
                                             {"weight_decay", optimizer.weight_decay},
                                             {"clip_norm", optimizer.clip_norm}});
    toml::table engine_table{{"device", engine.device},
                             {"numerics", engine.numerics},
                             {"threads", engine.threads},
                             {"pipeline", engine.pipeline},
                             {"resident_state", engine.resident_state},
                             {"compile_limit", engine.compile_limit},
                             {"recompute", std::string(recompute_name(engine.recompute))},
                             {"loss_scale", engine.loss_scale.initial},
                             {"loss_scale_maximum", engine.loss_scale.maximum},
                             {"loss_scale_patience", engine.loss_scale.patience},
                             {"sigmoid", std::string(sigmoid_name(engine.sigmoid))},
                             {"scale_query", engine.scale_query},
                             {"product_scale", engine.product_scale},
                             {"product_scale_every", engine.product_scale_every}};
    if (engine.extras) {
        toml::array extras;
        for (const auto& name : *engine.extras) {
            extras.push_back(name);
        }
        engine_table.insert("extras", std::move(extras));
    }
    if (engine.overlap) {
        engine_table.insert("overlap", *engine.overlap);
    }
    text += section("engine", std::move(engine_table));
    text += section("health", toml::table{{"range_every", health.range_every},
                                          {"count_vanished", health.count_vanished},
                                          {"window", health.window},
                                          {"plateau", health.plateau},
                                          {"spike_factor", health.spike_factor},
                                          {"divergence_factor", health.divergence_factor},
                                          {"skips_to_warn", health.skips_to_warn},
                                          {"skips_to_diverge", health.skips_to_diverge},
                                          {"on_divergence", health.on_divergence},
                                          {"rollback_rate", health.rollback_rate},
                                          {"rollbacks", health.rollbacks}});
    return text;
}

Config parse_config(std::string_view text, std::string_view source,
                    const std::vector<std::string>& settings, const std::filesystem::path& base) {
    const toml::table table = parse_settings(text, source, settings);
    Config config;
    ConfigReader reader(table, source);
    read_model(reader, config.model);
    reader.read("model.weights", config.weights);
    reader.read("data.directory", config.data.directory);
    read_run(reader, config.run);
    read_optimizer(reader, config.optimizer);
    read_engine(reader, config.engine);
    read_health(reader, config.health);
    reader.expect_all_known();
    if (config.run.sequence == 0) {
        config.run.sequence = config.model.sequence;
    }
    for (std::string* path : {&config.data.directory, &config.weights}) {
        if (!path->empty() && std::filesystem::path(*path).is_relative()) {
            *path = (base / *path).lexically_normal().string();
        }
    }
    config.check();
    return config;
}

}  // namespace pome::train
