#pragma once

#include <functional>
#include <list>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "device/profile.h"
#include "mil/interpreter.h"
#include "mil/passes/decompose.h"
#include "mil/schema.h"
#include "reference/chip/activations.h"
#include "reference/chip/comparison.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/local_response.h"
#include "reference/chip/multiply_accumulate.h"
#include "reference/chip/pooling.h"
#include "reference/chip/quantization.h"
#include "reference/chip/reduction.h"
#include "reference/chip/slice.h"
#include "reference/chip/softmax.h"
#include "reference/chip/tables.h"
#include "reference/ops.h"

namespace pome::device::emulator {

/// The engine, op by op, by the scalar models of src/reference/chip and plain loops: what the
/// emulator's exact mode must equal in every bit. Values are doubles that are halves. It shares
/// with the emulator the schemas, the scalar models and the decompositions, and no step or kernel.
class ChipModel {
  public:
    using Tensor = reference::Tensor;

    ChipModel(const mil::Package& package, const mil::Function& function, const Profile& profile)
        : weights_(package.weights),
          profile_(profile),
          rules_(profile.numerics),
          function_(mil::passes::decompose(function, package.weights,
                                           {profile.capabilities.attention_mask})) {}

    mil::Tensors run(const mil::Tensors& inputs) {
        for (const auto& parameter : function_.parameters) {
            define(parameter, inputs.at(parameter.name));
        }
        for (const auto& operation : function_.operations) {
            if (operation.op == "const") {
                known_[operation.results[0].name] = {operation.results[0].type,
                                                     operation.find_attribute("val"), nullptr};
                continue;
            }
            const mil::Arguments in(
                operation, *mil::find_schema(operation.op),
                [this](std::string_view name) -> const mil::Known* {
                    const auto found = known_.find(name);
                    return found == known_.end() ? nullptr : &found->second;
                },
                &weights_);
            auto results = evaluate(operation, in);
            for (std::size_t i = 0; i < operation.results.size(); ++i) {
                results[i].shape = operation.results[i].type.shape;
                define(operation.results[i], std::move(results[i]));
                made_[operation.results[i].name] = &operation;
            }
        }
        mil::Tensors outputs;
        for (const auto& output : function_.outputs) {
            outputs.emplace(output, *known_.at(output).tensor);
        }
        return outputs;
    }

  private:
    static fp16 half(double value) { return to_fp16(value, Rounding::nearest_even); }
    static double number(fp16 value) { return static_cast<double>(to_float(value)); }
    static fp16 constant(const mil::Arguments& in, const char* name) {
        return half(in.number(name));
    }

    void define(const mil::NamedType& value, Tensor tensor) {
        tensors_.push_back(std::move(tensor));
        known_[value.name] = {value.type, nullptr, &tensors_.back()};
    }

    template <typename F>
    static Tensor each(const Tensor& x, F f) {
        return reference::unary(x, [&](double value) { return number(f(half(value))); });
    }
    template <typename F>
    static Tensor each(const Tensor& x, const Tensor& y, F f) {
        return reference::binary(x, y,
                                 [&](double a, double b) { return number(f(half(a), half(b))); });
    }

    /// f(line) for every line along an axis.
    template <typename F>
    static Tensor lines(const Tensor& x, int axis, F f) {
        Tensor y;
        std::int64_t outer = 1, inner = 1;
        for (int i = 0; i < x.shape.rank(); ++i) {
            if (i != axis) {
                (i < axis ? outer : inner) *= x.shape[i];
            }
        }
        const std::int64_t count = x.shape[axis];
        std::int64_t made = -1;
        for (std::int64_t o = 0; o < outer; ++o) {
            for (std::int64_t i = 0; i < inner; ++i) {
                std::vector<fp16> line;
                for (std::int64_t k = 0; k < count; ++k) {
                    line.push_back(
                        half(x.data[static_cast<std::size_t>((o * count + k) * inner + i)]));
                }
                const std::vector<fp16> result = f(line);
                if (made < 0) {
                    made = static_cast<std::int64_t>(result.size());
                    Shape shape = x.shape;
                    shape[axis] = made;
                    y = Tensor(shape);
                }
                for (std::int64_t k = 0; k < made; ++k) {
                    y.data[static_cast<std::size_t>((o * made + k) * inner + i)] =
                        number(result[static_cast<std::size_t>(k)]);
                }
            }
        }
        return y;
    }

    /// Runs of neighbouring axes, the last first, each one reduction.
    template <typename F>
    Tensor reduced(const mil::Arguments& in, Tensor x, F f) {
        const int rank = x.shape.rank();
        std::set<int> axes;
        if (in.has("axes")) {
            for (const std::int64_t axis : in.integers("axes")) {
                axes.insert(static_cast<int>(axis < 0 ? axis + rank : axis));
            }
        } else {
            for (int axis = 0; axis < rank; ++axis) {
                axes.insert(axis);
            }
        }
        for (int last = rank - 1; last >= 0; --last) {
            if (!axes.contains(last)) {
                continue;
            }
            int first = last;
            while (axes.contains(first - 1)) {
                --first;
            }
            const Shape before = x.shape;
            std::vector<std::int64_t> merged;
            std::int64_t count = 1;
            for (int i = 0; i < rank; ++i) {
                if (i < first || i > last) {
                    merged.push_back(before[i]);
                } else {
                    count *= before[i];
                    if (i == last) {
                        merged.push_back(count);
                    }
                }
            }
            x.shape = Shape(merged);
            x = lines(x, first,
                      [&](const std::vector<fp16>& line) { return std::vector<fp16>{f(line)}; });
            Shape after = before;
            for (int i = first; i <= last; ++i) {
                after[i] = 1;
            }
            x.shape = after;
            last = first;
        }
        return x;
    }

    struct Integers {
        Tensor q;
        std::vector<double> scales;
        int axis = -1;
        bool streamed = false;
    };
    std::optional<Integers> integers(const mil::Arguments& in, const char* name) {
        const auto& operand = in.operation().find_argument(name)->operands.front();
        const auto* text = std::get_if<std::string>(&operand);
        const auto found = text != nullptr ? made_.find(*text) : made_.end();
        if (found == made_.end() || !profile_.capabilities.int8_stream ||
            !rules_.multiply_accumulate.fixed_point ||
            (found->second->op != "dequantize" &&
             found->second->op != "constexpr_affine_dequantize")) {
            return std::nullopt;
        }
        const mil::Operation& made = *found->second;
        const mil::Arguments from(
            made, *mil::find_schema(made.op),
            [this](std::string_view value) { return &known_.find(value)->second; }, &weights_);
        Integers result;
        result.streamed = made.op != "dequantize";
        result.q = from.tensor(result.streamed ? "quantized_data" : "input");
        for (const double scale : from.tensor("scale").data) {
            result.scales.push_back(number(half(scale)));
        }
        const int rank = result.q.shape.rank();
        if (from.has("axis") && result.scales.size() > 1) {
            const std::int64_t axis = from.integer("axis");
            result.axis = static_cast<int>(axis < 0 ? axis + rank : axis);
        }
        if (from.has("zero_point")) {
            Tensor zero = from.tensor("zero_point");
            Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
            if (zero.size() > 1) {
                const std::int64_t axis = from.integer("axis");
                shape[static_cast<int>(axis)] = zero.size();
            }
            zero.shape = shape;
            result.q = reference::binary(result.q, zero, [](double a, double b) { return a - b; });
        }
        return result;
    }

    /// One sum over pairs of elements; what a conv, a matmul and a linear are made of.
    struct Sum {
        std::vector<double> x, w;
        void add(double a, double b) {
            x.push_back(a);
            w.push_back(b);
        }
    };
    /// Quantized operands' scales for one output element: of the first and the second operand.
    enum class Way { plain, first, second, both };
    fp16 sum(const Sum& terms, Way way, double first, double second, double bias) const {
        if (way == Way::both) {
            const std::vector<std::int32_t> x(terms.x.begin(), terms.x.end()),
                w(terms.w.begin(), terms.w.end());
            return reference::chip::integer_product(x, w, first * second, rules_);
        }
        std::vector<fp16> x, w;
        for (std::size_t i = 0; i < terms.x.size(); ++i) {
            x.push_back(half(terms.x[i]));
            w.push_back(half(terms.w[i]));
        }
        const fp16 total = reference::chip::multiply_accumulate(x, w, static_cast<float>(bias),
                                                                rules_.multiply_accumulate);
        return way == Way::plain ? total
                                 : reference::chip::scaled_sum(
                                       total, half(way == Way::first ? first : second), rules_);
    }
    static Way way_of(const std::optional<Integers>& a, int a_axis,
                      const std::optional<Integers>& b, int b_axis) {
        const bool first = a && (a->axis == -1 || a->axis == a_axis);
        const bool second = b && (b->axis == -1 || b->axis == b_axis);
        return first && second         ? Way::both
               : second && b->streamed ? Way::second
               : first && a->streamed  ? Way::first
                                       : Way::plain;
    }
    /// 1 for scales along an axis that the product sums over: way_of() then leaves them unused.
    static double scale_at(const std::optional<Integers>& operand, std::int64_t at) {
        if (!operand) {
            return 1.0;
        }
        const auto& scales = operand->scales;
        const auto index = scales.size() == 1 ? 0 : static_cast<std::size_t>(at);
        return index < scales.size() ? scales[index] : 1.0;
    }

    Tensor matmul(const mil::Arguments& in, const Shape& result) {
        const bool tx = in.boolean("transpose_x"), ty = in.boolean("transpose_y");
        Tensor x = in.tensor("x"), y = in.tensor("y");
        const auto qx = integers(in, "x"), qy = integers(in, "y");
        const Way way =
            way_of(qx, x.shape.rank() - (tx ? 1 : 2), qy, y.shape.rank() - (ty ? 2 : 1));
        if (way == Way::first || way == Way::both) {
            x = qx->q;
        }
        if (way == Way::second || way == Way::both) {
            y = qy->q;
        }
        Tensor z(result);
        const auto at = [&](const Tensor& t, std::int64_t index, std::int64_t row,
                            std::int64_t column, bool turned) {
            // `index` counts the matrices of the result; broadcast back to t's.
            std::int64_t place = 0, stride = t.shape[-1] * t.shape[-2];
            for (int axis = result.rank() - 3; axis >= 0; --axis) {
                const int own = axis - (result.rank() - t.shape.rank());
                const std::int64_t i = index % result[axis];
                index /= result[axis];
                if (own >= 0) {
                    place += (t.shape[own] == 1 ? 0 : i) * stride;
                    stride *= t.shape[own];
                }
            }
            return t.data[static_cast<std::size_t>(
                place + (turned ? column * t.shape[-1] + row : row * t.shape[-1] + column))];
        };
        const std::int64_t rows = result[-2], columns = result[-1], inner = x.shape[tx ? -2 : -1];
        for (std::int64_t i = 0; i < z.size(); ++i) {
            const std::int64_t matrix = i / (rows * columns), m = i / columns % rows,
                               n = i % columns;
            Sum terms;
            for (std::int64_t k = 0; k < inner; ++k) {
                terms.add(at(x, matrix, m, k, tx), at(y, matrix, k, n, ty));
            }
            z.data[static_cast<std::size_t>(i)] =
                number(sum(terms, way, scale_at(qx, m), scale_at(qy, n), 0.0));
        }
        return z;
    }

    Tensor linear(const mil::Arguments& in, const Shape& result) {
        Tensor x = in.tensor("x"), weight = in.tensor("weight");
        const auto qx = integers(in, "x"), qw = integers(in, "weight");
        const Way way = way_of(qx, -1, qw, 0);
        if (way == Way::first || way == Way::both) {
            x = qx->q;
        }
        if (way == Way::second || way == Way::both) {
            weight = qw->q;
        }
        Tensor y(result);
        const std::int64_t inner = x.shape[-1], outputs = weight.shape[0];
        for (std::int64_t i = 0; i < y.size(); ++i) {
            Sum terms;
            for (std::int64_t k = 0; k < inner; ++k) {
                terms.add(x.data[static_cast<std::size_t>(i / outputs * inner + k)],
                          weight.data[static_cast<std::size_t>(i % outputs * inner + k)]);
            }
            y.data[static_cast<std::size_t>(i)] =
                number(sum(terms, way, scale_at(qx, 0), scale_at(qw, i % outputs), 0.0));
        }
        return y;
    }

    /// The pairs of every output of a conv or conv_transpose, found by evaluating its meaning on
    /// unit weights and images of places: slow, and independent of how the emulator gathers them.
    Tensor conv(const mil::Operation& operation, const mil::Arguments& in, const Shape& result) {
        Tensor x = in.tensor("x"), weight = in.tensor("weight");
        const bool transposed = operation.op == "conv_transpose";
        const auto qx = transposed ? std::nullopt : integers(in, "x");
        const auto qw = transposed ? std::nullopt : integers(in, "weight");
        Way way = way_of(qw, 0, qx, -1);
        if (way == Way::second) {
            way = Way::plain;
        }
        const std::int64_t groups = in.integer("groups"),
                           kernel = weight.shape.elements() / (weight.shape[0] * weight.shape[1]);
        const std::int64_t channels = x.shape[1], own = channels / groups, outputs = result[1],
                           group_outputs = outputs / groups,
                           positions = result.elements() / (result[0] * outputs),
                           inside = x.size() / (x.shape[0] * channels);
        // source[k][p]: the place of x that tap k carries to position p, -1 for none.
        std::vector<std::vector<std::int64_t>> source;
        for (std::int64_t k = 0; k < kernel; ++k) {
            source.push_back(places(operation, in, result, k));
        }
        Tensor bias(Shape{outputs});
        if (in.has("bias")) {
            bias = in.tensor("bias");
        }
        if (way != Way::plain) {
            weight = qw->q;
        }
        if (way == Way::both) {
            x = qx->q;
        }
        bool pointwise = kernel == 1 && channels == 1 && positions == inside && !transposed;
        if (in.has("strides")) {
            for (const std::int64_t stride : in.integers("strides")) {
                pointwise = pointwise && stride == 1;
            }
        }
        for (std::int64_t p = 0; pointwise && p < positions; ++p) {
            pointwise = source[0][static_cast<std::size_t>(p)] == p;
        }
        Tensor y(result);
        for (std::int64_t i = 0; i < y.size(); ++i) {
            const std::int64_t n = i / (outputs * positions), o = i / positions % outputs,
                               p = i % positions, group = o / group_outputs;
            Sum terms;
            for (std::int64_t c = 0; c < own; ++c) {
                for (std::int64_t k = 0; k < kernel; ++k) {
                    const std::int64_t from =
                        source[static_cast<std::size_t>(k)][static_cast<std::size_t>(p)];
                    const std::int64_t w =
                        transposed
                            ? ((group * own + c) * group_outputs + o % group_outputs) * kernel + k
                            : (o * own + c) * kernel + k;
                    const double value =
                        from < 0 ? 0.0
                                 : x.data[static_cast<std::size_t>(
                                       (n * channels + group * own + c) * inside + from)];
                    terms.add(weight.data[static_cast<std::size_t>(w)], value);
                }
            }
            const double added = bias.data[static_cast<std::size_t>(o)];
            fp16 value{};
            if (way == Way::plain && pointwise && rules_.convolution.single_channel_bypass) {
                value =
                    reference::chip::mul(half(terms.w[0]), half(terms.x[0]), rules_.elementwise);
                if (in.has("bias")) {
                    value = reference::chip::add(value, half(added), rules_.elementwise);
                }
            } else {
                value = sum(terms, way, scale_at(qw, o), scale_at(qx, 0),
                            way == Way::plain ? added : 0.0);
                if (way != Way::plain && in.has("bias")) {
                    if (way == Way::both) {
                        value = reference::chip::scaled_sum(value, half(1.0), rules_);
                    }
                    value = reference::chip::add(value, half(added), rules_.elementwise);
                }
            }
            y.data[static_cast<std::size_t>(i)] = number(value);
        }
        return y;
    }

    /// For one tap: the result's places carry 1 + the place of x. By the op's own meaning on one
    /// channel.
    std::vector<std::int64_t> places(const mil::Operation& operation, const mil::Arguments& in,
                                     const Shape& result, std::int64_t tap) {
        mil::Operation one = operation;
        std::erase_if(one.arguments, [](const mil::Argument& argument) {
            return argument.name == "bias" || argument.name == "groups" ||
                   argument.name == "output_shape";
        });
        Shape plane = in.type("x").shape, kernel = in.type("weight").shape;
        plane[0] = plane[1] = kernel[0] = kernel[1] = 1;
        if (operation.find_argument("output_shape") != nullptr) {
            Shape wanted = result;
            wanted[0] = wanted[1] = 1;
            one.arguments.push_back(
                {"output_shape", {mil::Literal::integers(wanted.sizes())}, false});
        }
        Tensor x(plane), weight(kernel);
        std::iota(x.data.begin(), x.data.end(), 1.0);
        weight.data[static_cast<std::size_t>(tap)] = 1.0;
        const mil::Known known_x{mil::Type::tensor(DType::fp16, plane), nullptr, &x},
            known_weight{mil::Type::tensor(DType::fp16, kernel), nullptr, &weight};
        for (auto& argument : one.arguments) {
            if (argument.name == "x" || argument.name == "weight") {
                argument.operands = {"the " + argument.name};
            }
        }
        const mil::Arguments arguments(
            one, *mil::find_schema(one.op), [&](std::string_view name) -> const mil::Known* {
                return name == "the x"        ? &known_x
                       : name == "the weight" ? &known_weight
                                              : &known_.find(name)->second;
            });
        std::vector<std::int64_t> found;
        const auto results = mil::find_schema(one.op)->evaluate(arguments);
        for (const double value : results.front().data) {
            found.push_back(static_cast<std::int64_t>(value) - 1);
        }
        return found;
    }

    /// Windows of a pool: the elements of each, and how many positions the average is over, from
    /// the op's own meaning: the maximum of places taken away one by one.
    Tensor pool(const mil::Operation& operation, const mil::Arguments& in, const Shape& result) {
        const auto& x = in.tensor("x");
        const auto kernel = in.integers("kernel_sizes");
        const std::size_t axes = kernel.size();
        std::vector<std::int64_t> stride(axes, 1), before(axes, 0), after(axes, 0);
        if (in.has("strides")) {
            stride = in.integers("strides");
        }
        const std::string& type = in.text("pad_type");
        for (std::size_t i = 0; i < axes; ++i) {
            const int axis = static_cast<int>(i) + 2;
            if (type == "custom" && in.has("pad")) {
                before[i] = in.integers("pad")[2 * i], after[i] = in.integers("pad")[2 * i + 1];
            } else if (type == "same" || type == "same_lower") {
                const std::int64_t total = std::max<std::int64_t>(
                    0, (result[axis] - 1) * stride[i] + kernel[i] - x.shape[axis]);
                before[i] = type == "same" ? total / 2 : total - total / 2;
                after[i] = total - before[i];
            }
        }
        Tensor y(result);
        const auto in_strides = x.shape.strides(), out_strides = result.strides();
        for (std::int64_t i = 0; i < y.size(); ++i) {
            std::vector<fp16> window;
            std::int64_t count = 1;
            std::vector<std::int64_t> start(axes);
            std::int64_t base = 0;
            for (int axis = 0; axis < result.rank(); ++axis) {
                const std::int64_t at =
                    i / out_strides[static_cast<std::size_t>(axis)] % result[axis];
                if (axis < 2) {
                    base += at * in_strides[static_cast<std::size_t>(axis)];
                } else {
                    const auto a = static_cast<std::size_t>(axis) - 2;
                    start[a] = at * stride[a] - before[a];
                    count *= std::min(start[a] + kernel[a], x.shape[axis] + after[a]) - start[a];
                }
            }
            const std::int64_t volume =
                std::accumulate(kernel.begin(), kernel.end(), std::int64_t{1}, std::multiplies<>());
            for (std::int64_t k = 0; k < volume; ++k) {
                std::int64_t rest = k, place = base;
                bool inside = true;
                for (std::size_t a = axes; a-- > 0;) {
                    const std::int64_t at = start[a] + rest % kernel[a];
                    rest /= kernel[a];
                    inside = inside && at >= 0 && at < x.shape[static_cast<int>(a) + 2];
                    place += at * in_strides[a + 2];
                }
                if (inside) {
                    window.push_back(half(x.data[static_cast<std::size_t>(place)]));
                }
            }
            if (operation.op == "avg_pool" && in.boolean("exclude_padding_from_average")) {
                count = static_cast<std::int64_t>(window.size());
            }
            y.data[static_cast<std::size_t>(i)] = number(
                operation.op == "max_pool"   ? reference::chip::max_pool(window, rules_)
                : operation.op == "avg_pool" ? reference::chip::avg_pool(window, count, rules_)
                                             : reference::chip::l2_pool(window, rules_));
        }
        return y;
    }

    Tensor local_response(const mil::Arguments& in) {
        const auto& x = in.tensor("x");
        Tensor y(x.shape);
        const std::int64_t channels = x.shape[1], size = in.integer("size"),
                           inner = x.size() / (x.shape[0] * channels);
        for (std::int64_t i = 0; i < x.size(); ++i) {
            const std::int64_t c = i / inner % channels;
            std::vector<fp16> window;
            for (std::int64_t other = c - (size - 1) / 2; other < c - (size - 1) / 2 + size;
                 ++other) {
                if (other >= 0 && other < channels) {
                    window.push_back(
                        half(x.data[static_cast<std::size_t>(i + (other - c) * inner)]));
                }
            }
            y.data[static_cast<std::size_t>(i)] = number(reference::chip::local_response(
                half(x.data[static_cast<std::size_t>(i)]), window, size, in.number("alpha"),
                in.number("beta"), in.number("k"), rules_));
        }
        return y;
    }

    static bool is_whole_type(DType dtype) { return is_integer(dtype); }

    Tensor cast(const mil::Arguments& in, DType to) {
        const auto& x = in.tensor("x");
        if (is_floating(to) || in.type("x").dtype == to) {
            return x;
        }
        if (to == DType::boolean) {
            return reference::unary(x, [](double value) { return value != 0.0 ? 1.0 : 0.0; });
        }
        const bool is_signed = to == DType::int8 || to == DType::int16 || to == DType::int32;
        const double range = std::ldexp(1.0, static_cast<int>(bits(to)) - (is_signed ? 1 : 0));
        return reference::unary(x, [&](double value) {
            const double whole = std::clamp(std::trunc(value), is_signed ? -range : 0.0, range - 1);
            return number(to_fp16(whole + 0.0, Rounding::nearest_away));
        });
    }

    /// A scale or zero point of a quantization under the shape that broadcasts.
    Tensor along(const mil::Arguments& in, const char* name, int rank) {
        if (!in.has(name)) {
            return Tensor(Shape{}, 0.0);
        }
        Tensor t = in.tensor(name);
        if (t.size() == 1) {
            t.shape = {};
            return t;
        }
        Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
        shape[static_cast<int>(in.integer("axis"))] = t.size();
        t.shape = shape;
        return t;
    }
    Tensor quantization(const mil::Operation& operation, const mil::Arguments& in) {
        const auto& x = in.tensor("input");
        const int rank = x.shape.rank();
        const Tensor scale = along(in, "scale", rank), zero = along(in, "zero_point", rank);
        const auto over_scale =
            reference::binary(x, scale, [](double, double s) { return s; });  // scale in x's shape
        const auto over_zero = reference::binary(x, zero, [](double, double z) { return z; });
        const DType dtype = operation.results[0].type.dtype;
        Tensor y(x.shape);
        for (std::size_t i = 0; i < y.data.size(); ++i) {
            const fp16 value = half(x.data[i]), s = half(over_scale.data[i]),
                       z = half(over_zero.data[i]);
            y.data[i] = number(
                operation.op == "dequantize"
                    ? reference::chip::dequantize(value, s, z, rules_)
                    : reference::chip::quantize(value, s, z, dtype == DType::int8 ? -128.0F : 0.0F,
                                                dtype == DType::int8 ? 127.0F : 255.0F, rules_));
        }
        return y;
    }

    /// What a slice whose width begins elsewhere than at 0 does on the M1 and M2.
    std::vector<Tensor> sliced(std::vector<Tensor> results, std::int64_t begin) {
        if (begin != 0 && rules_.slice.width_gain) {
            results[0] =
                each(results[0], [&](fp16 value) { return reference::chip::width_gain(value); });
        }
        return results;
    }

    std::vector<Tensor> evaluate(const mil::Operation& operation, const mil::Arguments& in) {
        namespace chip = reference::chip;
        using chip::Function;
        const std::string& op = operation.op;
        const auto& e = rules_.elementwise;
        const Shape& result = operation.results[0].type.shape;
        static const std::map<std::string, Function> tables{
            {"sigmoid", Function::sigmoid}, {"tanh", Function::tanh}, {"silu", Function::silu},
            {"erf", Function::erf},         {"exp", Function::exp},   {"exp2", Function::exp2},
            {"sqrt", Function::sqrt},       {"sin", Function::sin},   {"cos", Function::cos},
            {"atan", Function::atan}};
        static const std::map<std::string, Function> shifted{
            {"log", Function::log}, {"rsqrt", Function::rsqrt}, {"inverse", Function::inverse}};
        using One = fp16 (*)(fp16, const Numerics::Elementwise&);
        static const std::map<std::string, One> plain{
            {"abs", chip::abs},   {"sign", chip::sign},   {"floor", chip::floor},
            {"ceil", chip::ceil}, {"round", chip::round}, {"square", chip::square},
            {"relu", chip::relu}};
        using Two = fp16 (*)(fp16, fp16, const Numerics::Elementwise&);
        static const std::map<std::string, Two> two{
            {"add", chip::add},           {"sub", chip::sub},         {"mul", chip::mul},
            {"real_div", chip::real_div}, {"maximum", chip::maximum}, {"minimum", chip::minimum}};
        using chip::Comparison;
        static const std::map<std::string, Comparison> comparisons{
            {"equal", Comparison::equal},     {"not_equal", Comparison::not_equal},
            {"greater", Comparison::greater}, {"greater_equal", Comparison::greater_equal},
            {"less", Comparison::less},       {"less_equal", Comparison::less_equal}};
        using Free = fp16 (*)(fp16, const Numerics&);
        static const std::map<std::string, Free> free{
            {"relu6", chip::relu6}, {"softplus", chip::softplus}, {"softsign", chip::softsign}};
        using Alpha = fp16 (*)(fp16, fp16, const Numerics&);
        static const std::map<std::string, Alpha> alpha{
            {"leaky_relu", chip::leaky_relu},
            {"thresholded_relu", chip::thresholded_relu},
            {"elu", chip::elu}};
        using Both = fp16 (*)(fp16, fp16, fp16, const Numerics&);
        static const std::map<std::string, Both> both{
            {"clip", chip::clip},
            {"clamped_relu", chip::clamped_relu},
            {"linear_activation", chip::linear_activation},
            {"sigmoid_hard", chip::sigmoid_hard},
            {"scaled_tanh", chip::scaled_tanh}};

        if (const auto f = tables.find(op); f != tables.end()) {
            return {
                each(in.tensor("x"), [&](fp16 x) { return chip::evaluate(f->second, x, rules_); })};
        }
        if (const auto f = shifted.find(op); f != shifted.end()) {
            const fp16 epsilon = constant(in, "epsilon");
            return {each(in.tensor("x"), [&](fp16 x) {
                return chip::evaluate(f->second, is_zero(epsilon) ? x : chip::add(x, epsilon, e),
                                      rules_);
            })};
        }
        if (const auto f = plain.find(op); f != plain.end()) {
            return {each(in.tensor("x"), [&](fp16 x) { return f->second(x, e); })};
        }
        if (const auto f = two.find(op); f != two.end()) {
            return {each(in.tensor("x"), in.tensor("y"),
                         [&](fp16 x, fp16 y) { return f->second(x, y, e); })};
        }
        if (const auto f = comparisons.find(op); f != comparisons.end()) {
            return {each(in.tensor("x"), in.tensor("y"),
                         [&](fp16 x, fp16 y) { return chip::compare(f->second, x, y, e); })};
        }
        if (const auto f = free.find(op); f != free.end()) {
            return {each(in.tensor("x"), [&](fp16 x) { return f->second(x, rules_); })};
        }
        if (const auto f = alpha.find(op); f != alpha.end()) {
            return {each(in.tensor("x"),
                         [&](fp16 x) { return f->second(x, constant(in, "alpha"), rules_); })};
        }
        if (const auto f = both.find(op); f != both.end()) {
            return {each(in.tensor("x"), [&](fp16 x) {
                return f->second(x, constant(in, "alpha"), constant(in, "beta"), rules_);
            })};
        }
        if (op == "threshold") {
            return {each(in.tensor("x"),
                         [&](fp16 x) { return chip::maximum(x, constant(in, "alpha"), e); })};
        }
        if (op == "gelu") {
            const std::string& mode = in.text("mode");
            const auto way = mode == "EXACT"                ? chip::GeluMode::exact
                             : mode == "TANH_APPROXIMATION" ? chip::GeluMode::tanh
                                                            : chip::GeluMode::sigmoid;
            return {each(in.tensor("x"), [&](fp16 x) { return chip::gelu(way, x, rules_); })};
        }
        if (op == "prelu") {
            Tensor slope = in.tensor("alpha");
            Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(result.rank()), 1));
            shape[1] = slope.size();
            slope.shape = shape;
            return {each(in.tensor("x"), slope,
                         [&](fp16 x, fp16 a) { return chip::leaky_relu(x, a, rules_); })};
        }
        if (op == "pow") {
            return {each(in.tensor("x"), in.tensor("y"),
                         [&](fp16 x, fp16 y) { return chip::power(x, y, rules_); })};
        }
        if (op == "reduce_sum" || op == "reduce_mean") {
            return {reduced(in, in.tensor("x"), [&](const std::vector<fp16>& line) {
                return op == "reduce_sum" ? chip::reduce_sum(line, rules_.reduction)
                                          : chip::reduce_mean(line, rules_.reduction);
            })};
        }
        if (op == "reduce_max" || op == "reduce_min") {
            return {reduced(in, in.tensor("x"), [&](const std::vector<fp16>& line) {
                fp16 most = line.front();
                for (const fp16 value : line) {
                    most = op == "reduce_max" ? chip::maximum(most, value, e)
                                              : chip::minimum(most, value, e);
                }
                return chip::store(chip::load(most, e), e);
            })};
        }
        if (op == "reduce_log_sum_exp") {
            const Tensor powers = each(
                in.tensor("x"), [&](fp16 x) { return chip::evaluate(Function::exp, x, rules_); });
            const Tensor total = reduced(in, powers, [&](const std::vector<fp16>& line) {
                return chip::reduce_sum(line, rules_.reduction);
            });
            return {each(total, [&](fp16 x) { return chip::log_of_exponentials(x, rules_); })};
        }
        if (op == "softmax") {
            const std::int64_t axis = in.integer("axis");
            return {lines(in.tensor("x"), static_cast<int>(axis < 0 ? axis + result.rank() : axis),
                          [&](const std::vector<fp16>& line) {
                              std::vector<fp16> y(line.size());
                              chip::softmax(line, y, rules_);
                              return y;
                          })};
        }
        if (op == "matmul") {
            return {matmul(in, result)};
        }
        if (op == "linear") {
            return {linear(in, result)};
        }
        if (op == "conv" || op == "conv_transpose") {
            return {conv(operation, in, result)};
        }
        if (op == "max_pool" || op == "avg_pool" || op == "l2_pool") {
            return {pool(operation, in, result)};
        }
        if (op == "local_response_norm") {
            return {local_response(in)};
        }
        if (op == "cast") {
            return {cast(in, operation.results[0].type.dtype)};
        }
        if (op == "quantize" || op == "dequantize") {
            return {quantization(operation, in)};
        }
        auto results = mil::find_schema(op)->evaluate(in);  // a move, or folded
        if (op == "slice_by_size") {
            return sliced(std::move(results), in.integers("begin").back());
        }
        if (op == "crop") {
            return sliced(std::move(results), in.integers("crop_width").front());
        }
        if (op == "slice_by_index") {
            const auto last = static_cast<std::size_t>(in.type("x").shape.rank()) - 1;
            const std::int64_t size = in.type("x").shape[-1],
                               stride = in.has("stride") ? in.integers("stride")[last] : 1;
            std::int64_t begin = in.integers("begin")[last];
            begin = begin < 0 ? begin + size : begin;
            if (in.has("begin_mask") && in.booleans("begin_mask")[last] != 0) {
                begin = stride < 0 ? size - 1 : 0;
            }
            return sliced(std::move(results), begin);
        }
        if (op == "resize_bilinear" || op == "upsample_bilinear" || op == "resample" ||
            op == "affine" || op == "crop_resize" ||
            (op == "resize" && in.text("interpolation_mode") == "LINEAR")) {
            for (double& value : results[0].data) {
                value = number(chip::store(value, e));
            }
        } else if (op.starts_with("constexpr_") || op.starts_with("fill") || op == "range_1d") {
            for (double& value : results[0].data) {
                value = number(half(value));
            }
        }
        return results;
    }

    const mil::WeightFiles& weights_;
    const Profile& profile_;
    const Numerics& rules_;
    mil::Function function_;
    std::list<Tensor> tensors_;
    std::map<std::string, mil::Known, std::less<>> known_;
    std::map<std::string, const mil::Operation*, std::less<>> made_;
};

}  // namespace pome::device::emulator
