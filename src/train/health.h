#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "train/config.h"
#include "train/stage_health.h"

namespace pome::train {

/// Something about a run that its user should know.
struct HealthWarning {
    std::string kind;  ///< "divergence", "gradient_spike", "overflows", "scale_floor", "plateau"...
    std::string message;  ///< what was seen, its likely cause, the setting to change
    friend bool operator==(const HealthWarning&, const HealthWarning&) = default;
};

/// Watches losses and gradient norms of a run, update by update. A value: its state is saved with
/// the checkpoint, so that a run that goes on judges as one that never stopped. Knows no clock and
/// no file.
class HealthMonitor {
  public:
    /// One update, as the trainer made it.
    struct Update {
        std::int64_t step = 0;
        double loss = 0.0;
        double gradient_norm = 0.0;  ///< NaN: skipped after an overflow
        double loss_scale = 1.0;     ///< after the update
        std::int64_t skipped_in_a_row = 0;
    };

    /// `clips`: gradients are clipped (for what a warning advises).
    HealthMonitor(const HealthConfig& config, bool clips) : config_(config), clips_(clips) {}

    /// Takes an update and what was seen of the stages since the last report. Returns what is new:
    /// each kind once until it is over.
    std::vector<HealthWarning> take(const Update& update, const StageHealths& stages);

    /// Why training is going wrong, in a sentence; empty: it is not.
    const std::string& divergence() const { return divergence_; }
    /// Whether a checkpoint of this moment is one to go back to.
    bool is_sound() const;

    /// After a checkpoint from before the divergence was loaded, with its own state of this: counts
    /// on from `before`, the state at the divergence, and lowers the rate.
    void rolled_back(const HealthMonitor& before);
    std::int64_t rollbacks() const { return rollbacks_; }
    /// What the learning rate is multiplied by.
    double rate_factor() const { return rate_factor_; }

    nlohmann::json state() const;
    /// Throws nlohmann::json::exception.
    void restore(const nlohmann::json& state);

  private:
    using Warnings = std::vector<HealthWarning>;
    /// Warns when `holds` becomes true.
    void judge(Warnings& warnings, const std::string& kind, bool holds, const std::string& message);
    /// Of values that were looked at.
    void judge_range(Warnings& warnings, const StageHealths& stages);
    void judge_loss(Warnings& warnings, const Update& update, const StageHealths& stages);
    void judge_gradient(Warnings& warnings, const Update& update, const StageHealths& stages);
    void judge_window(Warnings& warnings, const Update& update, const StageHealths& stages);

    HealthConfig config_;
    bool clips_;
    std::int64_t updates_ = 0;  ///< taken
    double smooth_loss_ = 0.0;  ///< exponential mean
    double best_loss_ = 0.0;    ///< the lowest of those; 0: none yet
    std::int64_t norms_ = 0;    ///< updates that were not skipped
    double smooth_norm_ = 0.0;
    double window_sum_ = 0.0;  ///< of losses, in the window so far
    std::int64_t window_count_ = 0;
    double previous_window_ = 0.0;  ///< mean of the last whole one; 0: none yet
    std::set<std::string> active_;  ///< kinds that hold
    std::string divergence_;
    std::int64_t rollbacks_ = 0;
    double rate_factor_ = 1.0;
};

}  // namespace pome::train
