#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "device/surface.h"

namespace pome::train {

/// How the values of one stage in one direction use the engine's window, over all its blocks. The
/// engine's sums become infinite at 2^15 and its products vanish below 2^-16 (docs/precision.md).
struct StageHealth {
    /// Values of this magnitude or more are counted as high: two doublings from the ceiling.
    static constexpr double high_from = 8192.0;
    /// Those below it, and not zero, as low: fp16 keeps fewer and fewer bits of them.
    static constexpr double low_below = 0x1p-14;

    // Of the values that were looked at.
    std::int64_t values = 0, high = 0, low = 0;
    double largest = 0.0;             ///< magnitude
    std::int64_t largest_block = -1;  ///< where it was
    // Of every evaluation, and of those that were looked at, where the device counts them.
    std::int64_t saturated = 0;  ///< results that became infinite
    std::int64_t vanished = 0;   ///< products of non-zero factors that were dropped

    double high_share() const { return share(high); }
    double low_share() const { return share(low); }
    void add(const StageHealth& other);
    friend bool operator==(const StageHealth&, const StageHealth&) = default;

  private:
    double share(std::int64_t count) const {
        return values == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(values);
    }
};

/// Looks at an fp16 surface, whose values are those of a stage in `block`. Other dtypes have no
/// window to leave: nothing is counted.
void look(const device::Surface& surface, std::int64_t block, StageHealth& health);

/// By stage and direction: "attention forward".
using StageHealths = std::map<std::string, StageHealth>;

/// For metrics: shares instead of counts.
nlohmann::json summary(const StageHealths& stages);
/// For checkpoints: everything, exactly. stage_healths() throws nlohmann::json::exception.
nlohmann::json exact(const StageHealths& stages);
StageHealths stage_healths(const nlohmann::json& exact);

}  // namespace pome::train
