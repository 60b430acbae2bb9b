#pragma once

#include <optional>
#include <vector>

#include "device/emulator/plan.h"

namespace pome::device::emulator {

/// An operand of a product that was dequantized from 8-bit integers by a known scale.
struct Quantized {
    const mil::Operation* made_by = nullptr;
    bool streamed = false;  ///< constexpr_affine_dequantize: integers that lie in the program
    int axis = -1;          ///< along which scales differ; -1: one scale
    std::vector<fp16> scales;
};

/// What is known of argument `name` if it is such an operand on this chip; nullopt where integers
/// do not reach the products (chips without int8 streams, arithmetic that is not fixed-point).
std::optional<Quantized> quantized_operand(Plan& plan, const mil::Arguments& arguments,
                                           std::string_view name);
/// A slot with its integers less their zero point, as halves.
Place quantized_integers(Plan& plan, const Quantized& operand);

/// Adds y = away16(sum of a b in int32 * row scale * column scale) for every product of a batch
/// (reference/chip/quantization.h). `rows` and `columns` have one scale, or one a row or column.
struct IntegerProducts {
    int a, b, y;
    kernels::MatmulJob form;
    struct Offsets {
        std::int64_t a = 0, b = 0, y = 0;
    };
    std::vector<Offsets> batch;
    std::vector<fp16> rows, columns;
};
void add_integer_products(Plan& plan, IntegerProducts products);

/// Multiplies `result` in place by scales along an axis of size scales.size(), or by one scale;
/// then adds `bias` along that axis, where there is one.
void add_scales(Plan& plan, const Place& result, int axis, const std::vector<fp16>& scales,
                const std::vector<fp16>& bias);

}  // namespace pome::device::emulator
