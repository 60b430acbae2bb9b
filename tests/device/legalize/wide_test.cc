// Axes and sums beyond a chip's limits, done in parts.
#include "device/legalize/legal_test.h"

namespace pome::device::legal_test {
namespace {

Profile narrow(std::int64_t width, std::int64_t channels, std::int64_t inner) {
    Profile profile = unlimited();
    profile.limits.max_width = width;
    profile.limits.max_channels = channels;
    profile.limits.max_inner = inner;
    profile.limits.conv_input_channels = channels;
    return profile;
}

/// Every axis within the profile's limits, by this test's own reading of them.
void expect_narrow(const Legalized& legal, const Limits& limits) {
    const mil::Function& function = legal.package.program.functions.front();
    const auto check = [&](const mil::NamedType& value) {
        const Shape& shape = value.type.shape;
        for (int axis = 0; axis < shape.rank(); ++axis) {
            const bool channel = shape.rank() >= 4 && axis == 1;
            EXPECT_LE(shape[axis], channel ? limits.max_channels : limits.max_width)
                << value.name << " " << shape.text();
        }
    };
    for (const auto& parameter : function.parameters) {
        check(parameter);
    }
    for (const auto& operation : function.operations) {
        for (const auto& result : operation.results) {
            if (result.type.dtype == DType::fp16) {
                check(result);
            }
        }
    }
}

// 32,000 columns on M1 (16,384), joined where they are channels.
TEST(LegalizeWide, SplitsTheColumnsOfAMatmul) {
    Builder b;
    const auto x = b.input("x", half({1, 1, 32, 32}));
    const auto w = b.constant(random_constant({1, 1, 32, 32000}, 3, 0.2), "head");
    const auto logits = b.scale(b.matmul(x, w), 0.5);
    b.output(b.rename(b.reshape(b.transpose(logits, {0, 1, 3, 2}), {1, 32000, 1, 32}), "y"));
    const Profile profile = narrow(16384, 65536, 16384);
    const Legalized legal = prove(package_of(b), profile, {});
    expect_narrow(legal, profile.limits);
    ASSERT_EQ(rules_of(legal), "wide wide wide wide");
    EXPECT_EQ(legal.changes[0].text(),
              "wide (%matmul): matmul: 32000 columns in 2 chunks of 16000");
    EXPECT_EQ(legal.changes[3].what,
              "reshape: 32000 positions in 2 chunks of 16000, joined along axis 1");
    EXPECT_TRUE(legal.boundary.empty());
}

// mil.md section 10: 151,936 = 16 x 9,496.
TEST(LegalizeWide, CutsAVocabularyHeadIntoSixteenEqualChunks) {
    Builder b;
    const auto x = b.input("x", half({1, 32, 1, 2}));
    const auto w = b.constant(random_constant({1, 1, 151936, 32}, 3, 0.2), "head");
    b.output(b.rename(b.matmul(w, b.reshape(x, {1, 1, 32, 2})), "y"));
    const Legalized legal = prove(package_of(b), narrow(16384, 65536, 16384), {});
    ASSERT_EQ(legal.boundary.size(), 1U);
    EXPECT_EQ(legal.boundary[0].parts.size(), 16U);
    EXPECT_EQ(legal.boundary[0].parts[1].begin, (std::vector<std::int64_t>{0, 0, 9496, 0}));
    EXPECT_EQ(legal.changes.front().what, "matmul: 151936 rows in 16 chunks of 9496");
}

TEST(LegalizeWide, SplitsTheOutputChannelsOfAConvWithItsWeightFile) {
    for (const bool grouped : {false, true}) {
        mil::WeightFiles weights;
        std::vector<double> values(100 * 8);
        Random random(5);
        for (double& value : values) {
            value = random.normal() * 0.3;
        }
        Builder b;
        const auto x = b.input("x", half({1, grouped ? 16 : 8, 2, 32}));
        const auto w = b.constant(
            weights.store("@model_path/weights/w.bin", DType::fp16, {100, 8, 1, 1}, values), "w");
        Builder::Conv form;
        form.groups = grouped ? 2 : 1;
        b.output(b.rename(b.unary("relu", b.conv(x, w, form)), "y"));
        const mil::Package package = package_of(b, weights);
        const Profile profile = narrow(0, 32, 0);
        if (grouped) {
            EXPECT_EQ(refusals_of(legalize(package, profile)),
                      "wide (%conv): a grouped conv with too many channels; write it as several "
                      "convs");
            continue;
        }
        const Legalized legal = prove(package, profile, {});
        EXPECT_EQ(legal.changes.front().what, "conv: 100 output channels in 4 chunks of 25");
        EXPECT_EQ(legal.package.weights.files().size(), 5U);
        ASSERT_EQ(legal.boundary.size(), 1U);
        EXPECT_EQ(legal.boundary[0].parts.size(), 4U);
        // Without its file the weight cannot be cut.
        EXPECT_EQ(refusals_of(legalize({package.program, {}}, profile)),
                  "wide (%conv): the weight file of conv's weight was not given");
    }
}

TEST(LegalizeWide, AddsThePartialSumsOfLongProducts) {
    Builder b;
    const auto x = b.input("x", half({1, 1, 32, 96})), y = b.input("y", half({1, 1, 32, 96}));
    b.output(b.rename(b.matmul(x, y, false, true), "z"));
    // Three sums of 32 products of size 1, up to 30 in magnitude, each rounded to fp16 (2^-7 above
    // 16), and two additions rounded alike: 5 * 2^-7.
    const Legalized legal = prove(package_of(b), narrow(0, 0, 32),
                                  {.emulator = {5.0 / 128, 0.0}, .reference = {5.0 / 128, 0.0}});
    EXPECT_EQ(rules_of(legal), "wide");
    EXPECT_EQ(legal.changes[0].equality, Equality::mathematics);
    EXPECT_EQ(legal.changes[0].what, "96 terms a sum in 3 chunks of 32, whose sums are added");
}

TEST(LegalizeWide, SplitsTheOutputsOfALinear) {
    Builder b;
    const auto x = b.input("x", half({1, 4, 32, 32}));
    b.output(
        b.rename(b.call("linear", {{"bias", b.constant(random_constant({100}, 6, 1.0), "bias")},
                                   {"weight", b.constant(random_constant({100, 32}, 4, 1.0), "w")},
                                   {"x", x}}),
                 "y"));
    // The emulator does not add a bias along the last axis.
    const Legalized legal = prove(package_of(b), narrow(96, 0, 0), {.on_emulator = false});
    EXPECT_EQ(legal.changes.front().what, "linear: 100 outputs in 2 chunks of 50");
}

TEST(LegalizeWide, AddsThePartialSumsOfALinear) {
    Builder b;
    const auto x = b.input("x", half({1, 4, 32, 96}));
    b.output(
        b.rename(b.call("linear",
                        {{"weight", b.constant(random_constant({64, 96}, 4, 1.0), "w")}, {"x", x}}),
                 "y"));
    const Legalized legal = prove(package_of(b), narrow(0, 0, 40),
                                  {.emulator = {5.0 / 128, 0.0}, .reference = {5.0 / 128, 0.0}});
    EXPECT_EQ(legal.changes.front().what,
              "linear: 96 terms a sum in 3 chunks of 32, whose sums are added");
}

TEST(LegalizeWide, SlicesOfLongProductsAvoidTheWidthOnChipsWithTheGain) {
    Builder b;
    const auto x = b.input("x", half({1, 1, 32, 96})), y = b.input("y", half({1, 1, 96, 32}));
    b.output(b.rename(b.matmul(x, y), "z"));
    Profile profile = narrow(0, 0, 32);
    profile.numerics.slice.width_gain = true;
    const Legalized legal = prove(package_of(b), profile,
                                  {.emulator = {5.0 / 128, 0.0}, .reference = {5.0 / 128, 0.0}});
    EXPECT_EQ(rules_of(legal), "wide slice-width slice-width");
}

TEST(LegalizeWide, AddsThePartialSumsOfAConvWithManyInputChannels) {
    Builder b;
    const auto x = b.input("x", half({1, 96, 1, 32}));
    const auto w = b.constant(random_constant({8, 96, 1, 1}, 3, 1.0), "w");
    b.output(b.rename(b.conv(x, w, {}), "y"));
    Profile profile = unlimited();
    profile.limits.conv_input_channels = 40;
    const Legalized legal = prove(package_of(b), profile,
                                  {.emulator = {5.0 / 128, 0.0}, .reference = {5.0 / 128, 0.0}});
    EXPECT_EQ(legal.changes.front().what,
              "conv: 96 input channels in 3 chunks of 32, whose sums are added");
}

// A classifier whose weight is an input: the input is legal as [1, C, 1, S], the matrix is not.
TEST(LegalizeWide, SlicesAnInputThatBecomesTooWideAMatrix) {
    Builder b;
    const auto w = b.input("w", half({1, 100, 1, 32})), x = b.input("x", half({1, 32, 1, 32}));
    const auto logits = b.matmul(b.reshape(w, {1, 1, 100, 32}), b.reshape(x, {1, 1, 32, 32}));
    b.output(b.rename(b.reshape(logits, {1, 100, 1, 32}), "y"));
    const Profile profile = narrow(64, 128, 0);
    const Legalized legal = prove(package_of(b), profile, {});
    expect_narrow(legal, profile.limits);
    EXPECT_TRUE(legal.boundary.empty());
}

TEST(LegalizeWide, GivesATooWideInputSeveralInputs) {
    Builder b;
    const auto w = b.input("w", half({1, 1, 101, 32})), x = b.input("x", half({1, 1, 32, 32}));
    const auto product = b.matmul(w, x);
    const auto shifted = b.add(product, b.constant(random_constant({1, 1, 101, 1}, 4, 1.0)));
    b.output(b.rename(b.softmax(shifted, -1), "p"));
    b.output(b.rename(
        b.call("reduce_max",
               {{"axes", b.integers({2})}, {"keep_dims", b.boolean(true)}, {"x", shifted}}),
        "q"));
    const Profile profile = narrow(64, 64, 0);
    const Legalized legal = prove(package_of(b), profile, {});
    expect_narrow(legal, profile.limits);
    ASSERT_EQ(legal.boundary.size(), 2U);
    EXPECT_TRUE(legal.boundary[0].is_input);
    EXPECT_EQ(legal.boundary[0].parts.size(), 2U);
    EXPECT_EQ(legal.boundary[0].parts[0].type.shape,
              (Shape{1, 1, 64, 32}));  // unequal: 101 is prime
    EXPECT_EQ(legal.boundary[0].parts[1].type.shape, (Shape{1, 1, 37, 32}));
    EXPECT_EQ(legal.boundary[1].name, "p");
    EXPECT_EQ(legal.boundary[1].parts.size(), 2U);
}

TEST(LegalizeWide, RefusesWhatHasNoParts) {
    Builder b;
    const auto x = b.input("x", half({1, 1, 32, 100}));
    b.output(b.rename(b.softmax(x, -1), "y"));
    const Legalized legal = legalize(package_of(b), narrow(64, 64, 0));
    EXPECT_EQ(refusals_of(legal),
              "wide (%x): a softmax along the axis that is too wide; compute it on the host");
    EXPECT_EQ(rules_of(legal), "");
    EXPECT_TRUE(legal.boundary.empty());
}

TEST(LegalizeWide, LeavesValuesAtTheLimitAlone) {
    Builder b;
    const auto x = b.input("x", half({1, 64, 64, 64}));
    b.output(b.rename(b.matmul(x, x), "y"));
    EXPECT_EQ(rules_of(legalize(package_of(b), narrow(64, 64, 64))), "");
}

TEST(LegalizeInnerMultiple, FillsSumsUpWithZeros) {
    for (const bool constant : {true, false}) {
        Builder b;
        const auto x = b.input("x", half({1, 2, 32, 40}));
        const auto y = constant ? b.constant(random_constant({1, 1, 40, 64}, 3, 1.0), "w")
                                : b.input("y", half({1, 2, 40, 64}));
        const auto first = b.matmul(x, y);
        b.output(b.rename(b.matmul(b.slice(first, {0, 0, 0, 0}, {1, 2, 32, 8}),
                                   b.slice(first, {0, 0, 8, 0}, {1, 2, 8, 32}), false, false),
                          "z"));
        Profile profile = unlimited();
        profile.limits.matmul_inner_multiple = 32;
        const Legalized legal = prove(package_of(b), profile, {});
        EXPECT_EQ(rules_of(legal), "inner-multiple inner-multiple");
        for (const auto& operation : legal.package.program.functions.front().operations) {
            if (operation.op == "matmul") {
                const auto& name = std::get<std::string>(operation.find_argument("x")->operands[0]);
                EXPECT_EQ(legal.package.program.functions.front().find_type(name)->shape[-1] % 32,
                          0);
            }
        }
    }
}

TEST(LegalizeExplicit, WritesEpsilonAndCeilModeOut) {
    const auto program = mil::read(R"(program(1.3)
{
    func main<ios18>(tensor<fp16, [1, 64, 8, 32]> x) {
        tensor<fp16, [1, 64, 8, 32]> a = abs(x = x)[name = string("a")];
        tensor<fp16, [1, 64, 8, 32]> b = rsqrt(x = a)[name = string("b")];
        tensor<fp16, [1, 64, 8, 32]> c = inverse(x = a)[name = string("c")];
        tensor<fp16, [1, 64, 8, 32]> d = log(x = a)[name = string("d")];
        tensor<fp16, [1, 64, 8, 32]> e = add(x = b, y = c)[name = string("e")];
        tensor<fp16, [1, 64, 8, 32]> y = add(x = d, y = e)[name = string("y")];
    } -> (y);
}
)");
    const Legalized legal = prove({program, {}}, unlimited(), {});
    EXPECT_EQ(rules_of(legal), "explicit explicit explicit");
}

}  // namespace
}  // namespace pome::device::legal_test
