#include "device/time_facts.h"

#include "device/profile_facts.h"

namespace pome::device {

bool has_time_facts(const Facts& facts) {
    return facts.has("time.dispatch_us");
}

TimeFacts read_time_facts(Facts& facts) {
    constexpr double most = 1e6;
    const auto number = [&](const char* key, double least) {
        return facts.number(std::string("time.") + key, least, most);
    };
    const auto integer = [&](const char* key) {
        return facts.integer(std::string("time.") + key, 1, std::int64_t{1} << 40);
    };
    constexpr double positive = 1e-6;
    TimeFacts t;
    t.dispatch_us = number("dispatch_us", positive);
    t.pointwise_tflops = number("pointwise_tflops", positive);
    t.convolution_tflops = number("convolution_tflops", positive);
    t.matmul_tflops = number("matmul_tflops", positive);
    t.winograd_gain = number("winograd_gain", 1.0);
    t.full_rate_channels = integer("full_rate_channels");
    t.layer_us = number("layer_us", 0.0);
    t.elementwise_gbs = number("elementwise_gbs", positive);
    t.pass_us = number("pass_us", 0.0);
    t.weight_gbs = number("weight_gbs", positive);
    t.memory_gbs = number("memory_gbs", positive);
    t.boundary_gbs = number("boundary_gbs", positive);
    t.boundary_factor = number("boundary_factor", positive);
    t.working_set_bytes = integer("working_set_bytes");
    t.operand_bytes = integer("operand_bytes");
    t.slow_channels = integer("slow_channels");
    t.slow_channels_factor = number("slow_channels_factor", positive);
    t.int8_pointwise_gain = number("int8_pointwise_gain", 1.0);
    t.int8_convolution_gain = number("int8_convolution_gain", 1.0);
    t.wake_gap_ms = number("wake_gap_ms", 0.0);
    t.wake_ms = number("wake_ms", 0.0);
    t.off_gap_ms = number("off_gap_ms", 0.0);
    t.off_ms = number("off_ms", 0.0);
    t.compile_ms = number("compile_ms", 0.0);
    t.compile_ms_per_mb = number("compile_ms_per_mb", 0.0);
    t.host_tflops = number("host_tflops", positive);
    t.host_gbs = number("host_gbs", positive);
    t.host_clusters = integer("host_clusters");
    return t;
}

EnergyFacts read_energy_facts(Facts& facts) {
    const auto number = [&](const char* key) {
        return facts.number(std::string("energy.") + key, 0.0, 1000.0);
    };
    EnergyFacts e;
    e.idle_watts = number("idle_watts");
    e.floor_watts = number("floor_watts");
    e.pj_per_flop = number("pj_per_flop");
    e.pj_per_int8_operation = number("pj_per_int8_operation");
    e.pj_per_byte = number("pj_per_byte");
    return e;
}

}  // namespace pome::device
