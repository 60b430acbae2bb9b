#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace pome::train {

/// What ran when, on which thread, for Chrome's and Perfetto's trace viewers. Records nothing until
/// it is switched on. Threads may add at the same time.
class Timeline {
  public:
    using Clock = std::chrono::steady_clock;
    /// A row of the viewer.
    enum class Track : std::uint8_t { step, weight_gradients, compiler };

    void switch_on() { on_ = true; }
    void switch_off() { on_ = false; }
    bool is_on() const { return on_; }

    /// category: "device", "host", "io", "wait", "compile", "step".
    void add(Track track, std::string name, std::string_view category, Clock::time_point begin,
             Clock::time_point end);
    bool empty() const;

    /// {"traceEvents": [...]}: complete events ("X") with microseconds since the first one's start.
    std::string json() const;

  private:
    struct Event {
        Track track;
        std::string name;
        std::string_view category;  ///< of a literal
        Clock::time_point begin, end;
    };
    std::atomic<bool> on_{false};
    mutable std::mutex mutex_;
    std::vector<Event> events_;
};

/// Adds the time from its construction to its destruction to `milliseconds`, where that is given,
/// and to the timeline while it is on. The name is "what", or "what, block N".
class Span {
  public:
    Span(Timeline& timeline, Timeline::Track track, std::string_view category, std::string what,
         std::int64_t block = -1, double* milliseconds = nullptr)
        : timeline_(timeline),
          track_(track),
          category_(category),
          what_(std::move(what)),
          block_(block),
          milliseconds_(milliseconds) {}
    ~Span();
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

  private:
    Timeline& timeline_;
    Timeline::Track track_;
    std::string_view category_;
    std::string what_;
    std::int64_t block_;
    double* milliseconds_;
    Timeline::Clock::time_point begin_ = Timeline::Clock::now();
};

}  // namespace pome::train
