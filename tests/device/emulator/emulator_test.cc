#include "device/emulator/emulator.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/file.h"
#include "base/random.h"
#include "device/reference_device.h"
#include "mil/builder.h"
#include "mil/text.h"
#include "support/test_data.h"

namespace pome::device::emulator {
namespace {

using mil::Builder;
using mil::Type;

std::vector<float> run(Device& device, const mil::Package& package, const std::vector<float>& x) {
    const auto executable = device.compile(package);
    Surface input(executable->inputs()[0].type), output(executable->outputs()[0].type);
    for (std::int64_t i = 0; i < input.elements(); ++i) {
        if (input.type().dtype == DType::fp32) {
            input.floats()[i] = x[static_cast<std::size_t>(i)];
        } else {
            input.halves()[i] = to_fp16(x[static_cast<std::size_t>(i)], Rounding::nearest_even);
        }
    }
    executable->evaluate(
        {{{executable->inputs()[0].name, &input}}, {{executable->outputs()[0].name, &output}}});
    std::vector<float> y;
    for (std::int64_t i = 0; i < output.elements(); ++i) {
        y.push_back(output.type().dtype == DType::fp32 ? output.floats()[i]
                                                       : to_float(output.halves()[i]));
    }
    return y;
}

std::vector<float> floats(const std::filesystem::path& path) {
    const auto bytes = read_file(path);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

// Outputs of a real engine, captured by others: the backward pass of a feed-forward block.
TEST(Hardware, FeedForwardBackwardEqualsTheEngineInEveryBit) {
    POME_REQUIRE_TEST_DATA(folder, "hardware/ffn_backward_s64");
    mil::Package package;
    package.program = mil::read(read_text(folder / "fused_bwd.mil"));
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const auto name = entry.path().filename().string();
        if (!name.starts_with("fused_bwd_w")) {
            continue;
        }
        const auto bytes = read_file(entry.path());
        for (const std::string& key : {name, name.substr(10)}) {
            package.weights.add("@model_path/weights/" + key, bytes);
        }
    }
    ThreadPool pool;
    const auto device = make_emulator("m4", {}, pool);
    const auto y = run(*device, package, floats(folder / "fused_bwd_input_seq64_f32le.bin"));
    const auto expected = floats(folder / "fused_bwd_dx_seq64_f32le.bin");
    ASSERT_EQ(y.size(), expected.size());
    std::size_t equal = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        equal += y[i] == expected[i] ? 1 : 0;
    }
    EXPECT_EQ(equal, 49152U);
}

// The same for causal attention: 12 heads, 64 positions, softmax of every row length up to 64.
TEST(Hardware, AttentionEqualsTheEngineInEveryBit) {
    POME_REQUIRE_TEST_DATA(folder, "hardware/attention_s64");
    mil::Package package;
    package.program = mil::read(read_text(folder / "full_fused.mil"));
    for (const std::string name : {"wq.bin", "wk.bin", "wv.bin", "wo.bin", "mask.bin"}) {
        package.weights.add("@model_path/weights/" + name,
                            read_file(folder / ("full_fused_" + name)));
    }
    ThreadPool pool;
    const auto device = make_emulator("m4", {}, pool);
    const auto y = run(*device, package, floats(folder / "full_fused_input_seq64_f32le.bin"));
    EXPECT_EQ(y, floats(folder / "full_fused_out_seq64_f32le.bin"));
    EXPECT_EQ(y.size(), 49152U);
}

TEST(Emulator, AgreesWithTheReferenceDeviceOnMixedPrograms) {
    ThreadPool pool;
    for (const Mode mode : {Mode::exact, Mode::fast}) {
        const auto emulator = make_emulator("m4/e5rt", {.mode = mode}, pool);
        const auto reference = make_reference_device();
        Random random(9);
        for (int round = 0; round < 20; ++round) {
            Builder b;
            const auto x = b.input("x", Type::tensor(DType::fp16, {1, 8, 4, 6}));
            const auto weight =
                b.constant(mil::Literal::tensor(DType::fp16, {5, 4, 3, 3},
                                                [&] {
                                                    std::vector<double> values(5 * 4 * 9);
                                                    for (double& value : values) {
                                                        value = random.normal() * 0.2;
                                                    }
                                                    return values;
                                                }()),
                           "W");
            Builder::Conv form;
            form.pad = {1, 1, 1, 1};
            auto v = b.slice(x, {0, round % 4, 0, 0}, {1, 4, 4, 6});
            v = b.unary("relu", b.conv(v, weight, form));
            v = b.softmax(b.transpose(v, {0, 2, 1, 3}), round % 2 == 0 ? -1 : 2);
            v = b.concat({v, b.scale(v, 0.5)}, 1);
            v = b.add(v, b.reduce_sum(v, {1, 3}, true));
            b.output(b.rename(b.matmul(v, v, false, true), "y"));
            const mil::Package package{mil::make_program(b.take()), {}};
            std::vector<float> input(8 * 4 * 6);
            for (float& value : input) {
                value = static_cast<float>(random.normal());
            }
            const auto y = run(*emulator, package, input),
                       expected = run(*reference, package, input);
            for (std::size_t i = 0; i < y.size(); ++i) {
                ASSERT_NEAR(y[i], expected[i], 0.01 + 0.01 * std::fabs(expected[i]))
                    << "round " << round;
            }
        }
    }
}

TEST(Emulator, ResultsDoNotDependOnThreads) {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 64, 1, 96}));
    const auto m = b.reshape(x, {1, 1, 64, 96});
    b.output(b.rename(b.softmax(b.matmul(m, m, true), -1), "y"));
    const mil::Package package{mil::make_program(b.take()), {}};
    Random random(3);
    std::vector<float> input(64 * 96);
    for (float& value : input) {
        value = static_cast<float>(random.normal());
    }
    ThreadPool one(1), three(3);
    EXPECT_EQ(run(*make_emulator("m4", {}, one), package, input),
              run(*make_emulator("m4", {}, three), package, input));
}

TEST(Emulator, RefusesWhatItDoesNotKnow) {
    ThreadPool pool(1);
    const auto device = make_emulator("m4/e5rt", {}, pool);
    const auto refusal = [&](const std::string& statement,
                             const std::string& type = "fp16, [1, 4, 1, 2]") {
        const std::string text = "program(1.3)\n{\n  func main<ios18>(tensor<" + type +
                                 "> x) {\n    " + statement + "\n  } -> (y);\n}\n";
        return error_text([&] { device->compile({mil::read(text), {}}); });
    };
    EXPECT_EQ(refusal("tensor<fp16, [1, 4, 1, 2]> y = mystery(x = x);"),
              "[emulator.compile] mystery: the emulator does not know this op; `pome devices "
              "--verbose` lists those it knows (line 4, %y)");
    EXPECT_EQ(refusal("tensor<fp16, [1, 70000, 1, 1]> y = relu(x = x);", "fp16, [1, 70000, 1, 1]"),
              "[device.compile] emulator:m4/e5rt refuses the program: axis 1 of fp16 [1,70000,1,1] "
              "exceeds ANE family 4's max dimension 65536: 70000 (line 3, %x, rule max_channels); "
              "split the axis into several values (and 1 more)");
    EXPECT_EQ(
        refusal("tensor<fp16, [1, 1, 1, 1, 1, 2]> y = reshape(x = x, shape = tensor<int32, "
                "[6]>([1, 1, 1, 1, 1, 2]));",
                "fp16, [2]"),
        "[device.compile] emulator:m4/e5rt refuses the program: tensor rank 6 exceeds the ANE "
        "maximum of 5 (line 4, %y, rule max_rank); merge axes with reshape");
    EXPECT_TRUE(error_text([&] {
                    make_emulator("m99", {}, pool);
                }).starts_with("[device.profile] no chip 'm99'; known: m1, "));
}

TEST(Device, BindingsAreChecked) {
    ThreadPool pool(1);
    const auto device = make_emulator("m4/e5rt", {}, pool);
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 4, 1, 2}));
    b.output(b.rename(b.unary("relu", x), "y"));
    const auto executable = device->compile({mil::make_program(b.take()), {}});
    Surface right(Type::tensor(DType::fp16, {1, 4, 1, 2})),
        wrong(Type::tensor(DType::fp16, {1, 4, 1, 3}));
    EXPECT_EQ(error_text([&] {
                  executable->evaluate({{}, {{"y", &right}}});
              }),
              "[device.evaluate] input 'x' (fp16 [1,4,1,2]) has no surface; bind one");
    EXPECT_EQ(error_text([&] {
                  executable->evaluate({{{"x", &wrong}}, {{"y", &right}}});
              }),
              "[device.evaluate] input 'x' is fp16 [1,4,1,2], the surface bound to it holds fp16 "
              "[1,4,1,3]");
    EXPECT_EQ(error_text([&] {
                  executable->evaluate({{{"x", &right}}, {{"y", &right}}});
              }),
              "[device.evaluate] output 'y' is bound to the surface of input 'x'");
}

}  // namespace
}  // namespace pome::device::emulator
