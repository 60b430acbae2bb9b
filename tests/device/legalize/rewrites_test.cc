// Rewrites of single operations.
#include "device/legalize/legal_test.h"

namespace pome::device::legal_test {
namespace {

// One fp16 rounding, relative.
constexpr double ulp = 1.0 / 2048.0;

Profile with_width_gain() {
    Profile profile = unlimited();
    profile.numerics.slice.width_gain = true;
    return profile;
}

TEST(LegalizeSliceWidth, MovesSlicesToTheNeighbouringAxisBitForBit) {
    for (const auto& shape : {Shape{1, 3, 5, 8}, Shape{1, 4, 1, 8}, Shape{6, 8}, Shape{8}}) {
        Builder b;
        const auto x = b.input("x", half(shape));
        std::vector<std::int64_t> begin(static_cast<std::size_t>(shape.rank()), 0),
            size = shape.sizes();
        begin.back() = 3, size.back() = 4;
        if (shape.rank() > 1) {  // the neighbour as well
            begin[begin.size() - 2] = shape[-2] - 1;
            size[size.size() - 2] = 1;
        }
        b.output(b.rename(b.slice(x, begin, size), "y"));
        // 6000 is beyond what a width slice keeps.
        const Legalized legal = prove(package_of(b), with_width_gain(), {.scale = 6000.0});
        EXPECT_EQ(rules_of(legal), "slice-width") << shape.text();
        EXPECT_EQ(legal.changes.front().equality, Equality::bits);
        EXPECT_TRUE(legal.boundary.empty());
    }
}

TEST(LegalizeSliceWidth, LeavesSlicesThatBeginAtZero) {
    Builder b;
    const auto x = b.input("x", half({1, 4, 2, 8}));
    b.output(b.rename(b.slice(x, {0, 1, 1, 0}, {1, 2, 1, 5}), "y"));
    EXPECT_EQ(rules_of(legalize(package_of(b), with_width_gain())), "");
}

TEST(LegalizeSliceWidth, LeavesCleanChipsAlone) {
    Builder b;
    const auto x = b.input("x", half({1, 4, 2, 8}));
    b.output(b.rename(b.slice(x, {0, 1, 1, 2}, {1, 2, 1, 5}), "y"));
    EXPECT_EQ(rules_of(legalize(package_of(b), unlimited())), "");
}

TEST(LegalizeSliceWidth, MovesEveryFormOfSliceByIndex) {
    struct Form {
        std::vector<std::int64_t> begin, end, stride;
        std::vector<double> begin_mask, end_mask, squeeze_mask;
        bool changes = true;
    };
    const std::vector<Form> forms{
        {{0, 0, 0, 2}, {1, 3, 4, 7}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {{0, 1, 1, 1}, {1, 3, 4, 8}, {1, 1, 2, 3}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {{0, 0, -1, -1}, {1, 3, 0, 0}, {1, 1, -1, -2}, {0, 0, 0, 0}, {0, 0, 1, 1}, {0, 0, 0, 0}},
        {{0, 2, 1, -2}, {1, 0, 4, 0}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 1}, {0, 1, 0, 0}},
        {{0, 0, 1, 5}, {1, 3, 0, 0}, {1, 1, 1, 1}, {0, 0, 0, 0}, {1, 0, 0, 0}, {1, 0, 1, 1}},
        {{0, 0, 1, 5}, {1, 3, 4, 7}, {1, 1, 1, 1}, {0, 0, 0, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, false},
        {{0, 0, 1, 5}, {1, 3, 4, 7}, {1, 1, 1, -1}, {0, 0, 0, 1}, {0, 0, 0, 1}, {0, 0, 0, 0}},
    };
    for (const Form& form : forms) {
        Builder b;
        const auto x = b.input("x", half({1, 3, 4, 8}));
        const auto mask = [&](const std::vector<double>& values) {
            return b.constant(mil::Literal::tensor(DType::boolean, {4}, values), "mask");
        };
        b.output(b.rename(b.call("slice_by_index", {{"begin", b.integers(form.begin)},
                                                    {"begin_mask", mask(form.begin_mask)},
                                                    {"end", b.integers(form.end)},
                                                    {"end_mask", mask(form.end_mask)},
                                                    {"squeeze_mask", mask(form.squeeze_mask)},
                                                    {"stride", b.integers(form.stride)},
                                                    {"x", x}}),
                          "y"));
        // slice_by_index on the emulator is another's; the reference proves it.
        const Legalized legal =
            prove(package_of(b), with_width_gain(), {.scale = 6000.0, .on_emulator = false});
        EXPECT_EQ(rules_of(legal), form.changes ? "slice-width" : "");
    }
}

TEST(LegalizeSliceWidth, MovesSplits) {
    Builder b;
    const auto x = b.input("x", half({1, 3, 4, 8}));
    const auto parts = b.call_many("split", {{"axis", {b.integer(-1)}, false},
                                             {"num_splits", {b.integer(4)}, false},
                                             {"x", {x}, false}});
    b.output(b.rename(parts[0], "p"));
    b.output(b.rename(parts[2], "q"));
    b.output(b.rename(b.add(parts[1], parts[3]), "r"));
    const Legalized legal = prove(package_of(b), with_width_gain(), {.scale = 6000.0});
    EXPECT_EQ(rules_of(legal), "slice-width");
}

// mil.md section 11: RoPE of interleaved pairs, as trainers write it.
TEST(LegalizeSliceWidth, RewritesRotaryPositionsOfInterleavedPairs) {
    constexpr std::int64_t heads = 2, positions = 32, size = 32;
    for (const char* chip : {"m1", "m2"}) {
        Builder b;
        const auto q = b.input("q", half({1, heads, positions, size}));
        const auto pairs = b.reshape(q, {1, heads, positions * size / 2, 2});
        const auto even = b.slice(pairs, {0, 0, 0, 0}, {1, heads, positions * size / 2, 1});
        const auto odd = b.slice(pairs, {0, 0, 0, 1}, {1, heads, positions * size / 2, 1});
        const auto turned =
            b.reshape(b.concat({b.negate(odd), even}, 3), {1, heads, positions, size});
        const auto cosine = b.constant(random_constant({1, 1, positions, size}, 1, 0.7), "cosine");
        const auto sine = b.constant(random_constant({1, 1, positions, size}, 2, 0.7), "sine");
        b.output(b.rename(b.add(b.mul(q, cosine), b.mul(turned, sine)), "y"));
        const Legalized legal = prove(package_of(b), find_profile(chip), {.scale = 3000.0});
        EXPECT_EQ(rules_of(legal), "slice-width dialect") << chip;
    }
}

TEST(LegalizeAttention, TakesItApart) {
    for (const int form : {0, 1, 2}) {  // no mask, additive, boolean
        Builder b;
        const auto q = b.input("q", half({1, 2, 8, 16})), k = b.input("r", half({1, 2, 12, 16})),
                   v = b.input("v", half({1, 2, 12, 4}));
        std::vector<double> mask(8 * 12, 0.0);
        for (std::size_t i = 0; i < mask.size(); ++i) {
            const bool allowed = i % 12 <= i / 12 + 4;
            mask[i] = form == 1 ? (allowed ? 0.0 : -10000.0) : (allowed ? 1.0 : 0.0);
        }
        std::vector<Builder::CallArgument> arguments{
            {"query", {q}, false}, {"key", {k}, false}, {"value", {v}, false}};
        if (form > 0) {
            arguments.push_back(
                {"attn_mask",
                 {b.constant(mil::Literal::tensor(form == 1 ? DType::fp16 : DType::boolean,
                                                  {1, 1, 8, 12}, mask),
                             "mask")},
                 false});
        }
        b.output(b.rename(b.call_many("scaled_dot_product_attention", arguments).front(), "y"));
        Profile profile = unlimited();
        profile.capabilities.attention_mask = false;
        profile.capabilities.terse_dialect = form > 0;
        // The reference rounds the result once; constants are exact (1/4, -10000, 0) except -30000,
        // whose exponential is zero. The emulator does not know the op.
        const Legalized legal =
            prove(package_of(b), profile, {.reference = {0.0, ulp}, .on_emulator = false});
        EXPECT_EQ(rules_of(legal), form > 0 ? "attention" : "attention dialect");
        EXPECT_EQ(legal.changes.front().equality, Equality::mathematics);
    }
}

TEST(LegalizeAttention, ComputesMaskedRowsOnTheEmulator) {
    Builder b;
    const auto q = b.input("q", half({1, 2, 32, 64})), k = b.input("r", half({1, 2, 32, 64})),
               v = b.input("v", half({1, 2, 32, 64}));
    std::vector<double> mask(32 * 32);
    for (std::size_t i = 0; i < mask.size(); ++i) {
        mask[i] = i % 32 <= i / 32 ? 1.0 : 0.0;
    }
    b.output(b.rename(
        b.call("scaled_dot_product_attention",
               {{"attn_mask",
                 b.constant(mil::Literal::tensor(DType::boolean, {1, 1, 32, 32}, mask), "mask")},
                {"key", k},
                {"query", q},
                {"value", v}}),
        "y"));
    const mil::Package package = package_of(b);
    ThreadPool pool;
    const auto device = emulator::make_emulator("m1", {}, pool);
    const Values inputs = random_inputs(package.program.functions.front(), 3, 1.0);
    const auto got = evaluate(*compile_legalized(*device, package), inputs);
    const auto wanted = evaluate(*make_reference_device()->compile(package), inputs);
    // Probabilities by the 33-knot exponential: 2e-3 of each; 32 values of size 1 to 4.
    expect_within(got, wanted, {0.02, 0.0}, "emulator:m1");
}

TEST(LegalizeAttention, StaysWhereItWorks) {
    const auto attention = [](std::int64_t queries, std::int64_t keys) {
        Builder b;
        const auto q = b.input("q", half({1, 1, queries, 16})),
                   k = b.input("r", half({1, 1, keys, 16}));
        b.output(b.rename(
            b.call("scaled_dot_product_attention", {{"key", k}, {"query", q}, {"value", k}}), "y"));
        return package_of(b);
    };
    const Profile& profile = find_profile("m4/e5rt");
    EXPECT_EQ(refusals_of(legalize(attention(511, 2048), profile)), "");
    for (const auto& change : legalize(attention(511, 2048), profile).changes) {
        EXPECT_EQ(change.rule, "surface");
    }
    const auto beyond = legalize(attention(512, 2048), profile),
               longer = legalize(attention(64, 2049), profile);
    ASSERT_FALSE(beyond.changes.empty() || longer.changes.empty());
    EXPECT_EQ(beyond.changes.front().text(),
              "attention (%y): taken apart into matmul, softmax and matmul: 512 queries and 2048 "
              "keys: the op is right only when one of them is 511 or fewer [roundings differ]");
    EXPECT_EQ(longer.changes.front().what,
              "taken apart into matmul, softmax and matmul: 2049 positions are more than the 2048 "
              "that the op computes rightly");
}

TEST(LegalizeGelu, WritesOutItsThreeForms) {
    for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
        Builder b;
        const auto x = b.input("x", half({1, 8, 4, 32}));
        b.output(b.rename(b.call("gelu", {{"mode", b.text(mode)}, {"x", x}}), "y"));
        Profile profile = unlimited();
        profile.capabilities.gelu = false;
        // Reference: constants rounded to fp16 (ulp/2 each; the argument of erf or tanh moves by at
        // most 2 ulp |u|, and |u| f'(u) <= 0.6; times |x| <= 4.5 gives 1.5e-3). Emulator: the
        // tables of gelu (5.9e-3) and of erf, tanh, sigmoid (3.4e-3 times |x| <= 4.5 where they are
        // not flat: 1.5e-2) both err; its gelu table is the exact form in every mode, so that the
        // approximations differ by 2e-2 more.
        const Legalized legal =
            prove(package_of(b), profile, {.emulator = {0.042, 0.01}, .reference = {1.5e-3, ulp}});
        EXPECT_EQ(rules_of(legal), "gelu") << mode;
        EXPECT_EQ(legal.changes.front().equality, Equality::mathematics);
    }
}

TEST(LegalizeMean, BecomesASumTimesAConstant) {
    for (const bool keep : {true, false}) {
        Builder b;
        const auto x = b.input("x", half({1, 12, 4, 32}));
        b.output(b.rename(
            b.call("reduce_mean",
                   {{"axes", b.integers({1, -1})}, {"keep_dims", b.boolean(keep)}, {"x", x}}),
            "y"));
        Profile profile = unlimited();
        profile.capabilities.reduce_mean = false;
        // Reference: 1/384 rounded to fp16 errs by ulp/2, the result's rounding by ulp/2 on both
        // sides. Emulator: two reductions of 32 and 12 numbers of size 1 .. 3, each cut at 2^-11 of
        // the larger operand in tiles of 4 (9 and 3 times), divided by 384 in one, by 32 and 12 in
        // the other.
        prove(package_of(b), profile, {.emulator = {2e-3, 4 * ulp}, .reference = {1e-7, 2 * ulp}});
    }
}

TEST(LegalizeMean, RefusesCountsWhoseInverseVanishes) {
    Builder b;
    const auto x = b.input("x", half({1, 65536, 64, 1024}));
    b.output(b.rename(
        b.call("reduce_mean",
               {{"axes", b.integers({1, 2, 3})}, {"keep_dims", b.boolean(true)}, {"x", x}}),
        "y"));
    Profile profile = unlimited();
    profile.capabilities.reduce_mean = false;
    const Legalized legal = legalize(package_of(b), profile);
    EXPECT_EQ(refusals_of(legal),
              "mean (%y): a mean of 4294967296 elements: 1/4294967296 is zero in fp16, and a "
              "product of a sum with zero does not compile");
    EXPECT_EQ(rules_of(legal), "");
}

TEST(LegalizeRoot, BecomesAPowerAfterAReduction) {
    for (const char* op : {"rsqrt", "sqrt"}) {
        Builder b;
        const auto x = b.input("x", half({1, 16, 1, 32}));
        const auto sum = b.reduce_sum(b.mul(x, x), {1}, true);
        const auto mean = b.add(b.scale(sum, 1.0 / 16), b.number(DType::fp16, 1e-5));
        const auto root =
            std::string(op) == "sqrt"
                ? b.unary("sqrt", mean)
                : b.call("rsqrt", {{"epsilon", b.number(DType::fp16, 0.001)}, {"x", mean}});
        b.output(b.rename(b.mul(x, root), "y"));
        Profile profile = unlimited();
        profile.capabilities.rsqrt_after_reduction = false;
        const Legalized legal = prove(package_of(b), profile, {});
        EXPECT_EQ(rules_of(legal), "root");
        EXPECT_EQ(legal.changes.front().equality, Equality::bits);
    }
}

TEST(LegalizeRoot, StaysWithoutAReduction) {
    Builder b;
    const auto x = b.input("x", half({1, 16, 1, 32}));
    b.output(b.rename(b.unary("sqrt", b.unary("abs", x)), "y"));
    Profile profile = unlimited();
    profile.capabilities.rsqrt_after_reduction = false;
    EXPECT_EQ(rules_of(legalize(package_of(b), profile)), "");
}

TEST(LegalizeInverse, BecomesAQuotient) {
    Builder b;
    const auto x = b.input("x", half({1, 16, 1, 32}));
    const auto positive = b.add(b.unary("abs", x), b.number(DType::fp16, 0.25));
    b.output(b.rename(
        b.call("inverse", {{"epsilon", b.number(DType::fp16, 0.01)}, {"x", positive}}), "y"));
    Profile profile = unlimited();
    profile.capabilities.inverse = false;
    // Emulator: the table of the inverse errs by up to 13.5 ulp.
    prove(package_of(b), profile, {.emulator = {0.0, 15 * ulp}, .reference = {0.0, ulp}});
}

TEST(LegalizeSquare, BecomesAProductWhereTheWidthIsBad) {
    for (const std::int64_t width : {64, 65, 127, 128, 192, 193}) {
        Builder b;
        const auto x = b.input("x", half({1, 4, 1, width}));
        b.output(b.rename(b.unary("tanh", b.unary("square", x)), "y"));
        Profile profile = unlimited();
        profile.capabilities.square_activation = find_profile("m1").capabilities.square_activation;
        const Legalized legal = prove(package_of(b), profile, {.scale = 2.0});
        EXPECT_EQ(rules_of(legal), width % 128 > 64 ? "square" : "") << width;
    }
}

TEST(LegalizeNorm, TakesLayerNormApart) {
    for (const bool last : {true, false}) {
        Builder b;
        const auto x = b.input("x", half({1, 16, 4, 32}));
        const Shape affine = last ? Shape{32} : Shape{16};
        b.output(b.rename(
            b.call("layer_norm", {{"axes", b.integers({last ? -1 : 1})},
                                  {"beta", b.constant(random_constant(affine, 5, 0.5), "beta")},
                                  {"epsilon", b.number(DType::fp16, 1e-3)},
                                  {"gamma", b.constant(random_constant(affine, 6, 1.0), "gamma")},
                                  {"x", x}}),
            "y"));
        Profile profile = unlimited();
        profile.capabilities.norms = false;
        // The reference rounds only the result; the parts are its own definition.
        const Legalized legal =
            prove(package_of(b), profile, {.reference = {1e-7, ulp}, .on_emulator = false});
        EXPECT_EQ(rules_of(legal), "norm");
    }
}

TEST(LegalizeNorm, TakesInstanceNormAndL2NormApartAndTheirMeansToo) {
    for (const char* op : {"instance_norm", "l2_norm"}) {
        Builder b;
        const auto x = b.input("x", half({2, 16, 4, 32}));
        const auto epsilon = b.number(DType::fp16, 1e-3);
        b.output(b.rename(std::string(op) == "l2_norm"
                              ? b.call(op, {{"epsilon", epsilon}, {"x", x}})
                              : b.call(op, {{"beta", b.constant(random_constant({16}, 5, 0.5))},
                                            {"epsilon", epsilon},
                                            {"gamma", b.constant(random_constant({16}, 6, 1.0))},
                                            {"x", x}}),
                          "y"));
        Profile profile = unlimited();
        profile.capabilities.norms = false;
        profile.capabilities.reduce_mean = false;
        profile.capabilities.rsqrt_after_reduction = false;
        // 1/128 is exact.
        const Legalized legal =
            prove(package_of(b), profile, {.reference = {1e-7, ulp}, .on_emulator = false});
        EXPECT_EQ(rules_of(legal),
                  std::string(op) == "l2_norm" ? "norm root" : "norm mean mean root");
    }
}

TEST(LegalizeBias, IsAddedByAnOpOfItsOwn) {
    Builder b;
    const auto x = b.input("x", half({1, 8, 4, 32}));
    const auto conv = [&](const Value& of, mil::Literal bias) {
        return b.call("conv", {{"bias", b.constant(std::move(bias), "bias")},
                               {"dilations", b.integers({1, 1})},
                               {"groups", b.integer(1)},
                               {"pad", b.integers({1, 1, 1, 1})},
                               {"pad_type", b.text("custom")},
                               {"strides", b.integers({1, 1})},
                               {"weight", b.constant(random_constant({8, 8, 3, 3}, 4, 0.1), "w")},
                               {"x", of}});
    };
    const auto first = conv(x, random_constant({8}, 9, 1.0));
    b.output(
        b.rename(conv(first, mil::Literal::tensor(DType::fp16, {8}, std::vector<double>(8))), "y"));
    Profile profile = unlimited();
    profile.capabilities.conv_bias = false;
    // The bias is rounded with the sum instead of before it: ulp/2 of values up to 4, twice,
    // through 72 weights of size 0.1 (sum of |w| about 6): 6 * 4 * ulp at most.
    const Legalized legal =
        prove(package_of(b), profile, {.emulator = {24 * ulp, 2 * ulp}, .reference = {1e-6, ulp}});
    EXPECT_EQ(rules_of(legal), "bias bias");
    EXPECT_EQ(legal.changes[1].what, "the bias, which is zero, is left out");
}

TEST(LegalizeBias, MakesLinearAMatmulAndAnAdd) {
    Builder b;
    const auto x = b.input("x", half({1, 6, 32}));
    b.output(b.rename(b.call("linear", {{"bias", b.constant(random_constant({16}, 9, 1.0), "bias")},
                                        {"weight", b.constant(random_constant({16, 32}, 4, 0.2))},
                                        {"x", x}}),
                      "y"));
    Profile profile = unlimited();
    profile.capabilities.conv_bias = false;
    const Legalized legal =
        prove(package_of(b), profile, {.reference = {1e-6, ulp}, .on_emulator = false});
    EXPECT_EQ(rules_of(legal), "bias");
}

TEST(LegalizeTrigonometry, RefusesWhatHasNoEquivalent) {
    Builder b;
    b.output(b.rename(b.unary("sin", b.input("x", half({1, 64, 1, 32}))), "y"));
    const Legalized legal = legalize(package_of(b), find_profile("m1"));
    EXPECT_EQ(
        refusals_of(legal),
        "trigonometry (%y): sin does not run on this chip, and no equivalent of known accuracy "
        "is published; compute it on the host and pass it in");
}

TEST(LegalizeConcat, WritesTheFormThatCompiles) {
    const auto program = mil::read(R"(program(1.3)
{
    func main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {
        tensor<fp16, [1, 64, 1, 32]> alone = concat(axis = int32(1), interleave = bool(false), values = (x))[name = string("alone")];
        tensor<fp16, [1, 64, 1, 64]> y = concat(axis = int32(-1), values = (alone, x))[name = string("y")];
    } -> (y);
}
)");
    const Legalized legal = prove({program, {}}, unlimited(), {});
    EXPECT_EQ(rules_of(legal), "concat concat");
    const auto& operation = legal.package.program.functions.front().operations.back();
    EXPECT_EQ(operation.op, "concat");
    EXPECT_NE(operation.find_argument("interleave"), nullptr);
    EXPECT_EQ(legal.changes[1].line, 5);
}

TEST(LegalizeConcat, KeepsAnOutputThatIsAConcatOfOneValue) {
    const auto program = mil::read(R"(program(1.3)
{
    func main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {
        tensor<fp16, [1, 64, 1, 32]> y = concat(axis = int32(1), interleave = bool(false), values = (x))[name = string("y")];
    } -> (y);
}
)");
    EXPECT_EQ(rules_of(prove({program, {}}, unlimited(), {})), "concat");
}

TEST(Legalize, ListsItsRewrites) {
    std::set<std::string_view> names;
    for (const auto& info : known_rewrites()) {
        EXPECT_FALSE(info.when.empty() || info.what.empty());
        names.insert(info.rule);
    }
    EXPECT_EQ(names.size(), known_rewrites().size());
}

}  // namespace
}  // namespace pome::device::legal_test
