#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/version.h"
#include "formats/checkpoint.h"
#include "kernels/adamw.h"
#include "train/model_file.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train";
constexpr std::string_view metrics_name = "metrics.jsonl";
const double nothing = std::numeric_limits<double>::quiet_NaN();

nlohmann::json number(double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

/// Whether a checkpoint was saved while nothing was wrong; see HealthMonitor::is_sound().
bool is_sound(const std::filesystem::path& checkpoint) {
    const auto state = formats::read_checkpoint_state(checkpoint);
    const auto health = state.find("health");
    return health != state.end() && health->is_object() && health->value("sound", false);
}

}  // namespace

model::Form stage_form(const EngineConfig& engine, std::int64_t sequence) {
    model::Form form;
    form.sequence = sequence;
    form.sigmoid = engine.sigmoid;
    form.scale_query = engine.scale_query;
    return form;
}

Trainer::Trainer(const Config& config, std::filesystem::path directory, device::Device& device,
                 ThreadPool& pool)
    : config_(config),
      directory_(std::move(directory)),
      device_(device),
      pool_(pool),
      choice_(resolve(config_, device)),
      architecture_(model::architecture(config.model)),
      pipeline_(make_pipeline(config_, architecture_, device, pool, directory_ / "failed_program")),
      weights_(architecture_, hosts()),
      gradients_(architecture_, hosts()),
      m_(architecture_, hosts()),
      v_(architecture_, hosts()),
      data_(std::filesystem::path(config.data.directory) / "train.bin", config.model.vocabulary,
            config.run.sequence),
      validation_(std::filesystem::path(config.data.directory) / "val.bin", config.model.vocabulary,
                  config.run.sequence),
      sampler_(data_, config.run.seed + 1),
      loss_scale_(config.engine.loss_scale),
      health_(config.health, config.optimizer.clip_norm > 0.0),
      best_validation_(std::numeric_limits<double>::infinity()),
      last_validation_(nothing),
      gradient_norm_(nothing) {
    language_model_ =
        std::make_unique<LanguageModel>(architecture_, *pipeline_, pool, config.run.sequence);
    if (device.profile().compute == DType::fp32) {  // nothing overflows or vanishes there
        LossScaleConfig one;
        one.initial = one.maximum = 1.0;
        loss_scale_ = LossScale(one);
    }
}

Trainer::~Trainer() {
    pipeline_->drain_weight_gradients();  // it writes into gradients_
}

std::unique_ptr<Trainer> Trainer::create(const Config& config,
                                         const std::filesystem::path& directory,
                                         device::Device& device, ThreadPool& pool) {
    if (std::filesystem::exists(directory / "config.toml")) {
        fail(Code::invalid_argument, here,
             "{}: holds a run already; continue it with `pome train --resume {}` or choose another "
             "directory",
             directory.string(), directory.string());
    }
    std::error_code error;
    std::filesystem::create_directories(directory / "checkpoints", error);
    if (error) {
        fail(Code::io, here, "{}: cannot create the run directory: {}", directory.string(),
             error.message());
    }
    // One that was killed before it became a run begins anew.
    sweep_temporary_files(directory);
    formats::sweep_temporary_checkpoints(directory / "checkpoints");
    std::unique_ptr<Trainer> trainer(new Trainer(config, directory, device, pool));
    trainer->set_first_weights();
    Config kept = trainer->config_;
    kept.data.directory = std::filesystem::absolute(config.data.directory).string();
    if (!config.weights.empty()) {
        kept.weights = std::filesystem::absolute(config.weights).string();
        trainer->save_newest();  // before config.toml makes it a run: no resume needs that file
    }
    const nlohmann::json environment{{"pome", version},
                                     {"device", device.name()},
                                     {"threads", pool.threads()},
                                     {"pipeline",
                                      {{"name", trainer->choice_.pipeline},
                                       {"reason", trainer->choice_.reason},
                                       {"extras", *trainer->config_.engine.extras},
                                       {"overlap", *trainer->config_.engine.overlap}}}};
    write_file_atomic(directory / "environment.json", environment.dump(1) + "\n");
    write_file_atomic(directory / "config.toml", kept.text());  // last: from now on it is a run
    trainer->metrics_.emplace(directory / metrics_name);
    return trainer;
}

std::unique_ptr<Trainer> Trainer::resume(const std::filesystem::path& directory,
                                         device::Device& device, ThreadPool& pool) {
    const Config config = run_config(directory);
    sweep_temporary_files(directory);
    formats::sweep_temporary_checkpoints(directory / "checkpoints");
    std::unique_ptr<Trainer> trainer(new Trainer(config, directory, device, pool));
    const auto checkpoints = numbered_checkpoints(directory);
    if (checkpoints
            .empty()) {  // stopped before its first checkpoint: the beginning is the same again
        trainer->set_first_weights();
    } else {
        trainer->load(checkpoints.front());
        trainer->drop_old_checkpoints();  // one that was killed may have more than it should
    }
    trainer->metrics_.emplace(directory / metrics_name,
                              trainer->step_ + (trainer->step_open_ ? 0 : 1));
    return trainer;
}

void Trainer::set_first_weights() {
    if (config_.weights.empty()) {
        ParameterSet first(architecture_);
        Random random(config_.run.seed);
        first.initialize(random);
        take_weights(std::move(first));
        return;
    }
    LoadedModel loaded = load_model(config_.weights);
    expect_same_model(loaded.architecture.config, config_.model, config_.weights);
    weights_notes_ = loaded.notes;
    take_weights(std::move(loaded.weights));
}

std::function<bool(const std::string&)> Trainer::hosts() const {
    return [this](const std::string& parameter) { return !pipeline_->keeps(parameter); };
}

void Trainer::take_weights(ParameterSet all) {
    if (weights_.is_whole()) {
        weights_ = std::move(all);
        return;
    }
    pipeline_->stage_weights(all);  // it takes its own, once
    weights_.copy_from(all);
}

std::int64_t Trainer::host_parameters() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
        count += weights_.values(i).size();
    }
    return static_cast<std::int64_t>(count);
}

ParameterSet Trainer::weights() const {
    if (weights_.is_whole()) {
        return weights_;
    }
    ParameterSet all(architecture_);
    all.copy_from(weights_);
    pipeline_->fetch_weights(all);
    return all;
}

Trainer::Update Trainer::update() {
    const Span whole(pipeline_->timeline(), Timeline::Track::step, "step",
                     fmt::format("update {}", step_ + 1));
    gradients_.set_zero(pool_);
    Update result;
    pipeline_->take_overflow();
    pipeline_->take_stage_health();  // a validation's is not the update's
    const std::int64_t range_every = config_.health.range_every;
    for (std::int64_t i = 0; i < config_.run.batch; ++i) {
        pipeline_->set_measuring(
            i == 0 && (step_ % config_.engine.product_scale_every == 0 || skipped_in_a_row_ > 0));
        pipeline_->set_watching(i == 0 && range_every > 0 && step_ % range_every == 0);
        const Window window = sampler_.next();
        result.loss += language_model_->forward(window.tokens, window.targets, weights_) /
                       static_cast<double>(data_.sequence());
        language_model_->backward(loss_scale_.scale(), weights_, gradients_);
    }
    pipeline_->set_measuring(false);
    pipeline_->set_watching(false);
    for (const auto& [stage, seen] : pipeline_->take_stage_health()) {
        stages_[stage].add(seen);
    }
    result.loss /= static_cast<double>(config_.run.batch);
    const bool overflow = pipeline_->take_overflow();
    const Span span = pipeline_->span(Part::host, "optimizer");
    const double unscale = 1.0 / (loss_scale_.scale() * static_cast<double>(config_.run.batch));
    const double norm =
        std::sqrt(kernels::sum_of_squares(gradients_.all(), pool_) + pipeline_->sum_of_squares()) *
        unscale;
    const std::int64_t at = step_++;
    if (overflow || !std::isfinite(norm)) {
        pipeline_->skip_update();
        loss_scale_.overflowed();
        result.gradient_norm = nothing;
        ++skipped_in_a_row_;
        return result;
    }
    skipped_in_a_row_ = 0;
    result.gradient_norm = norm;
    const auto& o = config_.optimizer;
    const double clip = o.clip_norm > 0.0 && norm > o.clip_norm ? o.clip_norm / norm : 1.0;
    kernels::AdamW rule{};
    rule.learning_rate =
        static_cast<float>(learning_rate(o, at, config_.run.steps) * health_.rate_factor());
    rule.beta1 = static_cast<float>(o.beta1);
    rule.beta2 = static_cast<float>(o.beta2);
    rule.epsilon = static_cast<float>(o.epsilon);
    rule.gradient_factor = static_cast<float>(unscale * clip);
    rule.update = ++updates_;
    rule.weight_decay = static_cast<float>(o.weight_decay);
    pipeline_->update(rule);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
        if (!weights_.holds(i)) {
            continue;
        }
        rule.weight_decay =
            weights_.parameter(i).decays ? static_cast<float>(o.weight_decay) : 0.0F;
        kernels::adamw(rule, gradients_.values(i), weights_.values(i), m_.values(i), v_.values(i),
                       pool_);
    }
    staged_ = false;
    loss_scale_.succeeded();
    return result;
}

Phase Trainer::stage_weights() {
    if (staged_) {
        return Phase::running;
    }
    const std::int64_t needed = pipeline_->compiles_for_update();
    const Phase phase =
        next_phase(Phase::running, {device_.compiles(), config_.engine.compile_limit}, needed);
    if (phase == Phase::impossible) {
        fail(Code::compile_failed, here,
             "the {} pipeline compiles {} programs an update, engine.compile_limit is {}: no "
             "process could make one; use engine.pipeline = \"dynamic\", or raise the limit if "
             "this system allows more",
             choice_.pipeline, needed, config_.engine.compile_limit);
    }
    if (phase == Phase::running) {
        pipeline_->stage_weights(weights_);
        staged_ = true;
    }
    return phase;
}

Evaluation Trainer::validate() {
    if (stage_weights() != Phase::running) {
        fail(Code::compile_failed, here,
             "the compile budget of {} programs is used up; resume in a new process",
             config_.engine.compile_limit);
    }
    const Span whole(pipeline_->timeline(), Timeline::Track::step, "step", "validation");
    const Evaluation result =
        evaluate(*language_model_, weights_, validation_, config_.run.validation_windows);
    pipeline_->take_overflow();
    return result;
}

void Trainer::finish_step(const std::function<void(const Report&)>& report) {
    const Times spent = pipeline_->times();
    const bool last = step_ == config_.run.steps;
    if (step_ % config_.run.validate_every == 0 || last) {
        last_validation_ = validate().loss;
        pipeline_->times() = spent;  // the parts of an update, not of validation
        if (last_validation_ < best_validation_) {
            best_validation_ = last_validation_;
            save("best");
        }
    }
    if (step_ % config_.run.report_every == 0 || last) {
        // A restart keeps the losses since the last report, not their times.
        const auto n = static_cast<double>(std::max<std::int64_t>(1, timed_));
        Report line;
        line.step = step_;
        line.train_loss = loss_sum_ / static_cast<double>(counted_);
        line.validation_loss = last_validation_;
        line.learning_rate =
            learning_rate(config_.optimizer, step_ - 1, config_.run.steps) * health_.rate_factor();
        line.gradient_norm = gradient_norm_;
        line.loss_scale = loss_scale_.scale();
        line.skipped = loss_scale_.skipped();
        line.milliseconds = busy_ms_ / n;
        line.device_ms = spent.device / n;
        line.io_ms = spent.io / n;
        line.wait_ms = spent.wait / n;
        line.host_ms = line.milliseconds - line.device_ms - line.io_ms - line.wait_ms;
        line.tokens_per_second =
            n * static_cast<double>(config_.run.batch * config_.run.sequence) / (busy_ms_ / 1000.0);
        line.compiles = compiles();
        line.extras = extras();
        line.stages = std::exchange(stages_, {});
        line.warnings = std::exchange(warnings_, {});
        line.rollbacks = health_.rollbacks();
        metrics_->append(line.json());
        report(line);
        pipeline_->times() = {};
        loss_sum_ = busy_ms_ = 0.0;
        counted_ = timed_ = 0;
    }
    step_open_ = false;
}

bool Trainer::judge(const Update& made) {
    const auto found = health_.take(
        {step_, made.loss, made.gradient_norm, loss_scale_.scale(), skipped_in_a_row_}, stages_);
    warnings_.insert(warnings_.end(), found.begin(), found.end());
    if (health_.divergence().empty()) {
        return true;
    }
    const HealthConfig& asked = config_.health;
    if (asked.on_divergence == "rollback" && health_.rollbacks() < asked.rollbacks) {
        roll_back();
        return false;
    }
    if (asked.on_divergence == "rollback") {
        fail_diverged(fmt::format("it went back {} times (health.rollbacks)", asked.rollbacks));
    }
    if (asked.on_divergence == "stop") {
        fail_diverged("health.on_divergence is \"stop\"");
    }
    if (skipped_in_a_row_ >= asked.skips_to_diverge) {
        fail_diverged("no update succeeds any more (health.skips_to_diverge)");
    }
    return true;
}

void Trainer::fail_diverged(const std::string& why) const {
    const auto cause = std::find_if(warnings_.rbegin(), warnings_.rend(), [](const auto& warning) {
        return warning.kind == "divergence";
    });
    fail(Code::diverged, here, "step {}: {}; the run stops: {}; its checkpoints are in {}", step_,
         cause == warnings_.rend() ? health_.divergence() : cause->message, why,
         (directory_ / "checkpoints").string());
}

void Trainer::roll_back() {
    const std::int64_t from = step_;
    const std::string reason = health_.divergence();
    const HealthMonitor before = health_;
    const double best = best_validation_;
    const auto checkpoints = numbered_checkpoints(directory_);
    const auto sound = std::find_if(checkpoints.begin(), checkpoints.end(), is_sound);
    if (sound == checkpoints.end()) {
        fail_diverged(
            "health.on_divergence is \"rollback\", but there is no sound checkpoint to go back to; "
            "lower train.save_every");
    }
    load(*sound);
    health_.rolled_back(before);
    best_validation_ = std::min(best, best_validation_);  // "best" may be newer than this
    staged_ = false;
    busy_ms_ = 0.0;
    timed_ = 0;
    pipeline_->times() = {};
    warnings_.push_back(
        {"rollback",
         fmt::format("{}: went back from step {} to {} with the learning rate times {:g}", reason,
                     from, step_, health_.rate_factor())});
    // The newer ones go first: a process that is killed here must not go on with one of them. The
    // one that stays takes what a rollback changed.
    for (auto newer = checkpoints.begin(); newer != sound; ++newer) {
        formats::remove_checkpoint(*newer);
    }
    save(sound->filename().string());
    metrics_.emplace(directory_ / metrics_name, step_ + (step_open_ ? 0 : 1));
}

Outcome Trainer::run(const std::function<void(const Report&)>& report,
                     const std::atomic<bool>& stop) {
    const Outcome outcome = run_updates(report, stop);
    finish_trace(/*ended=*/true);
    return outcome;
}

Outcome Trainer::run_updates(const std::function<void(const Report&)>& report,
                             const std::atomic<bool>& stop) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    if (step_ == 0 && !step_open_) {
        best_validation_ = last_validation_ = validate().loss;
    }
    pipeline_->times() = {};
    for (;;) {
        // Weights reach the engine before they are used, not after the update: when the compile
        // budget is short, what the update left to do is left to the next process.
        if (step_open_ || step_ < config_.run.steps) {
            const auto before = Clock::now();
            if (stage_weights() != Phase::running) {
                save_newest();
                return stop ? Outcome::interrupted : Outcome::restart;
            }
            busy_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - before).count();
        }
        if (step_open_) {
            finish_step(report);
            const bool last = step_ == config_.run.steps;
            const std::chrono::duration<double> passed = Clock::now() - start;
            Outcome outcome = Outcome::finished;
            if (stop) {
                outcome = Outcome::interrupted;
            }
            if (config_.run.time_limit_minutes > 0.0 &&
                passed.count() > config_.run.time_limit_minutes * 60.0 && !last) {
                outcome = Outcome::time_limit;
            }
            if (step_ % config_.run.save_every == 0 || last || outcome != Outcome::finished) {
                save_newest();
            }
            if (outcome != Outcome::finished) {
                return outcome;
            }
        }
        if (step_ >= config_.run.steps) {
            return Outcome::finished;
        }
        if (!trace_file_.empty()) {
            pipeline_->timeline().switch_on();
        }
        const auto before = Clock::now();
        const Update made = update();
        finish_trace(/*ended=*/false);
        if (!judge(made)) {
            continue;
        }
        busy_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - before).count();
        loss_sum_ += made.loss;
        ++counted_;
        ++timed_;
        gradient_norm_ = made.gradient_norm;
        step_open_ = true;
    }
}

std::vector<ExtraReport> Trainer::extras() const {
    std::vector<ExtraReport> reports;
    for (const auto& [extra, cost] : pipeline_->extra_costs()) {
        if (cost.runs == 0 || cost.host_runs == 0) {
            continue;
        }
        ExtraReport report;
        report.name = extra_name(extra);
        report.runs = extra == Extra::norm_backward
                          ? static_cast<std::int64_t>(architecture_.blocks.size()) + 1
                          : 1;
        const auto runs = static_cast<double>(report.runs);
        report.host_ms = runs * cost.host_ms / static_cast<double>(cost.host_runs);
        report.device_ms = runs * cost.device_ms / static_cast<double>(cost.runs);
        report.io_ms = runs * cost.io_ms / static_cast<double>(cost.runs);
        reports.push_back(report);
    }
    return reports;
}

void Trainer::trace(std::filesystem::path file, std::int64_t updates) {
    trace_file_ = std::move(file);
    trace_updates_ = updates;
}

/// Called after each update and at the end of run().
void Trainer::finish_trace(bool ended) {
    if (trace_file_.empty() || (!ended && --trace_updates_ > 0)) {
        return;
    }
    pipeline_->timeline().switch_off();
    write_file_atomic(std::exchange(trace_file_, {}), pipeline_->timeline().json());
}

void Trainer::save_newest() {
    save(checkpoint_name(step_));
    drop_old_checkpoints();
}

void Trainer::drop_old_checkpoints() {
    const auto checkpoints = numbered_checkpoints(directory_);
    // The one to go back to stays too, however many were saved since.
    const auto sound = config_.health.on_divergence == "rollback"
                           ? std::find_if(checkpoints.begin(), checkpoints.end(), is_sound)
                           : checkpoints.end();
    for (auto old = checkpoints.begin() +
                    std::min<std::ptrdiff_t>(config_.run.keep_last, std::ssize(checkpoints));
         old != checkpoints.end(); ++old) {
        if (old != sound) {
            formats::remove_checkpoint(*old);
        }
    }
}

void Trainer::save(const std::string& name) {
    std::optional<ParameterSet> fetched;
    if (!weights_.is_whole()) {
        fetched = this->weights();
    }
    const ParameterSet& weights = fetched ? *fetched : weights_;
    auto moments = pipeline_->state();
    for (const auto& [set, prefix] : {std::pair{&m_, "m."}, std::pair{&v_, "v."}}) {
        for (auto& view : tensor_views(*set, prefix)) {
            moments.push_back(std::move(view));
        }
    }
    auto warnings = nlohmann::json::array();
    for (const HealthWarning& warning : warnings_) {
        warnings.push_back({warning.kind, warning.message});
    }
    const WindowSampler::State& cursor = sampler_.state();
    const nlohmann::json state{
        {"version", 3},
        {"step", step_},
        {"updates", updates_},
        {"best_validation_loss", number(best_validation_)},
        {"validation_loss", number(last_validation_)},
        {"open_step",
         {{"open", step_open_},
          {"loss_sum", loss_sum_},
          {"counted", counted_},
          {"gradient_norm", number(gradient_norm_)},
          {"stages", exact(stages_)},
          {"warnings", std::move(warnings)}}},
        {"health", health_.state()},
        {"loss_scale",
         {{"scale", loss_scale_.scale()},
          {"skipped", loss_scale_.skipped()},
          {"skipped_in_a_row", skipped_in_a_row_},
          {"good", loss_scale_.good_updates()}}},
        {"product_exponents", pipeline_->product_exponents()},
        {"sampler",
         {{"random", cursor.random}, {"epoch", cursor.epoch}, {"position", cursor.position}}}};
    formats::write_checkpoint(directory_ / "checkpoints" / name, tensor_views(weights, ""), moments,
                              state, model_metadata(config_.model));
}

void Trainer::load(const std::filesystem::path& path) {
    const formats::Checkpoint checkpoint(path);
    const auto source = path.string();
    const auto config = config_from_metadata(checkpoint.model().metadata(), source);
    if (!(config == config_.model)) {
        fail(Code::checkpoint_mismatch, here,
             "{}: made for another model than the run's config.toml describes", source);
    }
    fill(weights_, checkpoint.model(), "", source);
    fill(m_, checkpoint.optimizer(), "m.", source);
    fill(v_, checkpoint.optimizer(), "v.", source);
    pipeline_->restore_state(checkpoint.optimizer(), source);
    try {
        const auto& state = checkpoint.state();
        step_ = state.at("step").get<std::int64_t>();
        updates_ = state.at("updates").get<std::int64_t>();
        const auto real = [](const nlohmann::json& value, double otherwise) {
            return value.is_number() ? value.get<double>() : otherwise;
        };
        best_validation_ =
            real(state.at("best_validation_loss"), std::numeric_limits<double>::infinity());
        last_validation_ = real(state.at("validation_loss"), nothing);
        const int version = state.at("version").get<int>();
        stages_ = {};
        warnings_ = {};
        if (version >= 3) {
            health_.restore(state.at("health"));
            stages_ = stage_healths(state.at("open_step").at("stages"));
            for (const auto& warning : state.at("open_step").at("warnings")) {
                warnings_.push_back(
                    {warning.at(0).get<std::string>(), warning.at(1).get<std::string>()});
            }
        }
        if (version >= 2) {  // older ones were saved between steps only
            const auto& open = state.at("open_step");
            step_open_ = open.at("open").get<bool>();
            loss_sum_ = open.at("loss_sum").get<double>();
            counted_ = open.at("counted").get<std::int64_t>();
            gradient_norm_ = real(open.at("gradient_norm"), nothing);
        }
        const auto& scale = state.at("loss_scale");
        loss_scale_.restore(scale.at("scale").get<double>(),
                            scale.at("skipped").get<std::int64_t>(),
                            scale.at("good").get<std::int64_t>());
        skipped_in_a_row_ = scale.at("skipped_in_a_row").get<std::int64_t>();
        pipeline_->restore_product_exponents(state.at("product_exponents").get<std::vector<int>>());
        const auto& cursor = state.at("sampler");
        sampler_.restore({cursor.at("random").get<Random::State>(),
                          cursor.at("epoch").get<std::int64_t>(),
                          cursor.at("position").get<std::int64_t>()});
    } catch (const nlohmann::json::exception& error) {
        fail(Code::malformed_file, here, "{}: state.json is broken: {}", source, error.what());
    }
}

}  // namespace pome::train
