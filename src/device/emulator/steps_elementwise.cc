// Elementwise ops: two operands with broadcasting, and functions of one operand as tables.
#include <array>
#include <cmath>

#include "device/emulator/elementwise.h"
#include "kernels/elementwise.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/tables.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

constexpr std::int64_t grain = 16384;  // elements a thread takes at least

/// Two operands, NumPy broadcasting: the innermost axes along which each operand is either whole or
/// one element are one run; the axes before them are walked.
class BinaryStep final : public Step {
  public:
    BinaryStep(kernels::Binary op, const Place& x, const Place& y, const Place& result)
        : op_(op), x_(x.slot), y_(y.slot), result_(result.slot) {
        const int rank = result.shape.rank();
        const auto x_strides = strides(x.shape, rank), y_strides = strides(y.shape, rank);
        int axis = rank;
        while (axis > 0) {
            const auto size = static_cast<std::size_t>(axis - 1);
            if (result.shape[axis - 1] != 1 && !extends(x_strides[size], x_scalar_, x_known_)) {
                break;
            }
            if (result.shape[axis - 1] != 1 && !extends(y_strides[size], y_scalar_, y_known_)) {
                break;
            }
            run_ *= result.shape[axis - 1];
            if (result.shape[axis - 1] != 1) {
                x_known_ = y_known_ = true;
            }
            --axis;
        }
        for (int i = 0; i < axis; ++i) {
            outer_.push_back({result.shape[i], x_strides[static_cast<std::size_t>(i)],
                              y_strides[static_cast<std::size_t>(i)]});
            rows_ *= result.shape[i];
        }
    }

    void run(Run& run) const override {
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        const fp16* y = run.slots[static_cast<std::size_t>(y_)];
        fp16* out = run.slots[static_cast<std::size_t>(result_)];
        const auto& rules = run.numerics.elementwise;
        if (rows_ == 1) {
            run.pool.for_blocks(run_, grain, [&](std::int64_t begin, std::int64_t end, int) {
                kernels::binary(op_, x_scalar_ ? x : x + begin, x_scalar_,
                                y_scalar_ ? y : y + begin, y_scalar_, out + begin, end - begin,
                                rules);
            });
            return;
        }
        run.pool.for_blocks(rows_, std::max<std::int64_t>(1, grain / run_),
                            [&](std::int64_t begin, std::int64_t end, int) {
                                for (std::int64_t row = begin; row < end; ++row) {
                                    std::int64_t rest = row, x_at = 0, y_at = 0;
                                    for (auto axis = outer_.rbegin(); axis != outer_.rend();
                                         ++axis) {
                                        const std::int64_t index = rest % axis->size;
                                        rest /= axis->size;
                                        x_at += index * axis->x_stride;
                                        y_at += index * axis->y_stride;
                                    }
                                    kernels::binary(op_, x + x_at, x_scalar_, y + y_at, y_scalar_,
                                                    out + row * run_, run_, rules);
                                }
                            });
    }

  private:
    struct Axis {
        std::int64_t size, x_stride, y_stride;
    };

    /// Strides of `shape` seen with `rank` axes, 0 where it is broadcast.
    static std::vector<std::int64_t> strides(const Shape& shape, int rank) {
        std::vector<std::int64_t> result(static_cast<std::size_t>(rank), 0);
        const auto own = shape.strides();
        for (int axis = 0; axis < shape.rank(); ++axis) {
            if (shape[axis] != 1) {
                result[static_cast<std::size_t>(rank - shape.rank() + axis)] =
                    own[static_cast<std::size_t>(axis)];
            }
        }
        return result;
    }

    /// Whether an axis with this stride may join the run: all of the run whole, or all of it one
    /// element.
    static bool extends(std::int64_t stride, bool& scalar, bool known) {
        if (!known) {
            scalar = stride == 0;
            return true;
        }
        return scalar == (stride == 0);
    }

    kernels::Binary op_;
    int x_, y_, result_;
    bool x_scalar_ = false, y_scalar_ = false, x_known_ = false, y_known_ = false;
    std::int64_t run_ = 1, rows_ = 1;
    std::vector<Axis> outer_;
};

template <kernels::Binary op>
void make_binary(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    for (const char* name : {"x", "y"}) {
        expect_no_integers(operation, arguments, name);
    }
    const Place x = plan.operand(arguments, "x"), y = plan.operand(arguments, "y");
    const Place result = plan.result(operation);
    ElementwiseForm form;
    if (!Access::of(x.shape, result.shape, form.x_access) ||
        !Access::of(y.shape, result.shape, form.y_access)) {
        plan.add(std::make_unique<BinaryStep>(op, x, y, result));
        return;
    }
    form.x = x.slot, form.y = y.slot, form.result = result.slot;
    form.elements = result.shape.elements();
    form.is_square =
        op == kernels::Binary::mul && form.x == form.y && form.x_access.is_whole(form.elements);
    form.op = op;
    form.function = [](const fp16* a, bool a_is_constant, const fp16* b, bool b_is_constant,
                       fp16* out, std::int64_t count, const Numerics::Elementwise& rules) {
        kernels::binary(op, a, a_is_constant, b, b_is_constant, out, count, rules);
    };
    plan.add(std::make_unique<ElementwiseStep>(std::move(form)));
}

template <chip::Function function>
void make_table(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    add_unary(plan, operation, arguments, operation.op,
              [&](fp16 x) { return chip::evaluate(function, x, numerics); });
}

/// Ops with an epsilon inside: f(x + epsilon), the sum rounded like an op of its own.
template <chip::Function function>
void make_table_with_epsilon(Plan& plan, const mil::Operation& operation,
                             const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    const fp16 epsilon = to_fp16(arguments.number("epsilon"), Rounding::nearest_even);
    add_unary(
        plan, operation, arguments, operation.op + " " + std::to_string(epsilon.bits), [&](fp16 x) {
            const fp16 shifted = is_zero(epsilon) ? x : chip::add(x, epsilon, numerics.elementwise);
            return chip::evaluate(function, shifted, numerics);
        });
}

using Elementwise = fp16 (*)(fp16, const Numerics::Elementwise&);

template <Elementwise function>
void make_plain(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const auto& rules = plan.numerics().elementwise;
    add_unary(plan, operation, arguments, operation.op, [&](fp16 x) { return function(x, rules); });
}

void make_square(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    expect_no_integers(operation, arguments, "x");
    const Place x = plan.operand(arguments, "x"), result = plan.result(operation);
    ElementwiseForm form;
    form.x = x.slot, form.result = result.slot;
    form.elements = result.shape.elements();
    form.x_access = {1, form.elements};
    form.is_square = true;
    form.function = [](const fp16* a, bool is_constant, const fp16* /*b*/, bool /*of_b*/, fp16* out,
                       std::int64_t count, const Numerics::Elementwise& rules) {
        kernels::binary(kernels::Binary::mul, a, is_constant, a, is_constant, out, count, rules);
    };
    plan.add(std::make_unique<ElementwiseStep>(std::move(form)));
}

/// x to a constant power is a function of x alone; any other exponent goes element by element.
void make_pow(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Numerics& numerics = plan.numerics();
    const auto exponent = plan.elements(arguments, "y");
    if (exponent && exponent->size() == 1 &&
        operation.results[0].type.shape == arguments.type("x").shape) {
        const fp16 power = to_fp16(exponent->data.front(), Rounding::nearest_even);
        add_unary(plan, operation, arguments, "pow " + std::to_string(power.bits),
                  [&](fp16 x) { return chip::power(x, power, numerics); });
        return;
    }
    add_broadcast(plan, operation, arguments, {"x", "y"},
                  [](const std::array<fp16, 3>& in, const Numerics& rules) {
                      return chip::power(in[0], in[1], rules);
                  });
}

}  // namespace

Makers elementwise_makers() {
    using chip::Function;
    using kernels::Binary;
    return {{"add", make_binary<Binary::add>},
            {"sub", make_binary<Binary::sub>},
            {"mul", make_binary<Binary::mul>},
            {"real_div", make_binary<Binary::real_div>},
            {"maximum", make_binary<Binary::maximum>},
            {"minimum", make_binary<Binary::minimum>},
            {"sigmoid", make_table<Function::sigmoid>},
            {"tanh", make_table<Function::tanh>},
            {"silu", make_table<Function::silu>},
            {"erf", make_table<Function::erf>},
            {"exp", make_table<Function::exp>},
            {"exp2", make_table<Function::exp2>},
            {"sqrt", make_table<Function::sqrt>},
            {"log", make_table_with_epsilon<Function::log>},
            {"rsqrt", make_table_with_epsilon<Function::rsqrt>},
            {"inverse", make_table_with_epsilon<Function::inverse>},
            {"sin", make_table<Function::sin>},
            {"cos", make_table<Function::cos>},
            {"atan", make_table<Function::atan>},
            {"abs", make_plain<chip::abs>},
            {"sign", make_plain<chip::sign>},
            {"floor", make_plain<chip::floor>},
            {"ceil", make_plain<chip::ceil>},
            {"round", make_plain<chip::round>},
            {"square", make_square},
            {"relu", make_plain<chip::relu>},
            {"pow", make_pow}};
}

}  // namespace pome::device::emulator
