#pragma once

#include <cstdint>

namespace pome::device {

class Facts;

/// What a chip's engine, reached by a route, takes for its work: the constants of the time model
/// (docs/time-model.md). TFLOP/s are 10^12 operations, multiply and add counted apart; GB/s 10^9.
struct TimeFacts {
    double dispatch_us = 0.0;         ///< one evaluation of a program that does nothing, steady
    double pointwise_tflops = 0.0;    ///< conv 1x1, linear, matmul by a constant
    double convolution_tflops = 0.0;  ///< conv with a larger kernel, done directly
    double matmul_tflops = 0.0;       ///< both operands live
    double winograd_gain = 1.0;       ///< of 3x3 stride-1 convolutions, where the chip does them so
    std::int64_t full_rate_channels = 1;  ///< fewer channels use part of the cores
    double layer_us = 0.0;                ///< each product, whatever its size
    double elementwise_gbs = 0.0;         ///< a pass over live tensors, read and written
    double pass_us = 0.0;                 ///< each pass, whatever its size
    double weight_gbs = 0.0;              ///< constants that stream from memory
    double memory_gbs = 0.0;       ///< activations that leave the working set between operations
    double boundary_gbs = 0.0;     ///< through the surfaces, conversion of layout included
    double boundary_factor = 1.0;  ///< of the route: how much faster than by e5rt
    std::int64_t working_set_bytes = 0;  ///< activations of one operation that stay on the chip
    std::int64_t operand_bytes = 0;      ///< memory for one operand
    std::int64_t slow_channels = 0;      ///< 1x1 kernels of a multiple of these channels ...
    double slow_channels_factor = 1.0;   ///< ... stream at this part of weight_gbs
    double int8_pointwise_gain = 1.0;    ///< rate of W8A8 products over fp16
    double int8_convolution_gain = 1.0;
    double wake_gap_ms = 0.0;  ///< after a pause this long the first evaluation ...
    double wake_ms = 0.0;      ///< ... waits so long
    double off_gap_ms = 0.0;   ///< after this long the engine has lost its power
    double off_ms = 0.0;
    double compile_ms = 0.0;         ///< a program without constants, compiled and loaded
    double compile_ms_per_mb = 0.0;  ///< more for each 10^6 bytes of constants
    // The processor's half of a training step, of one performance cluster.
    double host_tflops = 0.0;  ///< matrix products, fp32
    double host_gbs = 0.0;     ///< passes over fp32 and fp16 arrays
    std::int64_t host_clusters = 1;
};

/// What the work costs at the engine's rail.
struct EnergyFacts {
    double idle_watts = 0.0;   ///< nothing running
    double floor_watts = 0.0;  ///< evaluating, whatever it does
    double pj_per_flop = 0.0;
    double pj_per_int8_operation = 0.0;
    double pj_per_byte = 0.0;  ///< to and from memory
};

/// Whether a profile's files say anything about time; then read_time_facts() wants all of it.
bool has_time_facts(const Facts& facts);
TimeFacts read_time_facts(Facts& facts);
EnergyFacts read_energy_facts(Facts& facts);

}  // namespace pome::device
