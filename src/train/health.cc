#include "train/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace pome::train {
namespace {

// Updates that the exponential means reach back, and that must pass before they say anything.
constexpr std::int64_t reach = 10;
// More than half the values of a gradient below fp16's normal numbers: most of what it says is
// lost.
constexpr double mostly_low = 0.5;

double smoothed(double mean, double value, std::int64_t taken) {
    const auto n = static_cast<double>(std::min(taken, reach));
    return mean + (value - mean) / n;
}

/// The stage whose `measure` is greatest, if that is above 0.
template <typename Measure>
const StageHealths::value_type* worst(const StageHealths& stages, Measure measure) {
    const StageHealths::value_type* found = nullptr;
    for (const auto& stage : stages) {
        if (measure(stage) > 0.0 && (found == nullptr || measure(stage) > measure(*found))) {
            found = &stage;
        }
    }
    return found;
}

/// Where sums left the window, or came near it: the end of a sentence.
std::string where_it_saturates(const StageHealths& stages) {
    if (const auto* stage =
            worst(stages, [](const auto& s) { return static_cast<double>(s.second.saturated); })) {
        return fmt::format("; {} results of {} saturated", stage->second.saturated, stage->first);
    }
    if (const auto* stage = worst(stages, [](const auto& s) { return s.second.high_share(); })) {
        return fmt::format("; {} reaches {:.4g} in block {}", stage->first, stage->second.largest,
                           stage->second.largest_block);
    }
    return "";
}

bool is_backward(const std::string& stage) {
    return stage.ends_with(" backward");
}

}  // namespace

void HealthMonitor::judge(Warnings& warnings, const std::string& kind, bool holds,
                          const std::string& message) {
    if (!holds) {
        active_.erase(kind);
    } else if (active_.insert(kind).second) {
        warnings.push_back({kind, message});
    }
}

std::vector<HealthWarning> HealthMonitor::take(const Update& update, const StageHealths& stages) {
    Warnings warnings;
    ++updates_;
    divergence_.clear();
    judge_loss(warnings, update, stages);
    judge_gradient(warnings, update, stages);
    judge_window(warnings, update, stages);
    if (std::any_of(stages.begin(), stages.end(),
                    [](const auto& stage) { return stage.second.values > 0; })) {
        judge_range(warnings, stages);
    }
    return warnings;
}

void HealthMonitor::judge_range(Warnings& warnings, const StageHealths& stages) {
    const auto* high = worst(stages, [](const auto& s) { return s.second.high_share(); });
    judge(warnings, "range", high != nullptr,
          high == nullptr
              ? ""
              : fmt::format("{:.2g} % of the values of {} are {:g} or more (largest {:.4g}, block "
                            "{}), and sums saturate at 32768; likely cause: weights that grow; "
                            "lower optimizer.learning_rate or raise optimizer.weight_decay",
                            100.0 * high->second.high_share(), high->first, StageHealth::high_from,
                            high->second.largest, high->second.largest_block));
}

void HealthMonitor::judge_loss(Warnings& warnings, const Update& update,
                               const StageHealths& stages) {
    if (!std::isfinite(update.loss)) {
        divergence_ = fmt::format("the loss of step {} is no number", update.step);
    } else {
        smooth_loss_ = smoothed(smooth_loss_, update.loss, updates_);
        if (updates_ >= reach) {
            if (best_loss_ > 0.0 && smooth_loss_ > config_.divergence_factor * best_loss_) {
                divergence_ = fmt::format(
                    "the loss rose to {:.4g}, {:.2g} times its best of {:.4g} (means of {} "
                    "updates)",
                    smooth_loss_, smooth_loss_ / best_loss_, best_loss_, reach);
            }
            best_loss_ = best_loss_ > 0.0 ? std::min(best_loss_, smooth_loss_) : smooth_loss_;
        }
    }
    if (divergence_.empty() && update.skipped_in_a_row >= config_.skips_to_diverge) {
        divergence_ = fmt::format("{} updates in a row overflowed, the loss scale is {}",
                                  update.skipped_in_a_row, update.loss_scale);
    }
    judge(warnings, "divergence", !divergence_.empty(),
          fmt::format("{}{}; likely cause: steps that are too large; lower "
                      "optimizer.learning_rate{}",
                      divergence_, where_it_saturates(stages),
                      clips_ ? "" : " or clip gradients (optimizer.clip_norm)"));
}

void HealthMonitor::judge_gradient(Warnings& warnings, const Update& update,
                                   const StageHealths& stages) {
    judge(warnings, "overflows", update.skipped_in_a_row >= config_.skips_to_warn,
          fmt::format("{} updates in a row overflowed and were skipped, the loss scale is {}{}; "
                      "likely cause: a loss scale that began too high, then it ends by itself "
                      "(lower engine.loss_scale); or activations that outgrew the engine, then "
                      "lower optimizer.learning_rate",
                      update.skipped_in_a_row, update.loss_scale, where_it_saturates(stages)));
    judge(warnings, "scale_floor", update.loss_scale <= 1.0 && update.skipped_in_a_row > 0,
          fmt::format("updates overflow although the loss scale is at its floor of 1{}; likely "
                      "cause: activations, not gradients, that leave the engine's range; lower "
                      "optimizer.learning_rate, or set engine.product_scale = true",
                      where_it_saturates(stages)));
    if (!std::isfinite(update.gradient_norm)) {
        return;
    }
    const bool spike = norms_ >= reach && smooth_norm_ > 0.0 &&
                       update.gradient_norm > config_.spike_factor * smooth_norm_;
    judge(warnings, "gradient_spike", spike,
          fmt::format("the gradient norm of step {} is {:.4g}, {:.3g} times what it was lately; "
                      "likely cause: an odd sequence or steps that are too large; {}",
                      update.step, update.gradient_norm, update.gradient_norm / smooth_norm_,
                      clips_ ? "clipping limits it, a lower optimizer.learning_rate or clip_norm "
                               "if it comes again"
                             : "set optimizer.clip_norm, or lower optimizer.learning_rate"));
    smooth_norm_ = smoothed(smooth_norm_, update.gradient_norm, ++norms_);
}

void HealthMonitor::judge_window(Warnings& warnings, const Update& update,
                                 const StageHealths& stages) {
    if (config_.window == 0 || !std::isfinite(update.loss)) {
        return;
    }
    window_sum_ += update.loss;
    if (++window_count_ < config_.window) {
        return;
    }
    const double mean = window_sum_ / static_cast<double>(window_count_);
    const double fall = previous_window_ > 0.0 ? 1.0 - mean / previous_window_ : 1.0;
    const auto* low = worst(stages, [](const auto& s) {
        return is_backward(s.first) && s.second.low_share() > mostly_low ? s.second.low_share()
                                                                         : 0.0;
    });
    judge(warnings, "plateau", fall < config_.plateau,
          fmt::format(
              "the loss of the last {} updates, {:.4g}, is {:.2g} % below that of the {} before; "
              "likely cause: {}",
              config_.window, mean, 100.0 * fall, config_.window,
              low != nullptr
                  ? fmt::format("gradients that vanish ({:.3g} % of the values of {} lie below "
                                "2^-14); raise engine.loss_scale and its maximum, or set "
                                "engine.product_scale = true",
                                100.0 * low->second.low_share(), low->first)
                  : "a learning rate that is too low or too high for where the run is, or a model "
                    "that has learned what it can; change optimizer.learning_rate or its schedule, "
                    "or end the run"));
    previous_window_ = mean;
    window_sum_ = 0.0;
    window_count_ = 0;
}

bool HealthMonitor::is_sound() const {
    const double near = 1.0 + (config_.divergence_factor - 1.0) / 4.0;
    return divergence_.empty() && !active_.contains("overflows") &&
           (best_loss_ == 0.0 || smooth_loss_ <= near * best_loss_);
}

void HealthMonitor::rolled_back(const HealthMonitor& before) {
    rollbacks_ = before.rollbacks_ + 1;
    rate_factor_ = before.rate_factor_ * config_.rollback_rate;
}

nlohmann::json HealthMonitor::state() const {
    return {{"updates", updates_},
            {"smooth_loss", smooth_loss_},
            {"best_loss", best_loss_},
            {"norms", norms_},
            {"smooth_norm", smooth_norm_},
            {"window_sum", window_sum_},
            {"window_count", window_count_},
            {"previous_window", previous_window_},
            {"active", active_},
            {"sound", is_sound()},
            {"rollbacks", rollbacks_},
            {"rate_factor", rate_factor_}};
}

void HealthMonitor::restore(const nlohmann::json& state) {
    updates_ = state.at("updates").get<std::int64_t>();
    smooth_loss_ = state.at("smooth_loss").get<double>();
    best_loss_ = state.at("best_loss").get<double>();
    norms_ = state.at("norms").get<std::int64_t>();
    smooth_norm_ = state.at("smooth_norm").get<double>();
    window_sum_ = state.at("window_sum").get<double>();
    window_count_ = state.at("window_count").get<std::int64_t>();
    previous_window_ = state.at("previous_window").get<double>();
    active_ = state.at("active").get<std::set<std::string>>();
    rollbacks_ = state.at("rollbacks").get<std::int64_t>();
    rate_factor_ = state.at("rate_factor").get<double>();
    divergence_.clear();
}

}  // namespace pome::train
