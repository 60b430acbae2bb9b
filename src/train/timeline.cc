#include "train/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pome::train {

void Timeline::add(Track track, std::string name, std::string_view category,
                   Clock::time_point begin, Clock::time_point end) {
    if (!on_) {
        return;
    }
    const std::lock_guard lock(mutex_);
    events_.push_back({track, std::move(name), category, begin, end});
}

bool Timeline::empty() const {
    const std::lock_guard lock(mutex_);
    return events_.empty();
}

std::string Timeline::json() const {
    constexpr const char* tracks[] = {"step", "weight gradients", "compiler"};
    const std::lock_guard lock(mutex_);
    Clock::time_point first = Clock::time_point::max();
    for (const Event& event : events_) {
        first = std::min(first, event.begin);
    }
    const auto microseconds = [](Clock::duration passed) {
        return std::chrono::duration<double, std::micro>(passed).count();
    };
    nlohmann::json events = nlohmann::json::array();
    for (std::size_t track = 0; track < std::size(tracks); ++track) {
        events.push_back({{"ph", "M"},
                          {"name", "thread_name"},
                          {"pid", 1},
                          {"tid", track},
                          {"args", {{"name", tracks[track]}}}});
    }
    for (const Event& event : events_) {
        events.push_back({{"ph", "X"},
                          {"name", event.name},
                          {"cat", event.category},
                          {"pid", 1},
                          {"tid", static_cast<int>(event.track)},
                          {"ts", microseconds(event.begin - first)},
                          {"dur", microseconds(event.end - event.begin)}});
    }
    return nlohmann::json{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}}.dump();
}

Span::~Span() {
    const auto end = Timeline::Clock::now();
    if (milliseconds_ != nullptr) {
        *milliseconds_ += std::chrono::duration<double, std::milli>(end - begin_).count();
    }
    if (timeline_.is_on()) {
        timeline_.add(track_,
                      block_ < 0 ? std::move(what_) : fmt::format("{}, block {}", what_, block_),
                      category_, begin_, end);
    }
}

}  // namespace pome::train
