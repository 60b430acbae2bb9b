#pragma once

#include <string>
#include <vector>

#include "device/emulator/program_cost.h"
#include "device/profile.h"

namespace pome::device::emulator {

/// What most of a program's time goes to.
enum class Bound : std::uint8_t { dispatch, bandwidth, compute };
std::string_view name(Bound bound);

/// A modelled time by what it is spent on; milliseconds.
struct Milliseconds {
    double wake = 0.0;         ///< clocks and rails coming up after a pause
    double dispatch = 0.0;     ///< from the call to the engine and back
    double compute = 0.0;      ///< products
    double weights = 0.0;      ///< constants streaming in, where they take longer than the products
    double activations = 0.0;  ///< surfaces, passes over live tensors, traffic past the working set
    double total() const { return wake + dispatch + compute + weights + activations; }
    Bound bound() const;
    Milliseconds& operator+=(const Milliseconds& other);
};

/// The price of one operation on a chip.
struct OperationTime {
    Milliseconds time;          ///< dispatch and wake are the program's, 0 here
    double memory_bytes = 0.0;  ///< to and from memory
};

/// The price of one evaluation. Modelled, never measured: whoever prints it says so.
struct Prediction {
    Milliseconds time;
    double joules = 0.0;  ///< at the engine's rail
    double memory_bytes = 0.0;
    std::vector<OperationTime> operations;  ///< as in ProgramCost
    double watts() const { return time.total() > 0.0 ? joules / time.total() * 1e3 : 0.0; }
};

/// Between this evaluation and the one before.
struct Conditions {
    double idle_ms = 0.0;
};

/// The time model of docs/time-model.md:
///   t = wake + dispatch + surfaces / boundary bandwidth
///         + sum over operations max(flops / rate, weights / bandwidth, traffic / bandwidth)
/// Throws Error{unsupported} for a profile without time facts.
Prediction predict(const ProgramCost& cost, const Profile& profile,
                   const Conditions& conditions = {});

/// What the host computes in a training step.
struct HostWork {
    double flops = 0.0;  ///< matrix products, fp32
    double bytes = 0.0;  ///< passes over arrays
};
/// Milliseconds of it on the chip's processor: modelled by two rates.
double predict_host(const HostWork& work, const Profile& profile);

}  // namespace pome::device::emulator
