#include "device/emulator/program_cost.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "device/emulator/program_pieces.h"
#include "device/emulator/published_programs.h"
#include "support/test_data.h"

namespace pome::device::emulator {
namespace {

using mil::Value;

ProgramCost cost_of(std::string_view recipe, const std::vector<std::int64_t>& sizes,
                    const std::vector<std::string>& options = {}) {
    const auto work = published_work(recipe, sizes, options);
    EXPECT_EQ(work.programs.size(), 1U);
    return program_cost(work.programs.front().function);
}

const OperationCost& last(const ProgramCost& cost) {
    return cost.operations.back();
}

/// FLOPs of the products of one kind over all programs of a unit of work.
double flops(const PublishedWork& work, Work kind) {
    double sum = 0.0;
    for (const auto& program : work.programs) {
        for (const auto& operation : program_cost(program.function).operations) {
            sum +=
                operation.work == kind ? operation.flops * static_cast<double>(program.count) : 0.0;
        }
    }
    return sum;
}

TEST(ProgramCost, AConvolutionCountsFlopsWeightsAndSurfaces) {
    const auto cost = cost_of("conv", {8, 64, 128, 32, 16, 3, 1});
    const auto& conv = last(cost);
    EXPECT_EQ(conv.work, Work::convolution);
    EXPECT_EQ(cost.flops(), 2.0 * 8 * 128 * 32 * 16 * 64 * 9);
    EXPECT_EQ(cost.weight_bytes(), 2.0 * 128 * 64 * 9);
    EXPECT_EQ(cost.input_bytes, 2.0 * 8 * 64 * 32 * 16);
    EXPECT_EQ(cost.output_bytes, 2.0 * 8 * 128 * 32 * 16);
    EXPECT_EQ(conv.positions, 8 * 32 * 16);
    EXPECT_EQ(conv.inner, 64 * 9);
    EXPECT_EQ(conv.outputs, 128);
    EXPECT_EQ(last(cost_of("conv", {1, 64, 64, 1, 64, 1, 1})).work, Work::pointwise);
    EXPECT_TRUE(conv.stride_one);
    const auto strided = cost_of("conv", {1, 64, 64, 32, 32, 3, 1}, {"stride2"});
    EXPECT_FALSE(last(strided).stride_one);
    EXPECT_EQ(strided.flops(), 2.0 * 64 * 16 * 16 * 64 * 9);
}

TEST(ProgramCost, AMatmulByAConstantStreamsItAndOneOfTwoLiveValuesDoesNot) {
    const auto constant = cost_of("matmul", {4, 256, 512});
    EXPECT_EQ(last(constant).work, Work::pointwise);
    EXPECT_EQ(constant.flops(), 2.0 * 4 * 256 * 512);
    EXPECT_EQ(constant.weight_bytes(), 2.0 * 256 * 512);
    EXPECT_EQ(last(constant).outputs, 512);
    EXPECT_EQ(last(constant).positions, 4);
    const auto live = cost_of("matmul", {4, 256, 512}, {"live"});
    EXPECT_EQ(last(live).work, Work::matmul);
    EXPECT_EQ(live.weight_bytes(), 0.0);
    EXPECT_EQ(live.input_bytes, 2.0 * (4 * 256 + 512 * 256));
}

TEST(ProgramCost, CompressedWeightsCountAsStored) {
    const auto cost = cost_of("matmul", {1, 256, 512}, {"int8"});
    EXPECT_EQ(cost.weight_bytes(), 256.0 * 512 + 2.0 * 512) << "and a scale a row";
    EXPECT_FALSE(last(cost).int8) << "activations are fp16";
    const auto both = cost_of("conv", {1, 64, 64, 8, 8, 1, 1}, {"int8"});
    EXPECT_TRUE(last(both).int8);
    EXPECT_EQ(last(both).read_bytes, 64.0 * 8 * 8) << "int8 activations are one byte each";
}

TEST(ProgramCost, EqualWeightsCountOnce) {
    EXPECT_EQ(cost_of("conv", {1, 64, 64, 1, 64, 1, 5}, {"shared"}).weight_bytes(), 2.0 * 64 * 64);
    EXPECT_EQ(cost_of("conv", {1, 64, 64, 1, 64, 1, 5}).weight_bytes(), 5 * 2.0 * 64 * 64);
}

TEST(ProgramCost, EpiloguesRideAndSumsOfLiveTensorsDoNot) {
    ProgramPieces p;
    mil::Builder& b = p.ops();
    const Value x = p.input("x", {1, 64, 1, 64});
    const Value scaled = b.scale(p.conv(x, 64), 0.5);
    const Value active = b.unary("relu", scaled);
    const Value sum = b.add(active, x);
    const auto cost = program_cost(p.finish(b.unary("sigmoid", b.softmax(sum, 1))));
    const auto find = [&](std::string_view op) {
        const auto found = std::find_if(cost.operations.begin(), cost.operations.end(),
                                        [&](const auto& o) { return o.op == op; });
        EXPECT_NE(found, cost.operations.end()) << op;
        return *found;
    };
    EXPECT_TRUE(find("mul").fused);
    EXPECT_TRUE(find("relu").fused);
    EXPECT_FALSE(find("add").fused);
    EXPECT_FALSE(find("softmax").fused);
    EXPECT_FALSE(find("sigmoid").fused) << "softmax has no slot after it";
}

TEST(ProgramCost, AValueThatOthersWantIsStoredSoNothingRidesOnIt) {
    ProgramPieces p;
    mil::Builder& b = p.ops();
    const Value h = p.conv(p.input("x", {1, 64, 1, 64}), 64);
    const auto cost = program_cost(p.finish(b.mul(h, b.unary("sigmoid", h))));
    for (const auto& operation : cost.operations) {
        EXPECT_FALSE(operation.fused) << operation.op;
    }
}

TEST(ProgramCost, TransposesAroundProductsFoldAndOthersMoveBytes) {
    ProgramPieces p;
    mil::Builder& b = p.ops();
    const Value x = p.input("x", {1, 4, 64, 32});
    const Value turned = b.transpose(x, {0, 1, 3, 2});  // read by a product
    const Value y = b.matmul(x, turned);                // [1, 4, 64, 64]
    const Value after = b.transpose(y, {0, 1, 3, 2});   // written by a product
    const Value soft = b.softmax(after, -1);
    const auto cost = program_cost(p.finish(b.transpose(soft, {0, 3, 1, 2})));
    std::vector<bool> fused;
    for (const auto& operation : cost.operations) {
        if (operation.op == "transpose") {
            fused.push_back(operation.fused);
            EXPECT_EQ(operation.work, Work::movement);
        }
    }
    EXPECT_EQ(fused, (std::vector<bool>{true, true, false}));
}

TEST(ProgramCost, TheStaticStepOfStories110MHasItsPublishedFlops) {
    // maderix/ANE prints fwd = 43,487 M, bwd_dx and bwd_dW the same, sdpa_bwd = 6,040 M and total =
    // 174,248 M.
    const PipelineSizes stories{768, 2048, 12, 12, 64, 256, 12, 32000};
    PublishedWork forward;
    forward.programs = static_forward(stories);
    const PublishedWork step = static_step(stories, false);
    const double fwd = flops(forward, Work::pointwise);
    EXPECT_EQ(fwd, 43486543872.0);
    EXPECT_EQ(flops(step, Work::pointwise), 2.0 * fwd);
    const double attention_backward = flops(step, Work::matmul) - flops(forward, Work::matmul);
    EXPECT_EQ(attention_backward, 6039797760.0);
    const double classifier = 12582912000.0;
    EXPECT_EQ(step.host.flops, fwd + 3.0 * classifier);
    EXPECT_EQ(2.0 * fwd + attention_backward, 93012885504.0) << "what it calls ANE FLOPs";
    EXPECT_EQ(2.0 * fwd + attention_backward + step.host.flops, 174248165376.0);
    std::int64_t evaluations = 0;
    for (const auto& program : step.programs) {
        evaluations += program.count;
    }
    EXPECT_EQ(evaluations, 72);
}

TEST(ProgramCost, TheStaticProgramsHaveThePublishedSurfaces) {
    const auto step = static_step({768, 2048, 12, 12, 64, 256, 12, 32000}, false);
    const double in[] = {393216, 393216, 2490368, 1572864, 3932160, 1179648};
    const double out[] = {2359296, 3932160, 2490368, 3538944, 786432, 393216};
    ASSERT_EQ(step.programs.size(), 6U);
    for (std::size_t i = 0; i < 6; ++i) {
        const auto cost = program_cost(step.programs[i].function);
        EXPECT_EQ(cost.input_bytes, in[i]) << step.programs[i].name;
        EXPECT_EQ(cost.output_bytes, out[i]) << step.programs[i].name;
    }
}

TEST(ProgramCost, TheDynamicProgramsHaveThePublishedSurfaces) {
    // Channels, width and output channels of maderix/ANE's ten dynamic kernels, Stories110M and the
    // Qwen3-0.6B shape.
    struct Kernel {
        std::int64_t channels, width, outputs;
    };
    const auto check = [](const PipelineSizes& sizes, const std::vector<Kernel>& kernels) {
        const auto step = dynamic_step(sizes, true);
        ASSERT_EQ(step.programs.size(), kernels.size());
        for (std::size_t i = 0; i < kernels.size(); ++i) {
            const auto& function = step.programs[i].function;
            const auto& [channels, width, outputs] = kernels[i];
            EXPECT_EQ(function.parameters.front().type.shape, (Shape{1, channels, 1, width}))
                << step.programs[i].name;
            EXPECT_EQ(function.find_type("y")->shape, (Shape{1, outputs, 1, sizes.positions}))
                << step.programs[i].name;
        }
    };
    check({768, 2048, 12, 12, 64, 256, 12, 32000}, {{768, 2560, 3840},
                                                    {768, 1024, 768},
                                                    {768, 6656, 768 + 3 * 2048},
                                                    {768, 2304, 2048},
                                                    {2048, 2048, 768},
                                                    {768, 1024, 768},
                                                    {3072, 256, 6912},
                                                    {7680, 256, 1536},
                                                    {768, 1024, 768},
                                                    {768, 2048, 768}});
    check({1024, 3072, 16, 8, 128, 256, 28, 151936}, {{1024, 4352, 7168},
                                                      {2048, 1280, 1024},
                                                      {1024, 9728, 1024 + 3 * 3072},
                                                      {1024, 3328, 3072},
                                                      {3072, 2560, 1024},
                                                      {1024, 2304, 2048},
                                                      {8192, 256, 2048 + 2 * 16 * 256},
                                                      {12288, 256, 4096},
                                                      {2048, 1280, 1024},
                                                      {1024, 2560, 1024}});
}

TEST(ProgramCost, RecipesRefuseWhatTheyDoNotKnow) {
    EXPECT_EQ(error_text([] { published_work("warp", {}, {}); }),
              "[device.calibration] there is no recipe 'warp'; there are: add, attention, conv, "
              "dynamic, forward, group_norm, jacobi, matmul, pool, resident, static, tiny, "
              "unary");
    EXPECT_EQ(error_text([] {
                  published_work("matmul", {1, 2}, {});
              }),
              "[device.calibration] recipe 'matmul' wants 3 sizes, 0 or more each, not [1, 2]");
    EXPECT_EQ(error_text([] {
                  published_work("conv", {1, 1, 1, 1, 1, 1, 1}, {"fast"});
              }),
              "[device.calibration] recipe 'conv' has no option 'fast'; it has: relu, int8, "
              "shared, stride2");
    EXPECT_EQ(error_text([] {
                  published_work("unary", {1, 2}, {"spin"});
              }),
              "[device.calibration] recipe 'unary' has no option 'spin'; it has: relu, gelu, "
              "sigmoid, softmax, l2_norm, rms_norm, layer_norm");
}

TEST(ProgramCost, UnknownOpsAndSizesAreRefused) {
    mil::Function function;
    function.parameters.push_back(
        {"x", mil::Type::tensor(DType::fp16, Shape{1, Shape::unknown, 1, 64})});
    EXPECT_NE(error_text([&] {
                  program_cost(function);
              }).find("has no size before it is bound; give every axis a number"),
              std::string::npos);
    function.parameters.front().type.shape = {1, 64, 1, 64};
    mil::Operation operation;
    operation.op = "warp_drive";
    operation.results.push_back({"y", function.parameters.front().type});
    function.operations.push_back(operation);
    EXPECT_NE(
        error_text([&] { program_cost(function); }).find("'warp_drive' is no op that has a price"),
        std::string::npos);
}

}  // namespace
}  // namespace pome::device::emulator
