#include "device/emulator/time_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace pome::device::emulator {
namespace {

constexpr std::string_view here = "device.time_model";

const TimeFacts& time_of(const Profile& profile) {
    if (!profile.time) {
        fail(Code::unsupported, here,
             "profile '{}' has no facts about time; give its file a [time] and an [energy] table "
             "(docs/time-model.md lists the keys) or plan for one of the built-in chips",
             profile.name);
    }
    return *profile.time;
}

/// 10^9 bytes a second are 10^6 a millisecond.
double milliseconds_of(double bytes, double gigabytes_per_second) {
    return bytes / (gigabytes_per_second * 1e6);
}

/// Products' rate in FLOP/s.
double rate(const OperationCost& cost, const Profile& profile, const TimeFacts& time) {
    double tflops = time.matmul_tflops;
    if (cost.work == Work::pointwise) {
        tflops = time.pointwise_tflops * (cost.int8 ? time.int8_pointwise_gain : 1.0);
    } else if (cost.work == Work::convolution) {
        const bool winograd = profile.numerics.convolution.winograd_width &&
                              cost.kernel_width == 3 && cost.kernel_height == 3 && cost.stride_one;
        tflops = time.convolution_tflops * (winograd ? time.winograd_gain : 1.0) *
                 (cost.int8 ? time.int8_convolution_gain : 1.0);
    }
    // Output channels are dealt to the cores: few of them leave cores without work.
    const double used =
        static_cast<double>(cost.outputs) / static_cast<double>(time.full_rate_channels);
    return tflops * 1e12 * std::min(1.0, used);
}

/// How often constants stream in: once for every block of positions whose operand fits into half
/// the operand memory (the other half takes the next block), unless they fit there themselves.
double streams(const OperationCost& cost, const TimeFacts& time) {
    const double operand = static_cast<double>(time.operand_bytes);
    if (cost.weight_bytes <= operand || cost.work != Work::pointwise) {
        return 1.0;
    }
    const double row = 2.0 * static_cast<double>(cost.inner);
    const double rows = std::max(1.0, std::floor(operand / 2.0 / row));
    return std::ceil(static_cast<double>(cost.positions) / rows);
}

OperationTime price(const OperationCost& cost, const Profile& profile, const TimeFacts& time) {
    OperationTime result;
    if (cost.work == Work::free || cost.fused) {
        return result;
    }
    const double live = cost.read_bytes + cost.written_bytes;
    if (cost.flops == 0.0) {
        result.time.activations = time.pass_us / 1e3 + milliseconds_of(live, time.elementwise_gbs);
        return result;
    }
    const double compute = time.layer_us / 1e3 + cost.flops / rate(cost, profile, time) * 1e3;
    const double streamed = cost.weight_bytes * streams(cost, time);
    double bandwidth = time.weight_gbs;
    if (cost.work == Work::pointwise && cost.op == "conv" && cost.inner % time.slow_channels == 0) {
        bandwidth *= time.slow_channels_factor;
    }
    const double weights = milliseconds_of(streamed, bandwidth);
    const double spilled = live > static_cast<double>(time.working_set_bytes) ? live : 0.0;
    const double traffic = milliseconds_of(spilled, time.memory_gbs);
    result.memory_bytes = streamed + spilled;
    // Products, constants and activations flow at once; the slowest decides.
    if (compute >= weights && compute >= traffic) {
        result.time.compute = compute;
    } else if (weights >= traffic) {
        result.time.weights = weights;
    } else {
        result.time.activations = traffic;
    }
    return result;
}

}  // namespace

std::string_view name(Bound bound) {
    constexpr std::string_view names[] = {"dispatch", "bandwidth", "compute"};
    return names[static_cast<int>(bound)];
}

Bound Milliseconds::bound() const {
    const double bandwidth = weights + activations;
    if (wake + dispatch >= bandwidth && wake + dispatch >= compute) {
        return Bound::dispatch;
    }
    return bandwidth >= compute ? Bound::bandwidth : Bound::compute;
}

Milliseconds& Milliseconds::operator+=(const Milliseconds& other) {
    wake += other.wake;
    dispatch += other.dispatch;
    compute += other.compute;
    weights += other.weights;
    activations += other.activations;
    return *this;
}

Prediction predict(const ProgramCost& cost, const Profile& profile, const Conditions& conditions) {
    const TimeFacts& time = time_of(profile);
    Prediction result;
    result.time.dispatch = time.dispatch_us / 1e3;
    if (conditions.idle_ms >= time.off_gap_ms) {
        result.time.wake = time.off_ms;
    } else if (conditions.idle_ms >= time.wake_gap_ms) {
        result.time.wake = time.wake_ms;
    }
    const double surfaces = cost.input_bytes + cost.output_bytes;
    result.time.activations = milliseconds_of(
        surfaces, std::min(time.boundary_gbs * time.boundary_factor, time.memory_gbs));
    result.memory_bytes = surfaces;
    double picojoules = 0.0;
    const EnergyFacts& energy = *profile.energy;
    for (const auto& operation : cost.operations) {
        result.operations.push_back(price(operation, profile, time));
        result.time += result.operations.back().time;
        result.memory_bytes += result.operations.back().memory_bytes;
        picojoules +=
            operation.flops * (operation.int8 ? energy.pj_per_int8_operation : energy.pj_per_flop);
    }
    picojoules += result.memory_bytes * energy.pj_per_byte;
    // A clocked engine draws its floor however long it waits for bytes; what waking takes is not
    // known.
    const double busy = result.time.total() - result.time.wake;
    result.joules = energy.floor_watts * busy / 1e3 + picojoules * 1e-12;
    return result;
}

double predict_host(const HostWork& work, const Profile& profile) {
    const TimeFacts& time = time_of(profile);
    const auto clusters = static_cast<double>(time.host_clusters);
    return work.flops / (time.host_tflops * clusters * 1e9) +
           milliseconds_of(work.bytes, time.host_gbs * clusters);
}

}  // namespace pome::device::emulator
