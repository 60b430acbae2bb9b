// Inputs and outputs: surfaces, names, fp32, dialect.
#include "device/legalize/boundary.h"

#include "device/legalize/legal_test.h"
#include "support/expect_error.h"

namespace pome::device::legal_test {
namespace {

Profile with_surfaces(SurfaceRules rules) {
    Profile profile = unlimited();
    profile.surfaces = rules;
    return profile;
}

void expect_surfaces(const Legalized& legal, const SurfaceRules& rules) {
    const mil::Function& function = legal.package.program.functions.front();
    for (const auto& list : {function.parameters, output_types(function)}) {
        for (std::size_t i = 0; i < list.size(); ++i) {
            const auto bytes = [](const mil::NamedType& value) {
                return value.type.shape.elements() *
                       static_cast<std::int64_t>(size_in_memory(value.type.dtype));
            };
            if (rules.row_bytes > 0) {
                EXPECT_EQ(list[i].type.shape[-1] * 2 % rules.row_bytes, 0) << list[i].name;
            }
            EXPECT_GE(bytes(list[i]), rules.minimum_bytes) << list[i].name;
            if (rules.equal_sizes) {
                EXPECT_EQ(bytes(list[i]), bytes(list[0])) << list[i].name;
            }
            if (rules.alphabetical && i > 0) {
                EXPECT_LT(list[i - 1].name, list[i].name);
            }
        }
    }
}

TEST(LegalizeSurface, PadsRowsAndSmallSurfaces) {
    for (const auto& shape : {Shape{1, 4, 1, 2}, Shape{1, 3, 5, 33}, Shape{2, 3, 2, 7}, Shape{5},
                              Shape{3, 17}, Shape{2, 3, 40}, Shape{1, 2, 3, 2, 5}}) {
        for (const std::int64_t least : {0, 2048, 49152}) {
            Builder b;
            const auto x = b.input("x", half(shape));
            b.output(b.rename(b.add(x, x), "y"));
            const SurfaceRules rules{64, least, false, false};
            const Legalized legal = prove(package_of(b), with_surfaces(rules), {.scale = 100.0});
            expect_surfaces(legal, rules);
            EXPECT_EQ(rules_of(legal), "surface surface");
            ASSERT_EQ(legal.boundary.size(), 2U);
            EXPECT_EQ(legal.boundary[0].parts[0].name, "x");
            EXPECT_EQ(legal.boundary[1].parts[0].name, "y_surface");
        }
    }
}

TEST(LegalizeSurface, SaysWhatItDid) {
    Builder b;
    b.output(b.rename(b.unary("relu", b.input("x", half({1, 4, 1, 2}))), "y"));
    const Legalized legal = legalize(package_of(b), with_surfaces({64, 2048, false, false}));
    ASSERT_EQ(legal.changes.size(), 2U);
    EXPECT_EQ(legal.changes[0].text(),
              "surface (%x): input fp16 [1,4,1,2] lies in fp16 [1,32,1,32]: rows of a multiple of "
              "64 bytes, at least 2048 bytes");
}

TEST(LegalizeSurface, LeavesSurfacesThatFitAlone) {
    Builder b;
    b.output(b.rename(b.unary("relu", b.input("x", half({1, 32, 1, 32}))), "y"));
    EXPECT_EQ(rules_of(legalize(package_of(b), with_surfaces({64, 2048, true, true}))), "");
}

TEST(LegalizeSurface, MakesAllInputsAndAllOutputsOneSize) {
    const SurfaceRules rules{64, 2048, true, true};
    for (const std::int64_t width : {32, 40, 96, 160}) {
        Builder b;
        const auto x = b.input("x", half({1, 64, 1, 64})), y = b.input("b", half({1, 7, 1, width})),
                   z = b.input("c", half({3, 5}));
        b.output(b.rename(b.unary("relu", x), "q"));
        b.output(b.rename(b.unary("abs", y), "r"));
        b.output(b.rename(b.scale(z, 2.0), "a"));
        const Legalized legal = prove(package_of(b), with_surfaces(rules), {});
        expect_surfaces(legal, rules);
        ASSERT_EQ(legal.boundary.size(), 6U);
        // Names of the original program are kept in the mapping.
        EXPECT_EQ(legal.boundary[0].name, "b");
    }
}

TEST(LegalizeSurface, MakesRowsBroaderWhereOneHeightCannotHoldThem) {
    Builder b;
    const auto x = b.input("x", half({1, 2000, 1, 32}));
    b.output(b.rename(b.unary("relu", x), "p"));
    b.output(b.rename(b.slice(x, {0, 0, 0, 0}, {1, 40, 1, 32}), "q"));
    const SurfaceRules rules{64, 2048, true, true};
    Profile profile = with_surfaces(rules);
    profile.limits.max_width = 1024;
    profile.limits.max_channels = 4096;
    const Legalized legal = prove(package_of(b), profile, {});
    expect_surfaces(legal, rules);
    ASSERT_EQ(legal.boundary.size(), 1U);
    EXPECT_EQ(refusals_of(legal), "");
}

TEST(LegalizeSurface, RefusesScalars) {
    const auto program = mil::read(R"(program(1.3)
{
    func main<ios18>(fp16 s, tensor<fp16, [1, 64, 1, 32]> x) {
        tensor<fp16, [1, 64, 1, 32]> y = mul(x = x, y = s)[name = string("y")];
    } -> (y);
}
)");
    const Legalized legal = legalize({program, {}}, with_surfaces({64, 2048, false, false}));
    EXPECT_EQ(refusals_of(legal), "surface (line 3, %s): fp16 has no rows that could be padded");
}

TEST(LegalizeSurface, RefusesWhatNoAxisCanHold) {
    Builder b;
    b.output(b.rename(b.unary("relu", b.input("x", half({1, 4, 1, 2}))), "y"));
    Profile profile = with_surfaces({64, 49152, false, false});
    profile.limits.max_channels = 64;
    EXPECT_EQ(refusals_of(legalize(package_of(b), profile)),
              "surface (%x): a surface of 768 rows of 32 is beyond the chip's axes\n"
              "surface (%y): a surface of 768 rows of 32 is beyond the chip's axes");
}

TEST(LegalizeNames, MakesDeclarationAndAlphabetAgree) {
    Builder b;
    std::vector<Value> inputs;
    for (int i = 0; i < 12; ++i) {
        inputs.push_back(b.input(fmt::format("v{}", 12 - i), half({1, 32, 1, 32})));
    }
    Value sum = inputs.front();
    for (int i = 1; i < 12; ++i) {
        sum = b.sub(b.scale(sum, 0.5), inputs[static_cast<std::size_t>(i)]);
    }
    const Value y = b.rename(sum, "y");
    b.output(y);
    b.output(b.rename(b.unary("relu", y), "b"));
    const SurfaceRules rules{0, 0, false, true};
    const Legalized legal = prove(package_of(b), with_surfaces(rules), {});
    expect_surfaces(legal, rules);
    EXPECT_EQ(rules_of(legal), "names names");
    const mil::Function& function = legal.package.program.functions.front();
    EXPECT_EQ(function.parameters[3].name, "a03_v9");
    EXPECT_EQ(function.outputs, (std::vector<std::string>{"a0_y", "a1_b"}));
    EXPECT_EQ(legal.changes[0].what,
              "12 inputs renamed a00_v12 .. a11_v1: surfaces are bound in the order of names");
}

TEST(LegalizeNames, RefusesAnOutputThatIsAnInput) {
    Builder b;
    const auto z = b.input("z", half({1, 32, 1, 32})), a = b.input("a", half({1, 32, 1, 32}));
    b.output(z);
    b.output(b.rename(b.add(z, a), "y"));
    const Legalized legal = legalize(package_of(b), with_surfaces({0, 0, false, true}));
    EXPECT_NE(refusals_of(legal).find("an output that is an input or another output cannot have a "
                                      "name of its own"),
              std::string::npos);
}

mil::Package fp32_program() {
    return {mil::read(R"(program(1.3)
{
    func main<ios18>(tensor<fp32, [1, 64, 1, 32]> x) {
        string h = const()[name = string("h"), val = string("fp16")];
        string f = const()[name = string("f"), val = string("fp32")];
        fp16 two = const()[name = string("two"), val = fp16(0x1.5p+1)];
        tensor<fp16, [1, 64, 1, 32]> x16 = cast(dtype = h, x = x)[name = string("x16")];
        tensor<fp16, [1, 64, 1, 32]> m = mul(x = x16, y = two)[name = string("m")];
        tensor<fp32, [1, 64, 1, 32]> y = cast(dtype = f, x = m)[name = string("y")];
        tensor<fp32, [1, 64, 1, 32]> again = cast(dtype = f, x = x16)[name = string("again")];
    } -> (y, again);
}
)"),
            {}};
}

TEST(LegalizeFp32, TakesFp16InsteadAndConvertsOutsideAsTheCastDoes) {
    Profile profile = unlimited();
    profile.capabilities.fp32_cast = false;
    const mil::Package package = fp32_program();
    const Legalized legal = legalize(package, profile);
    EXPECT_EQ(refusals_of(legal), "");
    EXPECT_EQ(rules_of(legal), "fp32");
    EXPECT_EQ(legal.changes[0].equality, Equality::bits);
    EXPECT_EQ(rules_of(legalize(legal.package, profile)), "");
    const mil::Function& function = legal.package.program.functions.front();
    EXPECT_EQ(mil::write(legal.package.program).find("tensor<fp32"), std::string::npos);
    EXPECT_EQ(function.outputs, (std::vector<std::string>{"m", "again"}));
    // Ties as well: odd multiples of 2^-11 around 1.
    Values inputs;
    for (int i = 0; i < 64 * 32; ++i) {
        inputs["x"].push_back(1.0 + i / 2048.0 + (i % 3) / 65536.0);
    }
    ThreadPool pool;
    const auto device = emulator::make_emulator(unlimited(), {}, pool);
    const auto limited = emulator::make_emulator(profile, {}, pool);
    expect_within(evaluate(*compile_legalized(*limited, package), inputs),
                  evaluate(*device->compile(package), inputs), {}, "emulator");
}

TEST(LegalizeFp32, NarrowsConstantsAndValuesInside) {
    const auto program = mil::read(R"(program(1.3)
{
    func main<ios18>(tensor<fp32, [1, 64, 1, 32]> x) {
        fp32 low = const()[name = string("low"), val = fp32(-0x1.fffffep+127)];
        fp32 two = const()[name = string("two"), val = fp32(0x1p+1)];
        tensor<fp32, [1, 64, 1, 32]> m = mul(x = x, y = two)[name = string("m")];
        tensor<fp32, [1, 64, 1, 32]> y = maximum(x = m, y = low)[name = string("y")];
    } -> (y);
}
)");
    Profile profile = unlimited();
    profile.capabilities.fp32_cast = false;
    const Legalized legal = prove({program, {}}, profile, {.reference = {0.0, 1.0 / 2048}});
    EXPECT_EQ(legal.changes[0].equality, Equality::mathematics);
}

TEST(LegalizeDialect, BecomesCanonical) {
    Builder b;
    b.output(b.rename(b.unary("relu", b.input("x", half({1, 32, 1, 32}))), "y"));
    for (const char* chip : {"m1", "m2"}) {
        const Legalized legal =
            prove({mil::make_program(b.function()), {}}, find_profile(chip), {});
        EXPECT_EQ(rules_of(legal), "dialect");
        const std::string text = mil::write(legal.package.program);
        EXPECT_TRUE(text.starts_with("program(1.0)")) << text;
        EXPECT_NE(text.find("func main<ios16>"), std::string::npos);
        EXPECT_NE(text.find("tensor<string, []>(\"relu\")"), std::string::npos);
    }
    for (const char* chip : {"m3", "m4", "m5", "m6", "m1+terse-m1"}) {
        EXPECT_EQ(rules_of(legalize({mil::make_program(b.function()), {}}, find_profile(chip))), "")
            << chip;
    }
}

TEST(LegalizeDialect, RefusesOpsOfLaterOpsets) {
    const auto program = mil::read(R"(program(1.3)
{
    func main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {
        fp16 s = const()[name = string("s"), val = fp16(0x1p-4)];
        string t = const()[name = string("t"), val = string("int8")];
        tensor<int8, [1, 64, 1, 32]> q = quantize(input = x, output_dtype = t, scale = s)[name = string("q")];
        tensor<fp16, [1, 64, 1, 32]> y = dequantize(input = q, scale = s)[name = string("y")];
    } -> (y);
}
)");
    const Legalized legal = legalize({program, {}}, find_profile("m1"));
    EXPECT_EQ(refusals_of(legal),
              "dialect (line 6, %q): quantize needs opset ios17; the chip reads programs of the "
              "canonical dialect, whose opset is ios16\n"
              "dialect (line 7, %y): dequantize needs opset ios17; the chip reads programs of the "
              "canonical dialect, whose opset is ios16");
    EXPECT_EQ(legal.package.program.dialect, mil::Dialect::terse);
    EXPECT_EQ(refusals_of(legalize({program, {}}, find_profile("m4"))), "");
}

TEST(LegalizeDialect, LeavesCanonicalProgramsAlone) {
    Builder b("main", "ios17");
    b.output(b.rename(b.unary("relu", b.input("x", half({1, 32, 1, 32}))), "y"));
    const auto program = mil::make_program(b.take(), mil::Dialect::canonical);
    EXPECT_EQ(rules_of(legalize({program, {}}, find_profile("m1"))), "");
}

TEST(Boundary, ChecksSurfaces) {
    const BoundaryChange change{
        true,
        "x",
        half({1, 4, 1, 2}),
        {{"a", half({1, 4, 1, 32}), {1, 4, 1, 2}, {0, 0, 0, 0}, {1, 4, 1, 2}, {1, 4, 1, 2}}}};
    Surface from(half({1, 4, 1, 2})), wrong(half({1, 4, 1, 3})), to(half({1, 4, 1, 32}));
    for (int i = 0; i < 8; ++i) {
        from.halves()[i] = to_fp16(static_cast<double>(i), Rounding::nearest_even);
    }
    copy_in(change, from, {{"a", &to}});
    EXPECT_EQ(to_float(to.halves()[2 * 32 + 1]), 5.0F);
    EXPECT_EQ(to_float(to.halves()[2]), 0.0F);
    Surface back(half({1, 4, 1, 2}));
    copy_out(change, {{"a", &to}}, back);
    EXPECT_EQ(to_float(back.halves()[5]), 5.0F);
    test::expect_error(Code::surface_mismatch,
                       "[device.boundary] 'x' is fp16 [1,4,1,2], its surface holds fp16 [1,4,1,3]",
                       [&] {
                           copy_in(change, wrong, {{"a", &to}});
                       });
    test::expect_error(Code::binding_missing,
                       "[device.boundary] 'a' (fp16 [1,4,1,32]) has no surface",
                       [&] { copy_in(change, from, {}); });
}

TEST(Legalize, RefusesAnUnknownFunction) {
    Builder b;
    b.output(b.rename(b.unary("relu", b.input("x", half({1, 32, 1, 32}))), "y"));
    const mil::Package package = package_of(b);
    test::expect_error(Code::invalid_argument,
                       "[device.legalize] the program has no function 'other'",
                       [&] { legalize(package, unlimited(), "other"); });
}

}  // namespace
}  // namespace pome::device::legal_test
