// The engine's device over the stand-in: the same code that runs on a Mac.
#include "device/apple/apple_device.h"

#include <gtest/gtest.h>

#include "device/apple/standin_control.h"
#include "device/lint/lint_case.h"
#include "mil/builder.h"

namespace pome::device::apple {
namespace {

mil::Package difference() {
    mil::Builder b;
    const mil::Type type = mil::Type::tensor(DType::fp16, {1, 64, 1, 32});
    const auto x = b.input("a0", type), y = b.input("a1", type);
    b.output(b.rename(b.sub(x, y), "b0"));
    return {mil::make_program(b.take()), {}};
}

class AppleDeviceTest : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (!standin.is_there()) {
            GTEST_SKIP() << "the stand-in is written for Linux";
        }
        options.runtime = standin.path();
    }
    void TearDown() override {
        if (standin.is_there()) {
            EXPECT_EQ(standin.count("violations"), 0);
            EXPECT_EQ(standin.count("objects"), 0);
            EXPECT_EQ(standin.count("surfaces"), 0);
            EXPECT_EQ(standin.count("loaded"), 0);
        }
    }
    Standin standin{GetParam()};
    Options options;
};

TEST_P(AppleDeviceTest, EvaluatesByEachRoute) {
    for (const char* route : {"in-memory", "client"}) {
        options.routes = {route};
        const auto device = open_apple_device(options);
        EXPECT_EQ(device->name(), std::string("apple:") + route + " (stand-in)");
        EXPECT_EQ(device->profile().name, std::string("m4/") + route);
        const auto before = device->engine_evaluations();
        const auto executable = device->compile(difference());
        Surface a(executable->inputs()[0].type), b(executable->inputs()[1].type),
            y(executable->outputs()[0].type);
        for (int i = 0; i < 64 * 32; ++i) {
            a.halves()[i] = to_fp16(static_cast<float>(i % 100), Rounding::nearest_even);
            b.halves()[i] = to_fp16(static_cast<float>(i % 7), Rounding::nearest_even);
        }
        for (int round = 0; round < 3; ++round) {
            executable->evaluate({{{"a0", &a}, {"a1", &b}}, {{"b0", &y}}});
            for (int i = 0; i < 64 * 32; ++i) {
                EXPECT_EQ(to_float(y.halves()[i]), static_cast<float>(i % 100 - i % 7 + round));
            }
            for (int i = 0; i < 64 * 32; ++i) {
                a.halves()[i] =
                    to_fp16(static_cast<float>(i % 100 + round + 1), Rounding::nearest_even);
            }
        }
        EXPECT_EQ(device->engine_evaluations() - before, 3 + 2);  // the canary's two
        EXPECT_TRUE(device->remarks().empty()) << device->remarks()[0];
    }
}

INSTANTIATE_TEST_SUITE_P(Runtimes, AppleDeviceTest,
                         testing::Values(standin_path, standin_plain_path),
                         [](const auto& parameter) {
                             return parameter.index == 0 ? "full" : "plain";
                         });

}  // namespace
}  // namespace pome::device::apple
