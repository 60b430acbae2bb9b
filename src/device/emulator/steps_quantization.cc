// quantize, dequantize, and weights that are held compressed.
#include "device/emulator/elementwise.h"
#include "device/emulator/quantized_products.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/quantization.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

constexpr std::int64_t grain = 1024;

/// A scale or zero point under the shape that broadcasts to the input.
Place along_axis(Plan& plan, const mil::Arguments& arguments, std::string_view name,
                 const Shape& input) {
    if (!arguments.has(name)) {
        return {plan.constants({fp16{0}}), {}};
    }
    Place place = plan.operand(arguments, name);
    if (place.shape.elements() == 1) {
        place.shape = {};
        return place;
    }
    const std::int64_t given = arguments.integer("axis");
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(input.rank()), 1));
    shape[static_cast<int>(given)] = place.shape.elements();
    place.shape = shape;
    return place;
}

void make_dequantize(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place input = plan.operand(arguments, "input");
    const Place scale = along_axis(plan, arguments, "scale", input.shape),
                zero = along_axis(plan, arguments, "zero_point", input.shape);
    add_broadcast(plan, {input, scale, zero}, plan.result(operation),
                  [](const Elements& in, const Numerics& numerics) {
                      return chip::dequantize(in[0], in[1], in[2], numerics);
                  });
}

void make_quantize(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place input = plan.operand(arguments, "input");
    const Place scale = along_axis(plan, arguments, "scale", input.shape),
                zero = along_axis(plan, arguments, "zero_point", input.shape);
    const bool is_signed = operation.results[0].type.dtype == DType::int8;
    add_broadcast(plan, {input, scale, zero}, plan.result(operation),
                  is_signed
                      ? ElementFunction([](const Elements& in, const Numerics& numerics) {
                            return chip::quantize(in[0], in[1], in[2], -128.0F, 127.0F, numerics);
                        })
                      : ElementFunction([](const Elements& in, const Numerics& numerics) {
                            return chip::quantize(in[0], in[1], in[2], 0.0F, 255.0F, numerics);
                        }));
}

/// Reconstructed when the program is compiled, in double, rounded once to fp16: what every chip
/// does where the form does not stream (spec.md 7.2), and what streams exactly anyway (tables of
/// fp16, sparse). Blocks of blockwise weights are folded too: nobody measured where MIL's scales
/// enter.
void make_reconstructed(Plan& plan, const mil::Operation& operation,
                        const mil::Arguments& arguments) {
    plan.fold(operation, mil::find_schema(operation.op)->evaluate(arguments));
}

/// The halves of a tensor.
std::vector<fp16> halves(const reference::Tensor& tensor) {
    std::vector<fp16> values;
    for (const double value : tensor.data) {
        values.push_back(to_fp16(value, Rounding::nearest_even));
    }
    return values;
}

bool is_streamed(const mil::Operation& operation) {
    return operation.op == "constexpr_affine_dequantize";
}

}  // namespace

std::optional<Quantized> quantized_operand(Plan& plan, const mil::Arguments& arguments,
                                           std::string_view name) {
    const mil::Operation* made_by = plan.producer(arguments, name);
    if (!plan.numerics().multiply_accumulate.fixed_point || !plan.capabilities().int8_stream ||
        made_by == nullptr || (made_by->op != "dequantize" && !is_streamed(*made_by))) {
        return std::nullopt;
    }
    const mil::Arguments in = plan.arguments_of(*made_by);
    const auto scale = plan.elements(in, "scale");
    if (!scale || (in.has("zero_point") && !plan.elements(in, "zero_point"))) {
        return std::nullopt;
    }
    Quantized operand{made_by, is_streamed(*made_by), -1, halves(*scale)};
    if (scale->size() != 1) {
        const std::int64_t axis = in.integer("axis");
        const int rank = made_by->results[0].type.shape.rank();
        operand.axis = static_cast<int>(axis < 0 ? axis + rank : axis);
    }
    return operand;
}

Place quantized_integers(Plan& plan, const Quantized& operand) {
    const mil::Arguments in = plan.arguments_of(*operand.made_by);
    const Shape& shape = operand.made_by->results[0].type.shape;
    const std::string_view data = operand.streamed ? "quantized_data" : "input";
    const auto zeros = plan.elements(in, "zero_point");
    const auto zero_at = [&](std::int64_t i) -> double {
        if (!zeros) {
            return 0.0;
        }
        if (zeros->size() == 1) {
            return zeros->data.front();
        }
        const std::int64_t given = in.integer("axis");
        const int axis = static_cast<int>(given < 0 ? given + shape.rank() : given);
        const std::int64_t at = i / shape.strides()[static_cast<std::size_t>(axis)] % shape[axis];
        return zeros->data[static_cast<std::size_t>(at)];
    };
    if (auto known = plan.elements(in, data)) {
        for (std::int64_t i = 0; i < known->size(); ++i) {
            known->data[static_cast<std::size_t>(i)] -= zero_at(i);
        }
        return {plan.constants(halves(*known)), shape};
    }
    const Place input = plan.operand(in, data);
    if (!zeros) {
        return {input.slot, shape};
    }
    std::vector<float> shift;
    for (std::int64_t i = 0; i < (zeros->size() == 1 ? 1 : shape.elements()); ++i) {
        shift.push_back(static_cast<float>(zero_at(i)));
    }
    const int target = plan.scratch(shape.elements());
    plan.touch(input.slot);
    plan.add_loop([=](Run& run) {
        const fp16* from = run.slots[static_cast<std::size_t>(input.slot)];
        fp16* to = run.slots[static_cast<std::size_t>(target)];
        for (std::int64_t i = 0; i < shape.elements(); ++i) {
            const float zero = shift[shift.size() == 1 ? 0 : static_cast<std::size_t>(i)];
            to[i] = to_fp16(to_float(from[i]) - zero, Rounding::nearest_even);  // exact
        }
    });
    return {target, shape};
}

void add_integer_products(Plan& plan, IntegerProducts products) {
    for (const int slot : {products.a, products.b, products.y}) {
        plan.touch(slot);
    }
    plan.add_loop([p = std::move(products)](Run& run) {
        const auto &a = p.form.a, &b = p.form.b;
        const auto rows = static_cast<std::int64_t>(p.batch.size()) * a.rows;
        run.pool.for_ranges(
            rows, std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, b.columns)),
            [&](std::int64_t begin, std::int64_t end, int) {
                std::vector<std::int32_t> x(static_cast<std::size_t>(a.columns)), w(x.size());
                for (std::int64_t at = begin; at < end; ++at) {
                    const auto& offsets = p.batch[static_cast<std::size_t>(at / a.rows)];
                    const std::int64_t row = at % a.rows;
                    const fp16* left =
                        run.slots[static_cast<std::size_t>(p.a)] + offsets.a + row * a.row_stride;
                    fp16* out = run.slots[static_cast<std::size_t>(p.y)] + offsets.y +
                                row * p.form.y_row_stride;
                    for (std::int64_t k = 0; k < a.columns; ++k) {
                        x[static_cast<std::size_t>(k)] =
                            static_cast<std::int32_t>(to_float(left[k * a.column_stride]));
                    }
                    for (std::int64_t column = 0; column < b.columns; ++column) {
                        const fp16* right = run.slots[static_cast<std::size_t>(p.b)] + offsets.b +
                                            column * b.column_stride;
                        for (std::int64_t k = 0; k < a.columns; ++k) {
                            w[static_cast<std::size_t>(k)] =
                                static_cast<std::int32_t>(to_float(right[k * b.row_stride]));
                        }
                        const auto pick = [](const std::vector<fp16>& scales, std::int64_t i) {
                            return static_cast<double>(to_float(
                                scales[scales.size() == 1 ? 0 : static_cast<std::size_t>(i)]));
                        };
                        out[column] = chip::integer_product(
                            x, w, pick(p.rows, row) * pick(p.columns, column), run.numerics);
                    }
                }
            });
    });
}

void add_scales(Plan& plan, const Place& result, int axis, const std::vector<fp16>& scales,
                const std::vector<fp16>& bias) {
    std::int64_t inner = 1;
    for (int i = axis + 1; i < result.shape.rank(); ++i) {
        inner *= result.shape[i];
    }
    plan.touch(result.slot);
    plan.add_loop([=, channels = result.shape[axis]](Run& run) {
        fp16* values = run.slots[static_cast<std::size_t>(result.slot)];
        run.pool.for_ranges(
            result.shape.elements(), grain, [&](std::int64_t begin, std::int64_t end, int) {
                for (std::int64_t i = begin; i < end; ++i) {
                    const auto channel = static_cast<std::size_t>(i / inner % channels);
                    values[i] = chip::scaled_sum(
                        values[i], scales[scales.size() == 1 ? 0 : channel], run.numerics);
                    if (!bias.empty()) {
                        values[i] = chip::add(values[i], bias[channel], run.numerics.elementwise);
                    }
                }
            });
    });
}

Makers quantization_makers() {
    return {{"quantize", make_quantize},
            {"dequantize", make_dequantize},
            {"constexpr_affine_dequantize", make_reconstructed},
            {"constexpr_blockwise_shift_scale", make_reconstructed},
            {"constexpr_lut_to_dense", make_reconstructed},
            {"constexpr_sparse_to_dense", make_reconstructed},
            {"constexpr_lut_to_sparse", make_reconstructed},
            {"constexpr_sparse_blockwise_shift_scale", make_reconstructed},
            {"constexpr_cast", make_reconstructed}};
}

}  // namespace pome::device::emulator
