#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fp16.h"
#include "base/random.h"
#include "mil/builder.h"
#include "mil/interpreter.h"

namespace pome::device::emulator {

/// A valid program of small shapes, made from a seed: a chain of 1 to 12 ops over one to three
/// inputs and some constants. The same seed gives the same program everywhere.
class RandomProgram {
  public:
    explicit RandomProgram(std::uint64_t seed) : random_(seed) {
        const int inputs = 1 + static_cast<int>(random_.below(3));
        for (int i = 0; i < inputs; ++i) {
            add_input(i);
        }
        const int wanted = 1 + static_cast<int>(random_.below(12));
        int tries = 0;
        while (made_ < wanted && ++tries < 60) {
            const auto& [op, recipe] = recipes()[random_.below(recipes().size())];
            try {
                if (recipe(*this, op)) {
                    ++made_;
                    ops_.push_back(op);
                }
            } catch (const Error& error) {  // a combination that the op's rules exclude
                if (error.code() != Code::malformed_program) {
                    throw;
                }
            }
        }
        give_outputs();
        package_ = {mil::make_program(builder_.take()), {}};
    }

    const mil::Package& package() const { return package_; }
    const mil::Function& function() const { return package_.program.functions.front(); }
    const std::vector<std::string>& ops() const { return ops_; }

    /// Values for every input: halves, or bytes.
    mil::Tensors inputs() {
        mil::Tensors tensors;
        for (const auto& parameter : function().parameters) {
            reference::Tensor tensor(parameter.type.shape);
            const double scale = std::exp2(static_cast<double>(random_.below(5)) - 2.0);
            for (double& value : tensor.data) {
                value = parameter.type.dtype == DType::fp16 ? half(random_.normal() * scale)
                        : parameter.type.dtype == DType::int8
                            ? static_cast<double>(random_.below(256)) - 128.0
                            : static_cast<double>(random_.below(256));
            }
            tensors.emplace(parameter.name, std::move(tensor));
        }
        return tensors;
    }

    /// Every op that programs are made of.
    static std::vector<std::string> covered() {
        std::vector<std::string> names;
        for (const auto& [op, recipe] : recipes()) {
            names.push_back(op);
        }
        return names;
    }

  private:
    using Value = mil::Value;
    using Literal = mil::Literal;
    using Recipe = bool (*)(RandomProgram&, const std::string&);

    static double half(double value) {
        return static_cast<double>(to_float(to_fp16(value, Rounding::nearest_even)));
    }
    std::int64_t below(std::int64_t bound) {
        return static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(bound)));
    }
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low + below(high - low + 1);
    }
    bool coin() { return random_.below(2) == 0; }

    Shape random_shape() {
        const auto rank = random_.below(8) == 0 ? 2 + below(4) : 4;
        std::vector<std::int64_t> sizes;
        for (std::int64_t i = 0; i < rank; ++i) {
            sizes.push_back(between(1, i == 0 ? 2 : 6));
        }
        return Shape(sizes);
    }

    void add_input(int index) {
        const auto kind = random_.below(10);
        const DType dtype = index == 0 || kind < 8 ? DType::fp16
                            : kind == 8            ? DType::int8
                                                   : DType::uint8;
        // Inputs often share a shape, so that binary ops find partners.
        const Shape shape = index > 0 && coin() ? values_[0].shape() : random_shape();
        keep(builder_.input("x" + std::to_string(index), mil::Type::tensor(dtype, shape)));
    }

    void keep(const Value& value) { values_.push_back(value); }
    bool keep_result(const Value& value) {
        if (value.shape().elements() > 4096 || value.shape().elements() == 0 ||
            value.shape().rank() > 5) {
            too_large_.push_back(value.name);
            return false;
        }
        keep(value);
        return true;
    }

    /// A value of a dtype and at least this rank, the latest ones rather; nullptr for none.
    const Value* pick(DType dtype, int least_rank = 0, int most_rank = 5) {
        std::vector<const Value*> fitting;
        for (const Value& value : values_) {
            if (value.type.dtype == dtype && value.shape().rank() >= least_rank &&
                value.shape().rank() <= most_rank) {
                fitting.push_back(&value);
            }
        }
        if (fitting.empty()) {
            return nullptr;
        }
        return random_.below(3) != 0 ? fitting.back() : fitting[random_.below(fitting.size())];
    }

    Value constant(const Shape& shape, double scale, double shift = 0.0) {
        std::vector<double> numbers(static_cast<std::size_t>(shape.elements()));
        for (double& number : numbers) {
            number = half(shift + scale * random_.normal());
        }
        return builder_.constant(Literal::tensor(DType::fp16, shape, numbers), "w");
    }
    Value scalar(double value) { return builder_.number(DType::fp16, value); }
    Value eighths(std::int64_t low, std::int64_t high) {
        return scalar(static_cast<double>(between(low, high)) / 8.0);
    }

    Value constant_eighths(const Shape& shape, std::int64_t low, std::int64_t high) {
        std::vector<double> numbers(static_cast<std::size_t>(shape.elements()));
        for (double& number : numbers) {
            number = static_cast<double>(between(low, high)) / 8.0;
        }
        return builder_.constant(Literal::tensor(DType::fp16, shape, numbers), "e");
    }

    /// Another operand that broadcasts with x: a value, a constant of a part of its axes, a scalar.
    Value partner(const Value& x) {
        if (random_.below(3) == 0) {
            if (const Value* y = pick(x.type.dtype)) {
                Shape joined;
                if (broadcast(x.shape(), y->shape(), joined) && joined.elements() <= 4096) {
                    return *y;
                }
            }
        }
        Shape shape = x.shape();
        for (int axis = 0; axis < shape.rank(); ++axis) {
            if (coin()) {
                shape[axis] = 1;
            }
        }
        return random_.below(4) == 0 ? eighths(-16, 16) : constant(shape, 1.0);
    }

    bool call(const std::string& op, std::vector<mil::Builder::CallArgument> arguments) {
        bool any = false;
        for (const Value& value : builder_.call_many(op, arguments)) {
            any = keep_result(value) || any;
        }
        return any;
    }
    static mil::Builder::CallArgument given(std::string name, Value value) {
        return {std::move(name), {std::move(value)}, false};
    }

    // Recipes: each adds one op to the program, or says that nothing there fits.

    static bool unary(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        return x != nullptr && p.call(op, {given("x", *x)});
    }
    static bool with_epsilon(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        if (x == nullptr) {
            return false;
        }
        // Mostly of something positive.
        const Value operand = p.coin() ? p.builder_.unary("abs", *x) : *x;
        return p.call(op, {given("x", operand), given("epsilon", p.eighths(0, 8))});
    }
    static bool sqrt(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        return x != nullptr &&
               p.call(op,
                      {given("x", p.builder_.add(p.builder_.unary("abs", *x), p.eighths(0, 8)))});
    }
    static bool with_alpha(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        return x != nullptr && p.call(op, {given("x", *x), given("alpha", p.eighths(-4, 12))});
    }
    static bool with_alpha_beta(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        if (x == nullptr) {
            return false;
        }
        const Value alpha = p.eighths(-8, 4), beta = p.eighths(4, 16);
        return p.call(op, {given("x", *x), given("alpha", alpha), given("beta", beta)});
    }
    static bool gelu(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        const char* modes[] = {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"};
        return x != nullptr &&
               p.call(op, {given("x", *x), given("mode", p.builder_.text(modes[p.below(3)]))});
    }
    static bool by_channel(RandomProgram& p, const std::string& op) {  // prelu
        const Value* x = p.pick(DType::fp16, 3);
        if (x == nullptr) {
            return false;
        }
        const Shape channels{x->shape()[1]};
        std::vector<mil::Builder::CallArgument> arguments{
            given("x", *x), given("alpha", p.constant(channels, 0.5))};
        if (op == "softplus_parametric") {
            arguments.push_back(given("beta", p.constant(channels, 0.5, 1.0)));
        }
        return p.call(op, arguments);
    }
    static bool binary(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        if (x == nullptr) {
            return false;
        }
        const Value a = *x, b = p.partner(a);
        return p.coin() ? p.call(op, {given("x", a), given("y", b)})
                        : p.call(op, {given("x", b), given("y", a)});
    }
    static bool division(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        if (x == nullptr) {
            return false;
        }
        const Value a = *x;
        const Value b = p.builder_.add(p.builder_.unary("abs", p.partner(a)), p.eighths(1, 16));
        return p.call(op, {given("x", a), given("y", b)});
    }
    static bool pow(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        if (x == nullptr) {
            return false;
        }
        const double powers[] = {-0.5, 0.5, -1.0, 2.0, 1.5};
        const Value base = p.builder_.add(p.builder_.unary("abs", *x), p.eighths(2, 8));
        return p.call(op, {given("x", base), given("y", p.scalar(powers[p.below(5)]))});
    }
    static bool select(RandomProgram& p, const std::string& op) {
        const Value* cond = p.pick(DType::boolean);
        const Value* a = p.pick(DType::fp16);
        if (cond == nullptr || a == nullptr) {
            return false;
        }
        const Value first = *a;
        return p.call(op, {given("cond", *cond), given("a", first), given("b", p.partner(first))});
    }
    static bool logical_not(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::boolean);
        return x != nullptr && p.call(op, {given("x", *x)});
    }
    static bool cast(RandomProgram& p, const std::string& op) {
        const DType from[] = {DType::fp16, DType::boolean, DType::int8, DType::uint8};
        const Value* x = p.pick(from[p.below(4)]);
        const char* to[] = {"fp16", "bool", "uint8", "int8"};
        const auto target = x == nullptr || x->type.dtype != DType::fp16 ? 0 : p.below(4);
        return x != nullptr &&
               p.call(op, {given("x", *x), given("dtype", p.builder_.text(to[target]))});
    }

    std::vector<std::int64_t> some_axes(const Shape& shape) {
        std::vector<std::int64_t> axes;
        for (int axis = 0; axis < shape.rank(); ++axis) {
            if (coin()) {
                axes.push_back(coin() ? axis : axis - shape.rank());
            }
        }
        if (axes.empty()) {
            axes.push_back(-1);
        }
        return axes;
    }
    static bool reduction(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        if (x == nullptr) {
            return false;
        }
        Value operand = *x;
        if (op == "reduce_log_sum") {
            operand = p.builder_.add(p.builder_.unary("abs", operand), p.eighths(1, 8));
        }
        std::vector<mil::Builder::CallArgument> arguments{
            given("x", operand), given("keep_dims", p.builder_.boolean(p.random_.below(4) != 0))};
        if (p.random_.below(5) != 0) {
            arguments.push_back(given("axes", p.builder_.integers(p.some_axes(operand.shape()))));
        }
        return p.call(op, arguments);
    }
    Value some_axis(const Shape& shape) {
        return builder_.integer(
            static_cast<std::int32_t>(between(-shape.rank(), shape.rank() - 1)));
    }
    static bool softmax(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        return x != nullptr && p.call(op, {given("x", *x), given("axis", p.some_axis(x->shape()))});
    }
    static bool extreme(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        return x != nullptr && p.call(op, {given("x", *x), given("axis", p.some_axis(x->shape())),
                                           given("keep_dims", p.builder_.boolean(p.coin()))});
    }
    static bool topk(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        if (x == nullptr) {
            return false;
        }
        const auto axis = static_cast<int>(p.below(x->shape().rank()));
        const std::int64_t k = p.between(1, x->shape()[axis]);
        return k != 3 && k != 4 &&
               p.call(op, {given("x", *x), given("axis", p.builder_.integer(axis)),
                           given("k", p.builder_.integer(static_cast<std::int32_t>(k))),
                           given("ascending", p.builder_.boolean(p.coin()))});
    }
    static bool argsort(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        return x != nullptr && p.call(op, {given("x", *x), given("axis", p.some_axis(x->shape())),
                                           given("ascending", p.builder_.boolean(p.coin()))});
    }

    /// Weights that a program may hold: plain halves, or compressed.
    Value weight(const Shape& shape, double scale, bool may_compress = true) {
        switch (may_compress ? random_.below(8) : 0) {
            case 1:
                return affine(shape, shape.rank() == 2 || coin() ? 0 : -1);
            case 2:
                return blockwise(shape);
            case 3:
                return sparse(shape, scale);
            case 4:
                return palette(shape, scale);
            default:
                return constant(shape, scale);
        }
    }
    Literal integers(DType dtype, const Shape& shape, std::int64_t low, std::int64_t high) {
        std::vector<double> numbers(static_cast<std::size_t>(shape.elements()));
        for (double& number : numbers) {
            number = static_cast<double>(between(low, high));
        }
        return Literal::tensor(dtype, shape, numbers);
    }
    std::vector<double> scales(std::int64_t count) {
        std::vector<double> numbers(static_cast<std::size_t>(count));
        for (double& number : numbers) {
            number = half(random_.uniform(0.002, 0.02));
        }
        return numbers;
    }
    Value affine(const Shape& shape, int axis) {
        std::vector<mil::Builder::CallArgument> arguments{given(
            "quantized_data", builder_.constant(integers(DType::int8, shape, -127, 127), "q"))};
        if (axis >= 0) {
            arguments.push_back(
                given("scale",
                      builder_.constant(
                          Literal::tensor(DType::fp16, {shape[axis]}, scales(shape[axis])), "s")));
            arguments.push_back(given("axis", builder_.integer(axis)));
        } else {
            arguments.push_back(given("scale", scalar(scales(1)[0])));
        }
        if (random_.below(3) == 0) {
            arguments.push_back(
                given("zero_point", builder_.constant(integers(DType::int8, {}, -5, 5), "z")));
        }
        return builder_.call_many("constexpr_affine_dequantize", arguments).front();
    }
    Value blockwise(const Shape& shape) {
        Shape blocks = shape;
        for (int axis = 0; axis < shape.rank(); ++axis) {
            blocks[axis] = shape[axis] % 2 == 0 && coin() ? shape[axis] / 2
                           : coin()                       ? shape[axis]
                                                          : 1;
        }
        return builder_
            .call_many(
                "constexpr_blockwise_shift_scale",
                {given("data", builder_.constant(integers(DType::int8, shape, -127, 127), "q")),
                 given("scale",
                       builder_.constant(
                           Literal::tensor(DType::fp16, blocks, scales(blocks.elements())), "s"))})
            .front();
    }
    Value sparse(const Shape& shape, double scale) {
        std::vector<double> mask(static_cast<std::size_t>(shape.elements())), kept;
        for (double& one : mask) {
            one = random_.below(3) == 0 ? 1.0 : 0.0;
            if (one != 0.0) {
                kept.push_back(half(random_.normal() * scale));
            }
        }
        const Shape count{static_cast<std::int64_t>(kept.size())};
        return builder_
            .call_many(
                "constexpr_sparse_to_dense",
                {given("nonzero_data",
                       builder_.constant(Literal::tensor(DType::fp16, count, kept), "d")),
                 given("mask", builder_.constant(Literal::tensor(DType::uint1, shape, mask), "m"))})
            .front();
    }
    Value palette(const Shape& shape, double scale) {
        Shape table(std::vector<std::int64_t>(static_cast<std::size_t>(shape.rank()) + 2, 1));
        table[-2] = 16;
        return builder_
            .call_many(
                "constexpr_lut_to_dense",
                {given("indices", builder_.constant(integers(DType::uint4, shape, 0, 15), "i")),
                 given("lut", constant(table, scale))})
            .front();
    }
    static bool compressed(RandomProgram& p, const std::string& op) {
        const Shape shape = p.random_shape();
        const Value made = op == "constexpr_affine_dequantize" ? p.affine(shape, p.coin() ? 0 : -1)
                           : op == "constexpr_blockwise_shift_scale" ? p.blockwise(shape)
                           : op == "constexpr_sparse_to_dense"       ? p.sparse(shape, 1.0)
                                                                     : p.palette(shape, 1.0);
        p.keep(made);
        return true;
    }
    static bool sparse_forms(RandomProgram& p, const std::string& op) {
        const Shape shape = p.random_shape();
        std::vector<double> mask(static_cast<std::size_t>(shape.elements()));
        std::int64_t count = 0;
        for (double& one : mask) {
            one = p.coin() ? 1.0 : 0.0;
            count += one != 0.0 ? 1 : 0;
        }
        const Value bits = p.builder_.constant(Literal::tensor(DType::uint1, shape, mask), "m");
        std::vector<Value> made;
        if (op == "constexpr_lut_to_sparse") {
            Shape table(std::vector<std::int64_t>(static_cast<std::size_t>(shape.rank()) + 2, 1));
            table[-2] = 4;
            made = p.builder_.call_many(
                op, {given("indices_mask", bits),
                     given("indices_nonzero_data",
                           p.builder_.constant(p.integers(DType::uint2, {count}, 0, 3), "i")),
                     given("lut", p.constant(table, 1.0))});
        } else {
            Shape one(std::vector<std::int64_t>(static_cast<std::size_t>(shape.rank()), 1));
            made = p.builder_.call_many(
                op, {given("data_mask", bits),
                     given("nonzero_data",
                           p.builder_.constant(p.integers(DType::int8, {count}, -127, 127), "q")),
                     given("scale", p.constant(one, 0.01))});
        }
        return p.call("constexpr_sparse_to_dense",
                      {given("nonzero_data", made[1]), given("mask", made[0])});
    }
    static bool constexpr_cast(RandomProgram& p, const std::string& op) {
        return p.call(op, {given("source_val", p.constant(p.random_shape(), 1.0)),
                           given("output_dtype", p.builder_.text("fp16"))});
    }

    static bool quantize(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        if (x == nullptr) {
            return false;
        }
        const bool is_signed = p.coin();
        std::vector<mil::Builder::CallArgument> arguments{
            given("input", *x), given("scale", p.scalar(half(p.random_.uniform(0.01, 0.05)))),
            given("output_dtype", p.builder_.text(is_signed ? "int8" : "uint8"))};
        if (p.coin()) {
            arguments.push_back(
                given("zero_point",
                      p.builder_.constant(
                          p.integers(is_signed ? DType::int8 : DType::uint8, {}, 0, 7), "z")));
        }
        return p.call(op, arguments);
    }
    static bool dequantize(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(p.coin() ? DType::int8 : DType::uint8, 1);
        if (x == nullptr) {
            return false;
        }
        std::vector<mil::Builder::CallArgument> arguments{
            given("input", *x), given("scale", p.scalar(half(p.random_.uniform(0.005, 0.05))))};
        if (p.coin()) {
            arguments.push_back(
                given("zero_point", p.builder_.constant(p.integers(x->type.dtype, {}, 0, 7), "z")));
        }
        return p.call(op, arguments);
    }

    static bool matmul(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 2, 4);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        const bool tx = p.coin(), ty = p.coin();
        const std::int64_t inner = x.shape()[tx ? -2 : -1], columns = p.between(1, 6);
        Value y;
        const Value* other = p.pick(DType::fp16, 2, 4);
        if (p.coin() && other->shape()[ty ? -1 : -2] == inner) {
            y = *other;
        } else {
            Shape shape = x.shape();
            shape[-2] = ty ? columns : inner, shape[-1] = ty ? inner : columns;
            const bool plain = shape.rank() == 2 || p.coin();
            y = p.weight(plain ? Shape{shape[-2], shape[-1]} : shape, 0.3);
        }
        return p.call(op,
                      {given("x", x), given("y", y), given("transpose_x", p.builder_.boolean(tx)),
                       given("transpose_y", p.builder_.boolean(ty))});
    }
    static bool linear(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1, 4);
        if (x == nullptr) {
            return false;
        }
        const std::int64_t outputs = p.between(1, 6);
        const Value operand = *x;
        std::vector<mil::Builder::CallArgument> arguments{
            given("x", operand), given("weight", p.weight({outputs, operand.shape()[-1]}, 0.3))};
        if (p.coin()) {
            arguments.push_back(given("bias", p.constant({outputs}, 0.5)));
        }
        return p.call(op, arguments);
    }
    static bool einsum(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 4, 4);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        const Shape& s = x.shape();
        const bool verified = p.coin();
        const Value y = verified ? p.constant({s[0], s[3], s[2], p.between(1, 5)}, 0.3)
                                 : p.constant({s[0], s[1], p.between(1, 5), s[3]}, 0.3);
        return p.call(
            op,
            {{"values", {x, y}, true},
             given("equation", p.builder_.text(verified ? "nchw,nwhu->nchu" : "bhqd,bhkd->bhqk"))});
    }
    static bool attention(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 3, 4);
        if (picked == nullptr) {
            return false;
        }
        const Value query = *picked;
        Shape keys = query.shape(), values = query.shape();
        keys[-2] = values[-2] = p.between(1, 6);
        values[-1] = p.between(1, 5);
        std::vector<mil::Builder::CallArgument> arguments{given("query", query),
                                                          given("key", p.constant(keys, 1.0)),
                                                          given("value", p.constant(values, 1.0))};
        if (p.coin()) {
            arguments.push_back(given("attn_mask", p.constant({query.shape()[-2], keys[-2]}, 2.0)));
        }
        return p.call(op, arguments);
    }

    std::vector<std::int64_t> list(std::size_t count, std::int64_t low, std::int64_t high) {
        std::vector<std::int64_t> numbers(count);
        for (auto& number : numbers) {
            number = between(low, high);
        }
        return numbers;
    }
    /// pad_type and, where it is custom, pad.
    void add_padding(std::vector<mil::Builder::CallArgument>& arguments, std::size_t axes,
                     std::int64_t most) {
        const char* types[] = {"valid", "same", "same_lower", "custom"};
        const auto type = random_.below(4);
        arguments.push_back(given("pad_type", builder_.text(types[type])));
        if (type == 3) {
            arguments.push_back(given("pad", builder_.integers(list(2 * axes, 0, most))));
        }
    }
    static bool conv(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 3, 4);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        const auto axes = static_cast<std::size_t>(x.shape().rank()) - 2;
        const std::int64_t channels = x.shape()[1];
        const std::int64_t groups = p.coin() ? 1 : channels % 2 == 0 && p.coin() ? 2 : channels;
        const std::int64_t each = p.between(1, 3);
        const bool transposed = op == "conv_transpose";
        std::vector<std::int64_t> shape{transposed ? channels : each * groups,
                                        transposed ? each : channels / groups};
        for (std::size_t i = 0; i < axes; ++i) {
            shape.push_back(p.between(1, 3));
        }
        std::vector<mil::Builder::CallArgument> arguments{
            given("x", x), given("weight", p.weight(Shape(shape), 0.3, !transposed)),
            given("groups", p.builder_.integer(static_cast<std::int32_t>(groups)))};
        p.add_padding(arguments, axes, 2);
        if (p.coin()) {
            arguments.push_back(given("strides", p.builder_.integers(p.list(axes, 1, 3))));
        }
        if (p.coin()) {
            arguments.push_back(given("dilations", p.builder_.integers(p.list(axes, 1, 2))));
        }
        if (p.coin()) {
            arguments.push_back(given("bias", p.constant({each * groups}, 0.5)));
        }
        return p.call(op, arguments);
    }
    static bool pool(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 3, 4);
        if (x == nullptr) {
            return false;
        }
        const auto axes = static_cast<std::size_t>(x->shape().rank()) - 2;
        std::vector<mil::Builder::CallArgument> arguments{
            given("x", *x), given("kernel_sizes", p.builder_.integers(p.list(axes, 1, 3)))};
        if (p.coin()) {
            arguments.push_back(given("strides", p.builder_.integers(p.list(axes, 1, 3))));
        }
        p.add_padding(arguments, axes, 1);
        arguments.push_back(given("ceil_mode", p.builder_.boolean(p.coin())));
        if (op == "avg_pool") {
            arguments.push_back(
                given("exclude_padding_from_average", p.builder_.boolean(p.coin())));
        }
        return p.call(op, arguments);
    }

    static bool layer_norm(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 2);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        std::vector<std::int64_t> axes, sizes;
        for (int axis = x.shape().rank() - (p.coin() ? 1 : 2); axis < x.shape().rank(); ++axis) {
            axes.push_back(axis);
            sizes.push_back(x.shape()[axis]);
        }
        std::vector<mil::Builder::CallArgument> arguments{given("x", x),
                                                          given("axes", p.builder_.integers(axes)),
                                                          given("epsilon", p.scalar(0x1p-7))};
        if (p.coin()) {
            arguments.push_back(given("gamma", p.constant(Shape(sizes), 0.5, 1.0)));
        }
        if (p.coin()) {
            arguments.push_back(given("beta", p.constant(Shape(sizes), 0.5)));
        }
        return p.call(op, arguments);
    }
    static bool channel_norm(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 3);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        const Shape channels{x.shape()[1]};
        std::vector<mil::Builder::CallArgument> arguments{given("x", x),
                                                          given("epsilon", p.scalar(0x1p-7))};
        if (op == "batch_norm") {
            arguments.push_back(given("mean", p.constant(channels, 0.5)));
            const Value variance = p.builder_.constant(
                Literal::tensor(DType::fp16, channels,
                                std::vector<double>(static_cast<std::size_t>(channels[0]), 1.25)),
                "v");
            // Sometimes computed, so that it cannot be folded.
            arguments.push_back(
                given("variance", p.coin() ? variance : p.builder_.unary("abs", variance)));
        }
        if (p.coin()) {
            arguments.push_back(given("gamma", p.constant(channels, 0.5, 1.0)));
            arguments.push_back(given("beta", p.constant(channels, 0.5)));
        }
        return p.call(op, arguments);
    }
    static bool l2_norm(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 3);
        return x != nullptr && p.call(op, {given("x", *x), given("epsilon", p.scalar(0x1p-6))});
    }
    static bool local_response(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 3);
        return x != nullptr &&
               p.call(op, {given("x", *x),
                           given("size",
                                 p.builder_.integer(static_cast<std::int32_t>(p.between(1, 5)))),
                           given("alpha", p.eighths(1, 4)), given("beta", p.eighths(2, 8)),
                           given("k", p.eighths(8, 16))});
    }

    static bool reshape(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        if (x == nullptr) {
            return false;
        }
        const std::int64_t first = x->shape()[0];
        const std::vector<std::int64_t> shapes[] = {
            {-1}, {first, -1}, {1, first, 1, -1}, {1, -1, 1, x->shape()[-1]}};
        const Value operand = *x;
        return p.call(
            op, {given("x", operand), given("shape", p.builder_.integers(shapes[p.below(4)]))});
    }
    static bool reshape_like(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 2);
        if (x == nullptr) {
            return false;
        }
        // Its own last axes in front of its first ones.
        const std::int32_t rank = x->shape().rank();
        const Value operand = *x;
        return p.call(op, {given("x", operand),
                           {"ref_tensors", {operand, operand}, true},
                           given("begins", p.builder_.integers({1, 0})),
                           given("ends", p.builder_.integers({rank, 1}))});
    }
    static bool expand_dims(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 0, 4);
        return x != nullptr &&
               p.call(op, {given("x", *x),
                           given("axes", p.builder_.integers({p.between(0, x->shape().rank())}))});
    }
    static bool squeeze(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 2);
        return x != nullptr && p.call(op, {given("x", *x)});
    }
    static bool flatten2d(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        return x != nullptr &&
               p.call(op,
                      {given("x", *x), given("axis", p.builder_.integer(static_cast<std::int32_t>(
                                                         p.between(0, x->shape().rank()))))});
    }
    static bool transpose(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        if (x == nullptr) {
            return false;
        }
        std::vector<std::int64_t> perm;
        for (int axis = 0; axis < x->shape().rank(); ++axis) {
            perm.insert(perm.begin() + static_cast<std::ptrdiff_t>(p.below(axis + 1)), axis);
        }
        return p.call(op, {given("x", *x), given("perm", p.builder_.integers(perm))});
    }
    static bool slice_by_size(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        if (x == nullptr) {
            return false;
        }
        std::vector<std::int64_t> begin, size;
        for (const std::int64_t whole : x->shape()) {
            begin.push_back(p.below(whole));
            size.push_back(p.coin() ? -1 : p.between(1, whole - begin.back()));
        }
        return p.call(op, {given("x", *x), given("begin", p.builder_.integers(begin)),
                           given("size", p.builder_.integers(size))});
    }
    static bool slice_by_index(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 1);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        std::vector<std::int64_t> begin, end, stride;
        for (const std::int64_t whole : x.shape()) {
            const bool back = p.random_.below(4) == 0;
            const std::int64_t first = p.below(whole);
            begin.push_back(back ? whole - 1 : first);
            end.push_back(back ? first - whole - 1 : p.between(first + 1, whole));
            stride.push_back(back ? -p.between(1, 2) : p.between(1, 2));
        }
        std::vector<mil::Builder::CallArgument> arguments{
            given("x", x), given("begin", p.builder_.integers(begin)),
            given("end", p.builder_.integers(end)), given("stride", p.builder_.integers(stride))};
        if (op == "slice_update") {
            const Value part = p.builder_.call_many("slice_by_index", arguments).front();
            if (part.shape().elements() == 0) {
                return false;
            }
            arguments.push_back(given("update", p.builder_.scale(part, 0.5)));
        }
        return p.call(op, arguments);
    }
    static bool split(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        if (x == nullptr) {
            return false;
        }
        const auto axis = static_cast<int>(p.below(x->shape().rank()));
        const std::int64_t whole = x->shape()[axis];
        if (whole < 2) {
            return false;
        }
        const std::int64_t first = p.between(1, whole - 1);
        return p.call(op, {given("x", *x), given("axis", p.builder_.integer(axis)),
                           given("split_sizes", p.builder_.integers({first, whole - first}))});
    }
    static bool concat(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1, op == "stack" ? 4 : 5);
        if (x == nullptr) {
            return false;
        }
        const Value first = *x, second = p.constant(first.shape(), 1.0);
        std::vector<mil::Builder::CallArgument> arguments{
            {"values", {first, second, first}, true}, given("axis", p.some_axis(first.shape()))};
        if (op == "concat") {
            arguments.push_back(given("interleave", p.builder_.boolean(p.random_.below(3) == 0)));
        }
        return p.call(op, arguments);
    }
    static bool pad(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 2);
        if (x == nullptr) {
            return false;
        }
        const char* modes[] = {"constant", "reflect", "replicate"};
        return p.call(op, {given("x", *x), given("pad", p.builder_.integers(p.list(4, 0, 2))),
                           given("mode", p.builder_.text(modes[p.below(3)])),
                           given("constant_val", p.eighths(-8, 8))});
    }
    static bool tile(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        return x != nullptr &&
               p.call(op, {given("x", *x),
                           given("reps", p.builder_.integers(p.list(
                                             static_cast<std::size_t>(x->shape().rank()), 1, 2)))});
    }
    static bool reverse(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 1);
        return x != nullptr &&
               p.call(op, {given("x", *x),
                           given("axes", p.builder_.integers(p.some_axes(x->shape())))});
    }
    static bool rearrange(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 4, 4);
        if (picked == nullptr) {
            return false;
        }
        Value x = *picked;
        if (op == "depth_to_space" || op == "pixel_shuffle") {
            x = p.builder_.concat({x, x, x, x}, 1);
        } else {
            x = p.builder_.concat({p.builder_.concat({x, x}, 2), p.builder_.concat({x, x}, 2)}, 3);
        }
        const std::string factor = op == "pixel_shuffle"     ? "upscale_factor"
                                   : op == "pixel_unshuffle" ? "downscale_factor"
                                                             : "block_size";
        return p.call(op, {given("x", x), given(factor, p.builder_.integer(2))});
    }
    static bool space_batch(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 4, 4);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        if (op == "batch_to_space") {
            const Value four = p.builder_.concat({x, x, x, x}, 0);
            return p.call(op, {given("x", four), given("block_shape", p.builder_.integers({2, 2})),
                               given("crops", p.builder_.integers(p.list(4, 0, 1)))});
        }
        const std::int64_t high = x.shape()[2] % 2, wide = x.shape()[3] % 2;
        return p.call(op, {given("x", x), given("block_shape", p.builder_.integers({2, 2})),
                           given("paddings", p.builder_.integers({high, 0, 1, 1 + wide}))});
    }
    static bool crop(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 4, 4);
        return x != nullptr &&
               p.call(op,
                      {given("x", *x), given("crop_height", p.builder_.integers(p.list(2, 0, 1))),
                       given("crop_width", p.builder_.integers(p.list(2, 0, 1)))});
    }
    static bool resize(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16, 3, 4);
        if (x == nullptr) {
            return false;
        }
        const char* modes[] = {"STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS",
                               "UNALIGN_CORNERS"};
        const std::int64_t height = p.between(1, 9), width = p.between(1, 9);
        const auto integer = [&](std::int64_t value) {
            return p.builder_.integer(static_cast<std::int32_t>(value));
        };
        std::vector<mil::Builder::CallArgument> arguments{given("x", *x)};
        if (op == "resize") {
            arguments.push_back(given("shape", p.builder_.integers({height, width})));
            arguments.push_back(given("resized_dims", integer(2)));
            arguments.push_back(given("interpolation_mode",
                                      p.builder_.text(p.coin() ? "LINEAR" : "NEAREST_NEIGHBOR")));
        } else if (op.starts_with("resize")) {
            arguments.push_back(given("target_size_height", integer(height)));
            arguments.push_back(given("target_size_width", integer(width)));
        } else if (op == "upsample_bilinear") {
            arguments.push_back(given("scale_factor_height", p.builder_.number(DType::fp32, 1.5)));
            arguments.push_back(given("scale_factor_width", p.builder_.number(DType::fp32, 2.0)));
            arguments.push_back(given("align_corners", p.builder_.boolean(p.coin())));
        } else {
            arguments.push_back(given("scale_factor_height", integer(p.between(1, 3))));
            arguments.push_back(given("scale_factor_width", integer(p.between(1, 2))));
        }
        if (op == "resize" || op == "resize_bilinear") {
            arguments.push_back(given("sampling_mode", p.builder_.text(modes[p.below(5)])));
        }
        return p.call(op, arguments);
    }
    /// Positions in and around the image, known when the program is compiled; what is beyond it is
    /// not below zero, so that the bounds' errors are not either.
    static bool sampling(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 4, 4);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        const auto text = [&](std::initializer_list<const char*> words) {
            return p.builder_.text(words.begin()[p.below(static_cast<std::int64_t>(words.size()))]);
        };
        const auto integer = [&](std::int64_t value) {
            return p.builder_.integer(static_cast<std::int32_t>(value));
        };
        const std::int64_t height = p.between(1, 6), width = p.between(1, 6);
        std::vector<mil::Builder::CallArgument> arguments{given("x", x)};
        if (op == "crop_resize") {
            const std::int64_t boxes = p.between(1, 3);
            arguments.push_back(given("boxes", p.constant_eighths({boxes, 4}, -8, 40)));
            arguments.push_back(given(
                "box_indices",
                p.builder_.constant(p.integers(DType::int32, {boxes}, 0, x.shape()[0] - 1), "i")));
            arguments.push_back(given("target_height", integer(height)));
            arguments.push_back(given("target_width", integer(width)));
            arguments.push_back(given("normalized_coordinates", p.builder_.boolean(p.coin())));
            arguments.push_back(given("spatial_scale", p.builder_.number(DType::fp32, 0.5)));
            arguments.push_back(
                given("box_coordinate_mode",
                      text({"CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST",
                            "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST"})));
            arguments.push_back(
                given("sampling_mode", text({"STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT",
                                             "OFFSET_CORNERS", "UNALIGN_CORNERS"})));
            arguments.push_back(given("pad_value", p.eighths(0, 8)));
            return p.call(op, arguments);
        }
        if (op == "affine") {
            arguments.push_back(given(
                "transform_matrix", p.constant_eighths({p.coin() ? 1 : x.shape()[0], 6}, -12, 12)));
            arguments.push_back(given("output_height", integer(height)));
            arguments.push_back(given("output_width", integer(width)));
        } else {
            arguments.push_back(given(
                "coordinates", p.constant_eighths({x.shape()[0], height, width, 2}, -20, 30)));
        }
        const bool is_free = op == "resample";
        arguments.push_back(
            given("sampling_mode", is_free ? text({"bilinear", "nearest"}) : text({"bilinear"})));
        arguments.push_back(
            given("padding_mode", is_free ? text({"constant", "border", "reflection", "symmetric"})
                                          : text({"constant"})));
        arguments.push_back(given("padding_value", is_free ? p.eighths(0, 8) : p.eighths(0, 0)));
        arguments.push_back(
            given("coordinates_mode", is_free ? text({"unnormalized", "normalized_minus_one_to_one",
                                                      "normalized_zero_to_one"})
                                              : text({"normalized_minus_one_to_one"})));
        arguments.push_back(given("align_corners", p.builder_.boolean(!is_free || p.coin())));
        return p.call(op, arguments);
    }
    static bool fill(RandomProgram& p, const std::string& op) {
        const Value* x = p.pick(DType::fp16);
        if (x == nullptr) {
            return false;
        }
        return op == "fill"
                   ? p.call(op, {given("shape", p.builder_.integers(x->shape().sizes())),
                                 given("value", p.eighths(-16, 16))})
                   : p.call(op, {given("ref_tensor", *x), given("value", p.eighths(-16, 16))});
    }
    static bool range(RandomProgram& p, const std::string& op) {
        return p.call(op, {given("start", p.eighths(-8, 8)), given("end", p.eighths(10, 40)),
                           given("step", p.eighths(2, 8))});
    }
    static bool gather(RandomProgram& p, const std::string& op) {
        const Value* picked = p.pick(DType::fp16, 1, 4);
        if (picked == nullptr) {
            return false;
        }
        const Value x = *picked;
        const auto axis = static_cast<int>(p.below(x.shape().rank()));
        const std::int64_t size = x.shape()[axis];
        Shape shape = op == "gather" ? Shape{p.between(1, 4)} : x.shape();
        if (op == "gather_nd") {
            return p.call(
                op,
                {given("x", x),
                 given("indices", p.builder_.constant(p.integers(DType::int32, {p.between(1, 4), 1},
                                                                 -x.shape()[0], x.shape()[0] - 1),
                                                      "i"))});
        }
        if (op == "gather_along_axis") {
            shape[axis] = p.between(1, 4);
        }
        const Value indices =
            p.builder_.constant(p.integers(DType::int32, shape, -size, size - 1), "i");
        // Sometimes known at run time only: bytes that were computed.
        if (p.random_.below(3) == 0) {
            const Value halves = p.builder_.constant(p.integers_as_halves(shape, size), "h");
            const Value computed = p.builder_.cast(p.builder_.unary("abs", halves), DType::uint8);
            return p.call(op, {given("x", x), given("indices", computed),
                               given("axis", p.builder_.integer(axis))});
        }
        return p.call(op, {given("x", x), given("indices", indices),
                           given("axis", p.builder_.integer(axis))});
    }
    Literal integers_as_halves(const Shape& shape, std::int64_t size) {
        std::vector<double> numbers(static_cast<std::size_t>(shape.elements()));
        for (double& number : numbers) {
            number = static_cast<double>(below(size));
        }
        return Literal::tensor(DType::fp16, shape, numbers);
    }

    static const std::vector<std::pair<std::string, Recipe>>& recipes() {
        static const std::vector<std::pair<std::string, Recipe>> all = [] {
            std::vector<std::pair<std::string, Recipe>> list;
            const auto add = [&](Recipe recipe, std::initializer_list<const char*> ops) {
                for (const char* op : ops) {
                    list.emplace_back(op, recipe);
                }
            };
            add(unary, {"sigmoid", "tanh",  "silu", "relu",   "relu6", "softplus", "softsign",
                        "exp",     "exp2",  "erf",  "square", "abs",   "sign",     "floor",
                        "ceil",    "round", "sin",  "cos",    "atan",  "identity"});
            add(with_epsilon, {"log", "rsqrt", "inverse"});
            add(sqrt, {"sqrt"});
            add(with_alpha, {"leaky_relu", "elu", "thresholded_relu", "threshold"});
            add(with_alpha_beta,
                {"clip", "clamped_relu", "linear_activation", "scaled_tanh", "sigmoid_hard"});
            add(gelu, {"gelu"});
            add(by_channel, {"prelu", "softplus_parametric"});
            add(binary, {"add", "sub", "mul", "maximum", "minimum", "equal", "not_equal", "greater",
                         "greater_equal", "less", "less_equal"});
            add(division, {"real_div", "floor_div"});
            add(pow, {"pow"});
            add(select, {"select"});
            add(logical_not, {"logical_not"});
            add(cast, {"cast"});
            add(reduction,
                {"reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_sum_square",
                 "reduce_l1_norm", "reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp"});
            add(softmax, {"softmax"});
            add(extreme, {"reduce_argmax", "reduce_argmin"});
            add(topk, {"topk"});
            add(argsort, {"argsort"});
            add(compressed, {"constexpr_affine_dequantize", "constexpr_blockwise_shift_scale",
                             "constexpr_sparse_to_dense", "constexpr_lut_to_dense"});
            add(sparse_forms,
                {"constexpr_lut_to_sparse", "constexpr_sparse_blockwise_shift_scale"});
            add(constexpr_cast, {"constexpr_cast"});
            add(quantize, {"quantize"});
            add(dequantize, {"dequantize"});
            add(matmul, {"matmul"});
            add(linear, {"linear"});
            add(einsum, {"einsum"});
            add(attention, {"scaled_dot_product_attention"});
            add(conv, {"conv", "conv_transpose"});
            add(pool, {"max_pool", "avg_pool", "l2_pool"});
            add(layer_norm, {"layer_norm"});
            add(channel_norm, {"instance_norm", "batch_norm"});
            add(l2_norm, {"l2_norm"});
            add(local_response, {"local_response_norm"});
            add(reshape, {"reshape"});
            add(reshape_like, {"reshape_like"});
            add(expand_dims, {"expand_dims"});
            add(squeeze, {"squeeze"});
            add(flatten2d, {"flatten2d"});
            add(transpose, {"transpose"});
            add(slice_by_size, {"slice_by_size"});
            add(slice_by_index, {"slice_by_index", "slice_update"});
            add(split, {"split"});
            add(concat, {"concat", "stack"});
            add(pad, {"pad"});
            add(tile, {"tile"});
            add(reverse, {"reverse"});
            add(rearrange,
                {"depth_to_space", "space_to_depth", "pixel_shuffle", "pixel_unshuffle"});
            add(space_batch, {"space_to_batch", "batch_to_space"});
            add(crop, {"crop"});
            add(resize, {"resize", "resize_bilinear", "resize_nearest_neighbor",
                         "upsample_bilinear", "upsample_nearest_neighbor"});
            add(sampling, {"resample", "affine", "crop_resize"});
            add(fill, {"fill", "fill_like"});
            add(range, {"range_1d"});
            add(gather, {"gather", "gather_along_axis", "gather_nd"});
            return list;
        }();
        return all;
    }

    /// One to three values that were computed, the last one among them.
    void give_outputs() {
        std::vector<Value> computed;
        for (const Value& value : values_) {
            const auto dtype = value.type.dtype;
            const bool crosses =
                dtype == DType::fp16 || dtype == DType::int8 || dtype == DType::uint8;
            if (crosses && !value.name.starts_with("x")) {
                computed.push_back(value);
            }
        }
        if (computed.empty()) {
            const auto first = std::find_if(values_.begin(), values_.end(), [](const Value& value) {
                return value.type.dtype == DType::fp16;
            });
            computed.push_back(builder_.unary("relu", *first));
        }
        const std::size_t count = std::min<std::size_t>(computed.size(), 1 + random_.below(3));
        for (std::size_t i = 0; i < count; ++i) {
            const Value& value = computed[computed.size() - 1 - i * computed.size() / count];
            builder_.output(value);
        }
    }

    Random random_;
    mil::Builder builder_;
    std::vector<Value> values_;
    std::vector<std::string> too_large_;
    std::vector<std::string> ops_;
    int made_ = 0;
    mil::Package package_;
};

}  // namespace pome::device::emulator
