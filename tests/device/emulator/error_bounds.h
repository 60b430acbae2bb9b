#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mil/interpreter.h"
#include "mil/schema.h"
#include "reference/ops.h"

namespace pome::device::emulator {

/// How far fast mode may be from the reference, element by element, derived op by op: a bound on
/// the error of each operand becomes one of the result by the op's own slope on the interval that
/// the operand lies in, plus the roundings that the op makes (half a unit of fp16, and fp32 sums).
/// Infinite where nothing can be said: a value may leave fp16's range, a divisor may be 0, a
/// comparison may go either way.
class ErrorBounds {
  public:
    using Tensor = reference::Tensor;
    struct Value {
        Tensor exact, error;
    };

    /// Both of every output of `function`, which holds primitive ops only. What it holds beyond
    /// the constants of `original` was rounded to fp16 when it was made: its meaning is as near as
    /// its bound says.
    static std::map<std::string, Value> of(const mil::Function& function,
                                           const mil::Function& original,
                                           const mil::WeightFiles& weights,
                                           const mil::Tensors& inputs) {
        ErrorBounds bounds(weights);
        for (const auto& operation : original.operations) {
            for (const auto& result : operation.results) {
                bounds.original_.insert(result.name);
            }
        }
        for (const auto& parameter : function.parameters) {
            bounds.define(parameter,
                          {inputs.at(parameter.name), Tensor(inputs.at(parameter.name).shape)});
        }
        for (const auto& operation : function.operations) {
            bounds.visit(operation);
        }
        std::map<std::string, Value> outputs;
        for (const auto& output : function.outputs) {
            outputs.emplace(output, *bounds.values_.at(output));
        }
        return outputs;
    }

  private:
    static constexpr double infinity = std::numeric_limits<double>::infinity();
    static constexpr double unit = 0x1p-11;      // half a unit in the last place, relative
    static constexpr double smallest = 0x1p-25;  // half of the smallest subnormal
    static constexpr double sum_unit = 0x1p-24;  // of fp32

    explicit ErrorBounds(const mil::WeightFiles& weights) : weights_(weights) {}

    /// An error before `roundings` to fp16 of values up to |exact| + error; infinite beyond the
    /// range.
    static double rounded(double exact, double error, int roundings = 1) {
        const double most = std::fabs(exact) + error;
        if (!(most < 65472.0)) {
            return infinity;
        }
        return error + 1.01 * roundings * (most * unit + smallest);
    }
    static double clean(double error) { return error >= 0.0 ? error : infinity; }  // NaN too

    static bool any(const Tensor& errors) {
        return std::any_of(errors.data.begin(), errors.data.end(),
                           [](double error) { return error != 0.0; });
    }

    void define(const mil::NamedType& result, Value value) {
        for (double& error : value.error.data) {
            error = clean(error);
        }
        kept_.push_back(std::move(value));
        Value& stored = kept_.back();
        stored.exact.shape = stored.error.shape = result.type.shape;
        values_[result.name] = &stored;
        known_[result.name] = {result.type, nullptr, &stored.exact};
    }

    mil::Arguments arguments(const mil::Operation& operation,
                             const std::map<std::string, mil::Known, std::less<>>& known) const {
        return {operation, *mil::find_schema(operation.op),
                [&known](std::string_view name) -> const mil::Known* {
                    const auto found = known.find(name);
                    return found == known.end() ? nullptr : &found->second;
                },
                &weights_};
    }

    /// Errors of a tensor argument: those of the value, none of a constant.
    Tensor error(const mil::Operation& operation, const mil::Arguments& in,
                 const char* name) const {
        const auto& operand = operation.find_argument(name)->operands.front();
        const auto* text = std::get_if<std::string>(&operand);
        const auto found = text != nullptr ? values_.find(*text) : values_.end();
        if (found != values_.end()) {
            return found->second->error;
        }
        if (text == nullptr || original_.contains(*text)) {
            return Tensor(in.type(name).shape);
        }
        return reference::unary(in.tensor(name),
                                [](double value) { return std::fabs(value) * unit + smallest; });
    }

    /// The op's own meaning on other tensors in the place of its operands.
    std::vector<Tensor> meaning(const mil::Operation& operation,
                                const std::function<Tensor(const Value&)>& replace) const {
        std::list<Tensor> tensors;
        auto known = known_;
        const mil::Argument* indices = operation.find_argument("indices");
        for (auto& [name, one] : known) {
            const bool index =
                indices != nullptr && indices->operands.front() == mil::Operand(name);
            if (one.tensor != nullptr && !index) {
                tensors.push_back(replace(*values_.at(name)));
                one.tensor = &tensors.back();
            }
        }
        return mil::find_schema(operation.op)->evaluate(arguments(operation, known));
    }

    /// What a move does to errors: the difference that they make, element by element.
    std::vector<Tensor> moved(const mil::Operation& operation) const {
        const auto high = meaning(operation, [](const Value& value) {
            return reference::binary(value.exact, value.error, reference::add);
        });
        const auto plain = meaning(operation, [](const Value& value) { return value.exact; });
        std::vector<Tensor> errors;
        for (std::size_t i = 0; i < high.size(); ++i) {
            errors.push_back(reference::binary(high[i], plain[i], [](double a, double b) {
                const double difference = a - b;
                return difference == 0.0 ? 0.0 : difference * 1.0001 + std::fabs(b) * 1e-13;
            }));
        }
        return errors;
    }

    struct Slope {
        double most;        ///< |f'| on [low, high]
        int roundings = 1;  ///< after each stage of the op
    };
    using SlopeOf = std::function<Slope(double low, double high)>;

    void unary(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact,
               const SlopeOf& slope) {
        const auto& x = in.tensor("x");
        const Tensor e = error(operation, in, "x");
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            const Slope s = slope(x.data[i] - e.data[i], x.data[i] + e.data[i]);
            const double grown = e.data[i] == 0.0 ? 0.0 : s.most * e.data[i];
            bound.data[i] = rounded(exact.data[i], clean(grown), s.roundings);
        }
        define(operation.results[0], {exact, bound});
    }

    /// A function that never falls: its values at the ends of the interval bound it, whatever its
    /// slope. `slack` widens the interval by what is rounded before the function.
    void monotone(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact,
                  double (*f)(double), double slack) {
        const auto& x = in.tensor("x");
        const Tensor e = error(operation, in, "x");
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            if (!std::isfinite(x.data[i])) {
                bound.data[i] = infinity;
                continue;
            }
            const double wide = e.data[i] + slack * (std::fabs(x.data[i]) + 1.0);
            bound.data[i] =
                rounded(exact.data[i], clean(std::max(f(x.data[i] + wide) - exact.data[i],
                                                      exact.data[i] - f(x.data[i] - wide))));
        }
        define(operation.results[0], {exact, bound});
    }

    void binary(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact) {
        const auto &x = in.tensor("x"), &y = in.tensor("y");
        const Tensor zero(exact.shape);
        const auto whole = [&](const Tensor& t) {
            return reference::binary(t, zero, [](double a, double) { return a; });
        };
        const Tensor a = whole(x), b = whole(y), ea = whole(error(operation, in, "x")),
                     eb = whole(error(operation, in, "y"));
        const std::string& op = operation.op;
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            const double p = std::fabs(a.data[i]), q = std::fabs(b.data[i]), ep = ea.data[i],
                         eq = eb.data[i];
            double e = 0.0;
            if (op == "add" || op == "sub") {
                e = ep + eq;
            } else if (op == "mul") {
                e = (eq == 0.0 ? 0.0 : p * eq) + (ep == 0.0 ? 0.0 : q * ep) +
                    (ep == 0.0 || eq == 0.0 ? 0.0 : ep * eq);
            } else if (op == "real_div") {
                e = q > eq && q > 0.0 ? (p * eq + q * ep) / (q * (q - eq)) : infinity;
            } else {  // maximum, minimum
                e = std::max(ep, eq);
            }
            const bool exact_choice = op == "maximum" || op == "minimum";
            bound.data[i] = exact_choice ? (p + ep < 65472.0 && q + eq < 65472.0 ? e : infinity)
                                         : rounded(exact.data[i], clean(e));
        }
        define(operation.results[0], {exact, bound});
    }

    void comparison(const mil::Operation& operation, const mil::Arguments& in,
                    const Tensor& exact) {
        const Tensor sum =
            reference::binary(error(operation, in, "x"), error(operation, in, "y"), reference::add);
        const Tensor gap = reference::binary(in.tensor("x"), in.tensor("y"),
                                             [](double a, double b) { return std::fabs(a - b); });
        define(operation.results[0], {exact, reference::binary(sum, gap, [](double e, double g) {
                                          return e == 0.0 || g > e ? 0.0 : infinity;
                                      })});
    }

    void select(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact) {
        const Tensor chosen = reference::select(in.tensor("cond"), error(operation, in, "a"),
                                                error(operation, in, "b"));
        define(
            operation.results[0],
            {exact, reference::binary(chosen, error(operation, in, "cond"),
                                      [](double e, double c) { return c == 0.0 ? e : infinity; })});
    }

    /// The op's sum of products over absolute values: sum |a| e_b + e_a |b| + e_a e_b, and the sums
    /// of fp32 themselves.
    void products(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact,
                  const char* second, std::int64_t terms) {
        // (|a| + e_a)(|b| + e_b) - |a| |b|, each by the op on absolute values.
        const auto absolute = [](const Tensor& t) { return reference::unary(t, reference::abs); };
        const auto plain = meaning_of(operation, in, second,
                                      [&](const Tensor& t, const Tensor&) { return absolute(t); });
        const auto wide = meaning_of(operation, in, second, [&](const Tensor& t, const Tensor& e) {
            return reference::binary(absolute(t), e, reference::add);
        });
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            const double grown = wide.data[i] - plain.data[i];
            const double sums = static_cast<double>(terms + 2) * sum_unit * wide.data[i];
            bound.data[i] = rounded(exact.data[i], clean(grown * 1.0001 + sums + 1e-13));
        }
        define(operation.results[0], {exact, bound});
    }

    /// A product op on replaced operands and an absolute bias.
    Tensor meaning_of(const mil::Operation& operation, const mil::Arguments& in, const char* second,
                      const std::function<Tensor(const Tensor&, const Tensor&)>& replace) const {
        mil::Operation other = operation;
        auto known = known_;
        std::list<Tensor> tensors;
        for (const char* name : {"x", second, "bias"}) {
            const bool bias = std::string_view(name) == "bias";
            if (bias && (operation.find_argument("bias") == nullptr)) {
                continue;
            }
            tensors.push_back(replace(in.tensor(name), error(operation, in, name)));
            const std::string own = std::string("the ") + name;
            for (auto& argument : other.arguments) {
                if (argument.name == name) {
                    argument.operands = {own};
                }
            }
            known[own] = {in.type(name), nullptr, &tensors.back()};
        }
        return mil::find_schema(operation.op)->evaluate(arguments(other, known)).front();
    }

    void reduction(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact) {
        const std::string& op = operation.op;
        const auto& x = in.tensor("x");
        Tensor e = error(operation, in, "x"), magnitude = reference::unary(x, reference::abs);
        std::vector<int> axes;
        const int rank = x.shape.rank();
        for (int axis = 0; axis < rank; ++axis) {
            bool taken = !in.has("axes");
            if (!taken) {
                for (const std::int64_t one : in.integers("axes")) {
                    taken = taken || (one < 0 ? one + rank : one) == axis;
                }
            }
            if (taken) {
                axes.push_back(axis);
            }
        }
        const double count = static_cast<double>(x.size()) /
                             std::max<double>(1.0, static_cast<double>(exact.size()));
        if (op == "reduce_max" || op == "reduce_min") {
            const Tensor most = reference::reduce_max(e, axes);
            Tensor bound(exact.shape, most.data);
            define(operation.results[0], {exact, bound});
            return;
        }
        if (op == "reduce_log_sum_exp") {
            for (std::size_t i = 0; i < e.data.size(); ++i) {
                const double power = std::exp(x.data[i]);
                e.data[i] = rounded(power, power * std::expm1(e.data[i]));
                magnitude.data[i] = power;
            }
        }
        const Tensor errors = reference::reduce_sum(e, axes),
                     sizes = reference::reduce_sum(magnitude, axes);
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            // A rounding for each run of neighbouring axes, up to three, and the fp32 factor.
            const double total = errors.data[i], size = sizes.data[i];
            if (op == "reduce_log_sum_exp") {
                const double sum = rounded(size, total, 3);
                bound.data[i] = size > sum ? rounded(exact.data[i], sum / (size - sum)) : infinity;
                continue;
            }
            const double scale = op == "reduce_mean" ? 1.0 / count : 1.0;
            bound.data[i] = rounded(size * scale, total * scale + size * scale * 4 * sum_unit, 3);
        }
        define(operation.results[0], {exact, bound});
    }

    void softmax(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact) {
        const std::int64_t given = in.integer("axis");
        const int axis = static_cast<int>(given < 0 ? given + exact.shape.rank() : given);
        const Tensor most = reference::reduce_max(error(operation, in, "x"), {axis});
        define(operation.results[0], {exact, reference::binary(exact, most, [](double y, double e) {
                                          return rounded(y, clean(y * std::expm1(2.0 * e) + 1e-7));
                                      })});
    }

    /// Order along an axis: certain where no operand has an error.
    void order(const mil::Operation& operation, const mil::Arguments& in,
               std::vector<Tensor> exact) {
        const std::int64_t given = in.integer("axis");
        const int rank = in.type("x").shape.rank();
        const int axis = static_cast<int>(given < 0 ? given + rank : given);
        const Tensor most = reference::reduce_max(error(operation, in, "x"), {axis});
        for (std::size_t i = 0; i < operation.results.size(); ++i) {
            const bool values = operation.op == "topk" && i == 0;
            Shape kept = in.type("x").shape;
            kept[axis] = exact[i].size() / std::max<std::int64_t>(1, most.size());
            Tensor shaped(kept, exact[i].data);
            define(operation.results[i],
                   {exact[i], reference::binary(shaped, most, [&](double index, double e) {
                        return values ? e : e == 0.0 && index < 2048.0 ? 0.0 : infinity;
                    })});
        }
    }

    void pool(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact) {
        const Tensor grown = replaced(operation, in, [](double, double e) { return e; });
        Tensor bound(exact.shape);
        if (operation.op == "max_pool") {
            define(operation.results[0], {exact, grown});
            return;
        }
        const Tensor sizes =
            replaced(operation, in, [](double x, double e) { return std::fabs(x) + e; });
        double window = 4.0;
        for (const std::int64_t one : in.integers("kernel_sizes")) {
            window *= static_cast<double>(one);
        }
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            const double sums = window * sum_unit * sizes.data[i];
            // l2_pool is a norm: its error is at most the norm of the errors; its square is stored.
            const double e = grown.data[i] + sums;
            const double y = sizes.data[i];
            bound.data[i] =
                operation.op == "avg_pool"
                    ? rounded(exact.data[i], e)
                    : rounded(exact.data[i],
                              y * y < 65472.0 ? e + y * unit + std::sqrt(smallest) : infinity, 2);
        }
        define(operation.results[0], {exact, bound});
    }

    /// The op on f(x, error of x) in the place of x.
    Tensor replaced(const mil::Operation& operation, const mil::Arguments& in,
                    double (*f)(double, double)) const {
        mil::Operation other = operation;
        auto known = known_;
        const Tensor x = reference::binary(in.tensor("x"), error(operation, in, "x"), f);
        for (auto& argument : other.arguments) {
            if (argument.name == "x") {
                argument.operands = {std::string("the x")};
            }
        }
        known["the x"] = {in.type("x"), nullptr, &x};
        return mil::find_schema(operation.op)->evaluate(arguments(other, known)).front();
    }

    void local_response(const mil::Operation& operation, const mil::Arguments& in,
                        const Tensor& exact) {
        const auto& x = in.tensor("x");
        const Tensor e = error(operation, in, "x");
        const double beta = in.number("beta"), k = in.number("k"), alpha = in.number("alpha");
        const auto size = in.integer("size");
        const std::int64_t channels = x.shape[1], inner = x.size() / (x.shape[0] * channels);
        Tensor bound(exact.shape);
        for (std::int64_t i = 0; i < x.size(); ++i) {
            const std::int64_t c = i / inner % channels;
            double sum = 0.0, grown = 0.0;
            for (std::int64_t o = c - (size - 1) / 2; o < c - (size - 1) / 2 + size; ++o) {
                if (o >= 0 && o < channels) {
                    const auto at = static_cast<std::size_t>(i + (o - c) * inner);
                    const double big = std::fabs(x.data[at]) + e.data[at];
                    sum += big * big;
                    grown += 2.0 * big * e.data[at] + big * big * unit + smallest;
                }
            }
            const auto at = static_cast<std::size_t>(i);
            const double factor = alpha / static_cast<double>(size);
            const double base = k + factor * sum;
            // Sum, factor, product and sum again are rounded.
            const double off = factor * grown + 5.0 * (base * unit + smallest) + sum * smallest;
            const double low = k - off;
            bound.data[at] = low > 0.0 && sum < 65472.0
                                 ? rounded(exact.data[at],
                                           std::pow(low, -beta) *
                                               (e.data[at] + std::fabs(x.data[at]) *
                                                                 (beta * off / low + 2 * unit)),
                                           3)
                                 : infinity;
        }
        define(operation.results[0], {exact, bound});
    }

    void quantization(const mil::Operation& operation, const mil::Arguments& in,
                      const Tensor& exact) {
        const Tensor e = error(operation, in, "input");
        Tensor scale = in.tensor("scale");
        double least = infinity, most = 0.0;
        for (const double s : scale.data) {
            least = std::min(least, std::fabs(s));
            most = std::max(most, std::fabs(s));
        }
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            bound.data[i] = operation.op == "dequantize"
                                ? rounded(exact.data[i], e.data[i] * most)
                                // Halves go to another side, and the quotient was rounded.
                                : 1.0 + e.data[i] / least + unit * 400.0;
        }
        define(operation.results[0], {exact, bound});
    }

    std::map<std::string, SlopeOf> slopes(const mil::Arguments& in) const {
        const auto constant = [](double most, int roundings = 1) {
            return SlopeOf([=](double, double) { return Slope{most, roundings}; });
        };
        const auto number = [&in](const char* name) { return in.number(name); };
        std::map<std::string, SlopeOf> all{
            {"sigmoid", constant(0.25)},
            {"tanh", constant(1.0)},
            {"silu", constant(1.1)},
            {"gelu", constant(1.13)},
            {"relu", constant(1.0, 0)},
            {"relu6", constant(1.0, 0)},
            {"softplus", constant(1.0)},
            {"softsign", constant(1.0)},
            {"erf", constant(1.1284)},
            {"abs", constant(1.0, 0)},
            {"sin", constant(1.0)},
            {"cos", constant(1.0)},
            {"atan", constant(1.0)},
            {"clip", constant(1.0, 0)},
            {"threshold", constant(1.0, 0)},
            {"exp", [](double, double high) { return Slope{std::exp(high)}; }},
            {"exp2", [](double, double high) { return Slope{std::exp2(high)}; }},
            {"square",
             [](double low, double high) {
                 return Slope{2.0 * std::max(std::fabs(low), std::fabs(high))};
             }},
            {"sqrt", [](double low, double) {
                 return Slope{low > 0.0 ? 0.5 / std::sqrt(low) : infinity};
             }}};
        const auto with_epsilon = [&](auto slope) {
            return SlopeOf([=, epsilon = number("epsilon")](double low, double high) {
                // The sum is stored before the function.
                const double a = low + epsilon, b = high + epsilon;
                const double off =
                    epsilon == 0.0 ? 0.0 : unit * std::max(std::fabs(a), std::fabs(b)) + smallest;
                return Slope{slope(a - off, b + off)};
            });
        };
        const std::string& op = in.operation().op;
        if (op == "log") {
            all["log"] =
                with_epsilon([](double a, double) { return a > 0.0 ? 1.0 / a : infinity; });
        } else if (op == "rsqrt") {
            all["rsqrt"] = with_epsilon(
                [](double a, double) { return a > 0.0 ? 0.5 * std::pow(a, -1.5) : infinity; });
        } else if (op == "inverse") {
            all["inverse"] = with_epsilon([](double a, double b) {
                return a > 0.0 || b < 0.0
                           ? 1.0 / std::pow(std::min(std::fabs(a), std::fabs(b)), 2.0)
                           : infinity;
            });
        } else if (op == "leaky_relu" || op == "elu" || op == "clamped_relu") {
            all[op] = constant(std::max(1.0, std::fabs(number("alpha"))), 2);
        } else if (op == "thresholded_relu") {
            all[op] = [alpha = number("alpha")](double low, double high) {
                return Slope{low < alpha && alpha <= high && low != high ? infinity : 1.0};
            };
        } else if (op == "linear_activation" || op == "sigmoid_hard") {
            all[op] = constant(std::fabs(number("alpha")));
        } else if (op == "scaled_tanh") {
            // The product inside is rounded: a relative error of its argument.
            const double alpha = std::fabs(number("alpha")), beta = std::fabs(number("beta"));
            all[op] = [=](double, double) { return Slope{alpha * beta, 4}; };
        }
        return all;
    }

    void visit(const mil::Operation& operation) {
        const std::string& op = operation.op;
        if (op == "const") {
            known_[operation.results[0].name] = {operation.results[0].type,
                                                 operation.find_attribute("val"), nullptr};
            return;
        }
        const mil::Arguments in = arguments(operation, known_);
        auto results = mil::find_schema(op)->evaluate(in);
        const Tensor exact(operation.results[0].type.shape, results.front().data);
        const auto by_slope = slopes(in);
        if (const auto slope = by_slope.find(op); slope != by_slope.end()) {
            return with_inner_rounding(operation, in, exact, slope->second);
        }
        if (op == "floor") {
            return monotone(operation, in, exact, reference::floor, 0.0);
        }
        if (op == "ceil") {
            return monotone(operation, in, exact, reference::ceil, 0.0);
        }
        if (op == "round") {  // x + 1/2 is rounded first
            return monotone(operation, in, exact, reference::round, unit);
        }
        if (op == "sign") {
            return monotone(operation, in, exact, reference::sign, 0.0);
        }
        if (op == "add" || op == "sub" || op == "mul" || op == "real_div" || op == "maximum" ||
            op == "minimum") {
            return binary(operation, in, exact);
        }
        if (op == "equal" || op == "not_equal" || op.starts_with("greater") ||
            op.starts_with("less")) {
            return comparison(operation, in, exact);
        }
        if (op == "select") {
            return select(operation, in, exact);
        }
        if (op == "logical_not") {
            define(operation.results[0], {exact, error(operation, in, "x")});
            return;
        }
        if (op == "pow") {
            const double p = in.tensor("y").data.front();
            return unary(operation, in, exact, [p](double low, double high) {
                return Slope{low > 0.0  ? std::fabs(p) * std::max(std::pow(low, p - 1.0),
                                                                  std::pow(high, p - 1.0))
                             : p == 2.0 ? 2.0 * std::max(std::fabs(low), std::fabs(high))
                                        : infinity};
            });
        }
        if (op == "prelu") {
            double most = 1.0;
            for (const double alpha : in.tensor("alpha").data) {
                most = std::max(most, std::fabs(alpha));
            }
            return unary(operation, in, exact, [most](double, double) { return Slope{most, 1}; });
        }
        if (op == "reduce_argmax" || op == "reduce_argmin" || op == "topk" || op == "argsort") {
            return order(operation, in, std::move(results));
        }
        if (op.starts_with("reduce_")) {
            return reduction(operation, in, exact);
        }
        if (op == "softmax") {
            return softmax(operation, in, exact);
        }
        if (op == "matmul") {
            return products(operation, in, exact, "y",
                            in.type("x").shape[in.boolean("transpose_x") ? -2 : -1]);
        }
        if (op == "linear") {
            return products(operation, in, exact, "weight", in.type("x").shape[-1]);
        }
        if (op == "conv" || op == "conv_transpose") {
            const Shape& w = in.type("weight").shape;
            return products(operation, in, exact, "weight", w.elements() + in.type("x").shape[1]);
        }
        if (op.ends_with("_pool")) {
            return pool(operation, in, exact);
        }
        if (op == "local_response_norm") {
            return local_response(operation, in, exact);
        }
        if (op == "quantize" || op == "dequantize") {
            return quantization(operation, in, exact);
        }
        if (op == "resize_bilinear" || op == "upsample_bilinear" || op == "resample" ||
            op == "affine" || op == "crop_resize" ||
            (op == "resize" && in.text("interpolation_mode") == "LINEAR")) {
            const Tensor grown = replaced(operation, in, [](double, double e) { return e; });
            define(operation.results[0],
                   {exact, reference::binary(exact, grown,
                                             [](double y, double e) { return rounded(y, e); })});
            return;
        }
        if (op.starts_with("constexpr_") || op.starts_with("fill") || op == "range_1d") {
            for (std::size_t i = 0; i < results.size(); ++i) {
                define(operation.results[i],
                       {results[i],
                        reference::unary(results[i], [](double y) { return rounded(y, 0.0); })});
            }
            return;
        }
        if (op == "cast" && !is_floating(operation.results[0].type.dtype) &&
            is_floating(in.type("x").dtype)) {
            if (operation.results[0].type.dtype == DType::boolean) {
                return unary(operation, in, exact, [](double low, double high) {
                    return Slope{low <= 0.0 && high >= 0.0 ? infinity : 0.0};
                });
            }
            return cast(operation, in, exact);
        }
        auto errors = moved(operation);  // everything else moves elements
        if (operation.find_argument("indices") != nullptr && any(error(operation, in, "indices"))) {
            for (Tensor& one : errors) {
                std::fill(one.data.begin(), one.data.end(), infinity);
            }
        }
        for (std::size_t i = 0; i < results.size(); ++i) {
            define(operation.results[i], {results[i], errors[i]});
        }
    }

    /// Values outside the integers' range wrap in no defined way.
    void cast(const mil::Operation& operation, const mil::Arguments& in, const Tensor& exact) {
        const DType to = operation.results[0].type.dtype;
        const bool is_signed = to == DType::int8 || to == DType::int16 || to == DType::int32;
        const double range = std::ldexp(1.0, static_cast<int>(bits(to)) - (is_signed ? 1 : 0));
        const auto& x = in.tensor("x");
        const Tensor e = error(operation, in, "x");
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            const double low = x.data[i] - e.data[i], high = x.data[i] + e.data[i];
            const bool inside = low > (is_signed ? -range : -1.0) && high < range;
            bound.data[i] = inside ? rounded(exact.data[i],
                                             std::max(std::trunc(high) - exact.data[i],
                                                      exact.data[i] - std::trunc(low)),
                                             0)
                                   : infinity;
        }
        define(operation.results[0], {exact, bound});
    }

    /// Ops whose argument is changed and stored before the function: its rounding is an error of
    /// the argument.
    void with_inner_rounding(const mil::Operation& operation, const mil::Arguments& in,
                             const Tensor& exact, const SlopeOf& slope) {
        const std::string& op = operation.op;
        const bool shifted =
            (op == "log" || op == "rsqrt" || op == "inverse") && in.number("epsilon") != 0.0;
        if (!shifted) {
            return unary(operation, in, exact, slope);
        }
        const double epsilon = in.number("epsilon");
        const auto& x = in.tensor("x");
        const Tensor e = error(operation, in, "x");
        Tensor bound(exact.shape);
        for (std::size_t i = 0; i < bound.data.size(); ++i) {
            const double before = std::fabs(x.data[i] + epsilon) + e.data[i];
            const double all = e.data[i] + before * unit + smallest;
            const Slope s = slope(x.data[i] - e.data[i], x.data[i] + e.data[i]);
            bound.data[i] = rounded(exact.data[i], clean(s.most * all));
        }
        define(operation.results[0], {exact, bound});
    }

    const mil::WeightFiles& weights_;
    std::set<std::string, std::less<>> original_;
    std::list<Value> kept_;
    std::map<std::string, const Value*, std::less<>> values_;
    std::map<std::string, mil::Known, std::less<>> known_;
};

}  // namespace pome::device::emulator
