#pragma once

#include <chrono>
#include <cstdint>

#include "device/device.h"
#include "train/parameters.h"

namespace pome::train {

/// Where the milliseconds of a step went.
struct Times {
    double device = 0.0;  ///< inside the device's evaluate()
    double io = 0.0;      ///< to and from surfaces: conversion, staging of weights
    double host = 0.0;    ///< everything that the host computes
};

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

/// How a model's blocks reach the engine. The trainer does not know which pipeline it uses.
/// Activations on the host are channel-first fp32: element (c, s) of [C][S] at c * S + s.
class Pipeline {
  public:
    virtual ~Pipeline() = default;

    /// Takes over new weights; needed before the first evaluation and after every update.
    virtual void stage_weights(const ParameterSet& weights) = 0;

    /// y [C][S] = the stage of `block` applied to the normalised x [C][S].
    virtual void forward(std::size_t block, const float* x, float* y) = 0;

    /// For the last forward() of that block: dx [C][S] from dy [C][S], and the gradients of its
    /// weights added to `gradients`. Everything stays multiplied by the factor that dy was
    /// multiplied by.
    virtual void backward(std::size_t block, const float* dy, float* dx,
                          ParameterSet& gradients) = 0;

    /// Whether a value left the engine's range since the last call.
    virtual bool take_overflow() = 0;

    Times& times() { return times_; }

  private:
    Times times_;
};

}  // namespace pome::train
