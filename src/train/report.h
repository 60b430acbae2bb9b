#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "train/health.h"
#include "train/offload.h"

namespace pome::train {

/// One line of a run's metrics.
struct Report {
    std::int64_t step = 0;         ///< updates tried so far
    double train_loss = 0.0;       ///< mean over the updates since the last report
    double validation_loss = 0.0;  ///< the newest one; NaN before the first
    double learning_rate = 0.0;
    double gradient_norm = 0.0;  ///< before clipping, of the newest update; NaN when it was skipped
    double loss_scale = 1.0;
    std::int64_t skipped = 0;   ///< updates lost to overflow in the whole run
    double milliseconds = 0.0;  ///< mean per update, and its parts
    double device_ms = 0.0, host_ms = 0.0, io_ms = 0.0, wait_ms = 0.0;
    double tokens_per_second = 0.0;
    std::int64_t compiles = 0;        ///< of the process so far
    std::vector<ExtraReport> extras;  ///< of the process so far
    // Since the last report.
    StageHealths stages;  ///< those of which something was seen or counted
    std::vector<HealthWarning> warnings;
    std::int64_t rollbacks = 0;  ///< of the run so far

    /// What metrics.jsonl and `pome train --json` hold: numbers that are not finite become null.
    nlohmann::json json() const;
};

}  // namespace pome::train
