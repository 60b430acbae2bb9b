#pragma once

#include <chrono>

namespace pome::train {

/// Adds the time from its construction to its destruction.
class Stopwatch {
  public:
    explicit Stopwatch(double& milliseconds) : milliseconds_(milliseconds) {}
    ~Stopwatch() {
        const std::chrono::duration<double, std::milli> passed =
            std::chrono::steady_clock::now() - start_;
        milliseconds_ += passed.count();
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

  private:
    double& milliseconds_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace pome::train
