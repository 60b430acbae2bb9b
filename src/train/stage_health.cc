#include "train/stage_health.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace pome::train {
namespace {

// Magnitudes of fp16 values are in the order of their bits.
constexpr std::uint16_t magnitude_bits = 0x7FFF;
constexpr std::uint16_t high_bits = 0x7000;    // 8192
constexpr std::uint16_t normal_bits = 0x0400;  // 2^-14

struct Counts {
    std::int64_t high = 0, low = 0;
    std::uint16_t largest = 0;
};

/// Pieces short enough that counts of 16 bits hold them, so that a compiler can use whole vectors.
Counts count(const fp16* x, std::int64_t n) {
    constexpr std::int64_t piece = 32768;
    Counts all;
    for (std::int64_t begin = 0; begin < n; begin += piece) {
        const std::int64_t end = std::min(n, begin + piece);
        std::uint16_t high = 0, low = 0, largest = 0;
        for (std::int64_t i = begin; i < end; ++i) {
            const auto bits = static_cast<std::uint16_t>(x[i].bits & magnitude_bits);
            high = static_cast<std::uint16_t>(high + (bits >= high_bits ? 1 : 0));
            // Zero wraps to the largest: one comparison for "small and not zero".
            low = static_cast<std::uint16_t>(
                low + (static_cast<std::uint16_t>(bits - 1) < normal_bits - 1 ? 1 : 0));
            largest = std::max(largest, bits);
        }
        all.high += high;
        all.low += low;
        all.largest = std::max(all.largest, largest);
    }
    return all;
}

}  // namespace

void StageHealth::add(const StageHealth& other) {
    if (other.largest > largest) {
        largest = other.largest;
        largest_block = other.largest_block;
    }
    values += other.values;
    high += other.high;
    low += other.low;
    saturated += other.saturated;
    vanished += other.vanished;
}

void look(const device::Surface& surface, std::int64_t block, StageHealth& health) {
    if (surface.type().dtype != DType::fp16) {
        return;
    }
    const Counts found = count(surface.halves(), surface.elements());
    StageHealth seen;
    seen.values = surface.elements();
    seen.high = found.high;
    seen.low = found.low;
    seen.largest = static_cast<double>(to_float(fp16{found.largest}));
    seen.largest_block = block;
    health.add(seen);
}

nlohmann::json summary(const StageHealths& stages) {
    auto json = nlohmann::json::object();
    for (const auto& [stage, health] : stages) {
        nlohmann::json& line = json[stage];
        line = {{"saturated", health.saturated}, {"vanished", health.vanished}};
        if (health.values > 0) {
            line["largest"] = std::isfinite(health.largest) ? nlohmann::json(health.largest)
                                                            : nlohmann::json(nullptr);
            line["largest_block"] = health.largest_block;
            line["high_share"] = health.high_share();
            line["low_share"] = health.low_share();
        }
    }
    return json;
}

nlohmann::json exact(const StageHealths& stages) {
    auto json = nlohmann::json::object();
    for (const auto& [stage, h] : stages) {
        // An infinity is no JSON number.
        json[stage] = {
            h.values,
            h.high,
            h.low,
            std::isfinite(h.largest) ? nlohmann::json(h.largest) : nlohmann::json(nullptr),
            h.largest_block,
            h.saturated,
            h.vanished};
    }
    return json;
}

StageHealths stage_healths(const nlohmann::json& exact) {
    StageHealths stages;
    for (const auto& [stage, line] : exact.items()) {
        StageHealth& h = stages[stage];
        h.values = line.at(0).get<std::int64_t>();
        h.high = line.at(1).get<std::int64_t>();
        h.low = line.at(2).get<std::int64_t>();
        h.largest = line.at(3).is_null() ? HUGE_VAL : line.at(3).get<double>();
        h.largest_block = line.at(4).get<std::int64_t>();
        h.saturated = line.at(5).get<std::int64_t>();
        h.vanished = line.at(6).get<std::int64_t>();
    }
    return stages;
}

}  // namespace pome::train
