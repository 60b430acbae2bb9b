#include "device/emulator/random_program.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <list>
#include <set>

#include "device/emulator/broken_program.h"
#include "device/emulator/chip_model.h"
#include "device/emulator/emulator.h"
#include "device/emulator/error_bounds.h"
#include "device/emulator/plan.h"
#include "device/op_support.h"
#include "mil/text.h"
#include "mil/verifier.h"
#include "support/expect_error.h"
#include "support/test_data.h"

namespace pome::device::emulator {
namespace {

using mil::Tensors;
using reference::Tensor;

/// A surface with a tensor's elements, and back.
template <typename T>
void put(const Tensor& tensor, Surface& surface) {
    for (std::size_t i = 0; i < tensor.data.size(); ++i) {
        T value{};
        if constexpr (std::is_same_v<T, fp16>) {
            value = to_fp16(tensor.data[i], Rounding::nearest_even);
        } else {
            value = static_cast<T>(tensor.data[i]);
        }
        std::memcpy(surface.bytes().data() + i * sizeof(T), &value, sizeof(T));
    }
}
template <typename T>
Tensor taken(const Surface& surface) {
    Tensor tensor(surface.type().shape);
    for (std::size_t i = 0; i < tensor.data.size(); ++i) {
        T value{};
        std::memcpy(&value, surface.bytes().data() + i * sizeof(T), sizeof(T));
        if constexpr (std::is_same_v<T, fp16>) {
            tensor.data[i] = static_cast<double>(to_float(value));
        } else {
            tensor.data[i] = static_cast<double>(value);
        }
    }
    return tensor;
}

/// Runs a program by the emulator's steps under a profile, without what a route refuses: programs
/// of a few elements break every rule of surfaces.
class Steps {
  public:
    Steps(const Profile& profile) : profile_(profile) {}

    Tensors run(const mil::Package& package, const Tensors& inputs) {
        const mil::Function function =
            mil::passes::decompose(package.program.functions.front(), package.weights,
                                   {profile_.capabilities.attention_mask});
        Plan plan(package, function, profile_, tables_);
        std::map<std::string, Surface> surfaces;
        Bindings bindings;
        for (const auto& parameter : function.parameters) {
            Surface& surface =
                surfaces.emplace(parameter.name, Surface(parameter.type)).first->second;
            const Tensor& tensor = inputs.at(parameter.name);
            parameter.type.dtype == DType::fp16   ? put<fp16>(tensor, surface)
            : parameter.type.dtype == DType::int8 ? put<std::int8_t>(tensor, surface)
                                                  : put<std::uint8_t>(tensor, surface);
            bindings.inputs.emplace(parameter.name, &surface);
        }
        std::map<std::string, Surface> results;
        for (const auto& output : output_types(function)) {
            bindings.outputs.emplace(
                output.name, &results.emplace(output.name, Surface(output.type)).first->second);
        }
        plan.evaluate(bindings, pool_, scratch_, statistics_);
        Tensors outputs;
        for (const auto& [name, surface] : results) {
            outputs.emplace(name, surface.type().dtype == DType::fp16 ? taken<fp16>(surface)
                                  : surface.type().dtype == DType::int8
                                      ? taken<std::int8_t>(surface)
                                      : taken<std::uint8_t>(surface));
        }
        return outputs;
    }

  private:
    Profile profile_;
    Tables tables_;
    ThreadPool pool_{1};
    kernels::MatmulScratch scratch_;
    kernels::MatmulStatistics statistics_;
};

struct Counts {
    std::int64_t programs = 0, outputs = 0, unbounded = 0, elements = 0, open = 0;
    std::map<std::string, std::int64_t> ops;
};

std::string text_of(const RandomProgram& program) {
    return mil::write(program.package().program);
}

/// Bits of two tensors; NaN equals NaN.
std::string difference(const Tensor& a, const Tensor& b) {
    for (std::size_t i = 0; i < a.data.size(); ++i) {
        if (!(a.data[i] == b.data[i] || (std::isnan(a.data[i]) && std::isnan(b.data[i]))) ||
            (a.data[i] == 0.0 && std::signbit(a.data[i]) != std::signbit(b.data[i]))) {
            return fmt::format("element {}: {} and {}", i, a.data[i], b.data[i]);
        }
    }
    return "";
}

/// What leaves by an output of integers: cut and held in its range.
Tensor as_output(const Tensor& tensor, DType dtype) {
    if (dtype == DType::fp16) {
        return tensor;
    }
    const double low = dtype == DType::int8 ? -128.0 : 0.0,
                 high = dtype == DType::int8 ? 127.0 : 255.0;
    return reference::unary(
        tensor, [&](double value) { return std::clamp(std::trunc(value), low, high) + 0.0; });
}

/// Exact mode against the scalar models bit for bit; fast mode against the reference within the
/// bounds that follow from the ops.
void check(std::uint64_t seed, const std::vector<const Profile*>& chips,
           std::deque<Steps>& exact_steps, Steps& fast_steps, Counts& counts) {
    RandomProgram program(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Tensors inputs = program.inputs();
    ASSERT_NO_THROW(mil::verify(program.package().program)) << text_of(program);
    const auto types = output_types(program.function());
    for (std::size_t chip = 0; chip < chips.size(); ++chip) {
        const Tensors exact = exact_steps[chip].run(program.package(), inputs);
        const Tensors model =
            ChipModel(program.package(), program.function(), *chips[chip]).run(inputs);
        for (const auto& output : types) {
            const auto different = difference(exact.at(output.name),
                                              as_output(model.at(output.name), output.type.dtype));
            ASSERT_EQ(different, "") << output.name << " on " << chips[chip]->name << "\n"
                                     << text_of(program);
        }
    }
    const Tensors fast = fast_steps.run(program.package(), inputs);
    const Tensors meant = mil::interpret(program.package(), inputs);
    const mil::Function primitive =
        mil::passes::decompose(program.function(), program.package().weights);
    const auto bounds =
        ErrorBounds::of(primitive, program.function(), program.package().weights, inputs);
    for (const auto& output : types) {
        const Tensor &got = fast.at(output.name), &want = meant.at(output.name),
                     &error = bounds.at(output.name).error, &lowered = bounds.at(output.name).exact;
        bool any = false;
        for (std::size_t i = 0; i < got.data.size(); ++i) {
            ++counts.elements;
            if (!std::isfinite(error.data[i])) {
                ++counts.open;
                continue;
            }
            any = true;
            // l2_norm is lowered to another formula; everything else means the same in double but
            // for constants that the lowering rounded.
            const double reference = lowered.data[i];
            if (std::find(program.ops().begin(), program.ops().end(), "l2_norm") ==
                program.ops().end()) {
                ASSERT_NEAR(reference, want.data[i],
                            error.data[i] + 1e-9 * (1.0 + std::fabs(want.data[i])))
                    << text_of(program);
            }
            ASSERT_LE(std::fabs(got.data[i] - reference),
                      error.data[i] * (1.0 + 1e-9) + 1e-12 * (1.0 + std::fabs(reference)))
                << output.name << " element " << i << ": " << got.data[i] << ", reference "
                << reference << "\n"
                << text_of(program);
        }
        ++counts.outputs;
        counts.unbounded += any ? 0 : 1;
    }
    ++counts.programs;
    for (const auto& op : program.ops()) {
        ++counts.ops[op];
    }
}

void run_many(std::uint64_t first, std::int64_t programs) {
    const std::vector<const Profile*> chips{&find_profile("m4"), &find_profile("m1/e5rt")};
    std::deque<Steps> exact;
    for (const Profile* chip : chips) {
        exact.emplace_back(*chip);
    }
    Profile fast_profile = find_profile("m4/e5rt");
    fast_profile.numerics = fast_numerics();
    Steps fast(fast_profile);
    Counts counts;
    for (std::int64_t i = 0; i < programs; ++i) {
        const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
        try {
            check(seed, chips, exact, fast, counts);
        } catch (const Error& error) {
            FAIL() << "seed " << seed << ": " << error.text() << "\n"
                   << text_of(RandomProgram(seed));
        }
        if (testing::Test::HasFatalFailure()) {
            return;
        }
    }
    const double skipped =
        static_cast<double>(counts.unbounded) / static_cast<double>(counts.outputs);
    std::printf(
        "%lld programs, %lld outputs, %.1f %% without a bound; %lld elements, %.1f %% open\n",
        static_cast<long long>(counts.programs), static_cast<long long>(counts.outputs),
        100.0 * skipped, static_cast<long long>(counts.elements),
        100.0 * static_cast<double>(counts.open) / static_cast<double>(counts.elements));
    EXPECT_LT(skipped, 0.2);
    if (programs >= 1000) {
        for (const auto& op : RandomProgram::covered()) {
            EXPECT_GT(counts.ops[op], 0) << op;
        }
    }
}

TEST(RandomPrograms, AgreeBetweenReferenceExactAndFast) {
    run_many(1, 3000);
}

TEST(LongRandomPrograms, AgreeBetweenReferenceExactAndFast) {
    run_many(1'000'000, 100'000);
}

/// Broken programs are refused with an Error, or run; nothing else is let through.
void break_many(std::uint64_t first, std::int64_t programs) {
    constexpr double most_elements = 1 << 20;
    ThreadPool pool(1);
    const auto device = make_emulator("m4/client", {}, pool);
    std::int64_t refused = 0, ran = 0, large = 0;
    for (std::int64_t i = 0; i < programs; ++i) {
        const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
        SCOPED_TRACE("seed " + std::to_string(seed));
        const BrokenProgram broken(RandomProgram(seed).package(), seed);
        try {
            mil::verify(broken.package().program);
            if (broken.elements() > most_elements) {
                ++large;
                continue;
            }
            const auto executable = device->compile(broken.package());
            std::list<Surface> surfaces;
            Bindings bindings;
            for (const auto& input : executable->inputs()) {
                bindings.inputs.emplace(input.name, &surfaces.emplace_back(input.type));
            }
            for (const auto& output : executable->outputs()) {
                bindings.outputs.emplace(output.name, &surfaces.emplace_back(output.type));
            }
            executable->evaluate(bindings);
            ++ran;
        } catch (const Error& error) {
            EXPECT_FALSE(error.text().empty());
            ++refused;
        } catch (const std::exception& error) {
            FAIL() << error.what() << "\n" << mil::write(broken.package().program);
        }
    }
    std::printf("%lld refused, %lld ran, %lld too large to run\n", static_cast<long long>(refused),
                static_cast<long long>(ran), static_cast<long long>(large));
    EXPECT_GT(refused, programs / 4);
    EXPECT_LT(large, programs / 20);
}

TEST(RandomPrograms, BrokenOnesAreRefusedOrRun) {
    break_many(1, 5000);
}

TEST(LongRandomPrograms, BrokenOnesAreRefusedOrRun) {
    break_many(2'000'000, 100'000);
}

TEST(RandomPrograms, CoverEveryOpThatTheEmulatorHas) {
    const auto covered = RandomProgram::covered();
    const std::set<std::string> names(covered.begin(), covered.end());
    for (const auto op : supported_ops()) {
        if (op != "const") {
            EXPECT_TRUE(names.contains(std::string(op))) << op;
        }
    }
}

// Every op that lowers somewhere has steps, unless the catalogue says why nobody could write them.
TEST(Catalogue, EveryOpThatLowersIsEmulated) {
    const auto ops = supported_ops();
    for (const auto& op : op_catalogue()) {
        const bool lowers = std::any_of(op.tiers.begin(), op.tiers.end(),
                                        [](OpStatus status) { return status != OpStatus::no; });
        const bool emulated = std::find(ops.begin(), ops.end(), op.op) != ops.end();
        EXPECT_EQ(emulated, lowers && op.unmodelled.empty()) << op.op;
    }
}

TEST(Catalogue, WhatDoesNotLowerIsRefusedByCompile) {
    ThreadPool pool(1);
    const auto refusal = [&](const char* chip, const char* statement) {
        const std::string text = std::string(
                                     "program(1.3)\n{\n  func main<ios18>(tensor<fp16, [1, 64, 1, "
                                     "64]> x) {\n    ") +
                                 statement + "\n  } -> (y);\n}\n";
        return error_text([&] { make_emulator(chip, {}, pool)->compile({mil::read(text), {}}); });
    };
    EXPECT_NE(
        refusal("m1/e5rt", "tensor<fp16, []> y = reduce_prod(x = x);")
            .find("reduce_prod does not lower on H13 (A13): no family of the engine has a path "
                  "for it (line 4, %y, rule op_lowers); use exp(reduce_sum(log x)) or the "
                  "host"),
        std::string::npos);
    EXPECT_NE(refusal("m5", "tensor<fp16, [1, 64, 1, 64]> y = random_uniform(x = x);")
                  .find("random_uniform: not emulated: no source describes the generator; use "
                        "random numbers as an input"),
              std::string::npos);
}

}  // namespace
}  // namespace pome::device::emulator
