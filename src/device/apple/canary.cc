#include "device/apple/canary.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/random.h"
#include "mil/builder.h"
#include "mil/interpreter.h"

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";
// Values that no answer of a canary has.
constexpr double first_mark = -20480.0, second_mark = -18432.0;

void fill(Surface& surface, const std::function<double(std::int64_t)>& value) {
    if (surface.type().dtype == DType::fp16) {
        fp16* halves = surface.halves();
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            halves[i] = to_fp16(value(i), Rounding::nearest_even);
        }
    } else {
        float* floats = surface.floats();
        for (std::int64_t i = 0; i < surface.elements(); ++i) {
            floats[i] = static_cast<float>(value(i));
        }
    }
}

std::vector<double> values(const Surface& surface) {
    std::vector<double> all(static_cast<std::size_t>(surface.elements()));
    if (surface.type().dtype == DType::fp16) {
        std::transform(surface.halves(), surface.halves() + surface.elements(), all.begin(),
                       [](fp16 half) { return static_cast<double>(to_float(half)); });
    } else {
        std::copy_n(surface.floats(), surface.elements(), all.begin());
    }
    return all;
}

/// Surfaces for every input and output of a program.
struct Bound {
    std::map<std::string, Surface> inputs, outputs;
    Bindings bindings;

    explicit Bound(const Executable& executable) {
        for (const auto& input : executable.inputs()) {
            bindings.inputs[input.name] = &(inputs[input.name] = Surface(input.type));
        }
        for (const auto& output : executable.outputs()) {
            bindings.outputs[output.name] = &(outputs[output.name] = Surface(output.type));
        }
    }
    void mark(double value) {
        for (auto& [name, surface] : outputs) {
            fill(surface, [&](std::int64_t) { return value; });
        }
    }
};

bool all_equal(const std::vector<double>& numbers, double value) {
    return std::all_of(numbers.begin(), numbers.end(), [&](double v) { return v == value; });
}

[[noreturn]] void fail_canary(const std::string& what) {
    fail(Code::evaluation_failed, here,
         "canary: {}; every result of this machine would be in doubt, so it is not used", what);
}

// --- known answers ---

constexpr std::int64_t channels = 64, columns = 64;

mil::Type plane() {
    return mil::Type::tensor(DType::fp16, {1, channels, 1, columns});
}

/// y = 0.5 x by a convolution, so that a weight file is read.
mil::Package weighted_program(const Profile& profile) {
    mil::Builder b;
    mil::Package package;
    std::vector<double> half(static_cast<std::size_t>(channels * channels), 0.0);
    for (std::int64_t i = 0; i < channels; ++i) {
        half[static_cast<std::size_t>(i * channels + i)] = 0.5;
    }
    const auto x = b.input("a0", plane());
    const auto w = b.constant(package.weights.store("@model_path/weights/canary.bin", DType::fp16,
                                                    {channels, channels, 1, 1}, half),
                              "W");
    b.output(b.rename(b.conv(x, w, {}), "b0"));
    package.program = program_for(b.take(), profile);
    return package;
}

/// b0 = a0 - a1, b1 = 2 a1.
mil::Package exchanging_program(const Profile& profile) {
    mil::Builder b;
    const auto x = b.input("a0", plane()), y = b.input("a1", plane());
    b.output(b.rename(b.sub(x, y), "b0"));
    b.output(b.rename(b.scale(y, 2.0), "b1"));
    return {program_for(b.take(), profile), {}};
}

// Multiples of 1/4 below 16: sums, halves and doubles of them are exact in fp16.
double first_input(std::int64_t i, int round) {
    return 0.25 * static_cast<double>((i * 7 + round * 11) % 61) + 0.25;
}
double second_input(std::int64_t i, int round) {
    return -0.25 * static_cast<double>((i * 5 + round * 3) % 59) - 0.5;
}

using Answer = double (*)(double, double);

/// Evaluates twice with different values and different contents of the outputs.
void expect_answers(Executable& executable, const std::map<std::string, Answer>& answers) {
    Bound bound(executable);
    for (const int round : {0, 1}) {
        const double mark = round == 0 ? first_mark : second_mark;
        bound.mark(mark);
        for (auto& [name, surface] : bound.inputs) {
            const bool is_first = name == "a0";
            fill(surface, [&](std::int64_t i) {
                return is_first ? first_input(i, round) : second_input(i, round);
            });
        }
        executable.evaluate(bound.bindings);
        for (const auto& [name, its_answer] : answers) {
            const Answer answer = its_answer;  // lambdas take no bindings
            const auto got = values(bound.outputs.at(name));
            const auto is = [&](const auto& expected) {
                for (std::int64_t i = 0; i < channels * columns; ++i) {
                    if (got[static_cast<std::size_t>(i)] != expected(i)) {
                        return false;
                    }
                }
                return true;
            };
            const auto at = [&](int of, std::int64_t i) {
                return answer(first_input(i, of), second_input(i, of));
            };
            if (is([&](std::int64_t i) { return at(round, i); })) {
                continue;
            }
            if (all_equal(got, mark)) {
                fail_canary(fmt::format(
                    "an evaluation reports success and leaves output '{}' unwritten", name));
            }
            if (all_equal(got, 0.0)) {
                fail_canary(fmt::format(
                    "an evaluation reports success and output '{}' is all zeros", name));
            }
            if (round == 1 && is([&](std::int64_t i) { return at(0, i); })) {
                fail_canary(fmt::format(
                    "output '{}' is that of the evaluation before: inputs are stale", name));
            }
            if (is([&](std::int64_t i) {
                    return answer(second_input(i, round), first_input(i, round));
                })) {
                fail_canary("the inputs of a program are exchanged");
            }
            for (const auto& [other, others] : answers) {
                const Answer wrong = others;
                if (other != name && is([&](std::int64_t i) {
                        return wrong(first_input(i, round), second_input(i, round));
                    })) {
                    fail_canary("the outputs of a program are exchanged");
                }
            }
            const auto first = std::find_if(got.begin(), got.end(), [&, i = 0](double v) mutable {
                return v != at(round, i++);
            });
            const auto index = first - got.begin();
            fail_canary(fmt::format("output '{}' element {} is {}, not {}", name, index,
                                    got[static_cast<std::size_t>(index)], at(round, index)));
        }
    }
}

// --- any program ---

/// About how many multiplications a function takes: results times what each sums over.
std::int64_t work_of(const mil::Function& function) {
    std::int64_t work = 0;
    for (const auto& operation : function.operations) {
        if (operation.op == "const") {
            continue;
        }
        std::int64_t each = 1;
        for (const char* summed : {"weight", "x"}) {
            const mil::Argument* argument = operation.find_argument(summed);
            const bool products = operation.op == "matmul" || operation.op == "conv" ||
                                  operation.op == "linear" || operation.op == "conv_transpose";
            const auto* name = !products || argument == nullptr || argument->operands.empty()
                                   ? nullptr
                                   : std::get_if<std::string>(&argument->operands.front());
            const mil::Type* type = name == nullptr ? nullptr : function.find_type(*name);
            if (type == nullptr || !type->is_tensor() || type->shape.rank() == 0) {
                continue;
            }
            const bool weight = std::string_view(summed) == "weight";
            std::int64_t inner = 1;
            for (int axis = weight ? 1 : 0; axis < type->shape.rank(); ++axis) {
                inner = weight ? inner * type->shape[axis] : std::max(inner, type->shape[axis]);
            }
            each = inner;
            break;
        }
        for (const auto& result : operation.results) {
            if (result.type.is_tensor() && result.type.shape.is_static()) {
                work += result.type.shape.elements() * each;
            }
        }
    }
    return work;
}

/// How far `got` is from `wanted`, relative to it; where `wanted` is not finite nothing is
/// compared.
double distance(const std::vector<double>& got, const std::vector<double>& wanted) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        if (std::isfinite(wanted[i]) && std::isfinite(got[i])) {
            difference += (got[i] - wanted[i]) * (got[i] - wanted[i]);
            size += wanted[i] * wanted[i];
        }
    }
    return size > 0 ? std::sqrt(difference / size) : difference > 0 ? 1.0 : 0.0;
}

constexpr double close = 0.1;  // fp16, tables and dropped products stay below; an exchange does not

bool comparable(const mil::NamedType& value) {
    return value.type.dtype == DType::fp16 || value.type.dtype == DType::fp32;
}

struct Comparison {
    std::vector<mil::NamedType> inputs, outputs;
    const mil::Interpreter& meaning;
    const Bound& bound;
    std::map<std::string, std::vector<double>> got;

    /// The meaning with input `a` given the values of `b`, and the other way round.
    mil::Tensors meant(const std::string& a = "", const std::string& b = "") const {
        mil::Tensors tensors;
        for (const auto& input : inputs) {
            const std::string& from = input.name == a ? b : input.name == b ? a : input.name;
            reference::Tensor tensor(input.type.shape);
            tensor.data = values(bound.inputs.at(from));
            tensors.emplace(input.name, std::move(tensor));
        }
        return meaning.run(std::move(tensors));
    }
    bool matches(const mil::Tensors& wanted) const {
        return std::all_of(got.begin(), got.end(), [&](const auto& entry) {
            return distance(entry.second, wanted.find(entry.first)->second.data) <= close;
        });
    }
};

Verdict compare(const Comparison& all) {
    const mil::Tensors wanted = all.meant();
    if (all.matches(wanted)) {
        return {true, true, {}};
    }
    for (const auto& [name, got] : all.got) {
        const auto& meant = wanted.find(name)->second.data;
        const bool large = std::any_of(meant.begin(), meant.end(), [](double v) {
            return std::isfinite(v) && std::abs(v) > 0.125;
        });
        if (all_equal(got, 0.0) && large) {
            fail_canary(
                fmt::format("an evaluation reports success and output '{}' is all zeros", name));
        }
        for (const auto& [other, its] : all.got) {
            const auto& others = wanted.find(other)->second.data;
            if (other > name && got.size() == its.size() && distance(got, meant) > close &&
                distance(got, others) <= close && distance(its, meant) <= close) {
                fail_canary(fmt::format("outputs '{}' and '{}' are exchanged", name, other));
            }
        }
    }
    for (std::size_t a = 0; a < all.inputs.size(); ++a) {
        for (std::size_t b = a + 1; b < all.inputs.size() && b < a + 8; ++b) {
            if (all.inputs[a].type == all.inputs[b].type &&
                all.matches(all.meant(all.inputs[a].name, all.inputs[b].name))) {
                fail_canary(fmt::format("inputs '{}' and '{}' are exchanged", all.inputs[a].name,
                                        all.inputs[b].name));
            }
        }
    }
    return {true, false,
            "random values give answers far from the meaning of the ops; saturation does that too"};
}

}  // namespace

std::vector<std::string> check_known_answers(const Profile& profile, const Compile& compile) {
    expect_answers(*compile(weighted_program(profile)),
                   {{"b0", [](double a, double) { return 0.5 * a; }}});
    std::unique_ptr<Executable> two;
    try {
        two = compile(exchanging_program(profile));
    } catch (const Error& error) {
        return {"programs of two inputs are refused: " + error.message()};
    }
    expect_answers(*two, {{"b0", [](double a, double b) { return a - b; }},
                          {"b1", [](double, double b) { return 2.0 * b; }}});
    return {};
}

Verdict check_program(const mil::Package& package, std::string_view function,
                      Executable& executable, std::int64_t work_limit) {
    const auto all_comparable = [](const std::vector<mil::NamedType>& list) {
        return std::all_of(list.begin(), list.end(), comparable);
    };
    if (!all_comparable(executable.inputs()) || !all_comparable(executable.outputs())) {
        return {false, false, "its inputs and outputs are not all fp16 or fp32"};
    }
    Bound bound(executable);
    Random random(0x706f6d65);
    for (auto& [name, surface] : bound.inputs) {
        fill(surface, [&](std::int64_t) { return random.uniform(-1.0, 1.0); });
    }
    bound.mark(first_mark);
    executable.evaluate(bound.bindings);
    std::map<std::string, std::vector<double>> first;
    for (const auto& [name, surface] : bound.outputs) {
        first.emplace(name, values(surface));
    }
    bound.mark(second_mark);
    executable.evaluate(bound.bindings);
    for (const auto& [name, surface] : bound.outputs) {
        if (all_equal(first.at(name), first_mark) && all_equal(values(surface), second_mark)) {
            fail_canary(fmt::format(
                "an evaluation reports success and leaves output '{}' unwritten", name));
        }
    }
    const mil::Function& evaluated = *package.program.find_function(function);
    if (work_of(evaluated) > work_limit) {
        return {false, false, "it is too large to be compared with the meaning of its ops"};
    }
    std::unique_ptr<mil::Interpreter> meaning;
    try {
        meaning = std::make_unique<mil::Interpreter>(package, function);
    } catch (const Error& error) {
        return {false, false, error.message()};
    }
    const Comparison all{executable.inputs(), executable.outputs(), *meaning, bound, first};
    try {
        return compare(all);
    } catch (const Error& error) {
        if (error.where() == here) {
            throw;
        }
        return {false, false, error.message()};  // random values are no input that it can take
    }
}

}  // namespace pome::device::apple
