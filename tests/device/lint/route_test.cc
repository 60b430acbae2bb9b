#include <filesystem>

#include "base/file.h"
#include "device/lint/lint_case.h"
#include "mil/builder.h"
#include "support/test_data.h"

namespace pome::device {
namespace {

std::string of(const std::string& op, const std::string& more, const std::string& opset = "ios18") {
    return program(value("1, 64, 1, 32"),
                   value("1, 64, 1, 32", "y") + " = " + op + "(x = x" + more + ");", "y", opset);
}

TEST(LintRoute, TheOldChipsRawRoutesReadTheCanonicalDialectOnly) {
    const std::string terse = of("relu", "");
    const std::string canonical = mil::write(mil::read(terse), mil::Dialect::canonical);
    std::vector<Case> cases;
    for (const std::string chip : {"m1", "m2", "m1max", "m1/client", "m2/client"}) {
        cases.push_back(
            {chip, "dialect", canonical, terse,
             "program(1.3) in the terse dialect: " + chip +
                 " reads the canonical one only, _ANECompiler : ANECCompile() FAILED "
                 "err=(InvalidMILProgram) (line 1, %main); write program(1.0) for ios16 "
                 "with every scalar as tensor<T, []>"});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m2/e5rt", "m1+terse-m1", "m3", "m4", "m5", "m6"}, "dialect", terse);
    // A program that was built has no text yet: it is written as its device reads it.
    mil::Builder b;
    b.output(b.unary("relu", b.input("x", mil::Type::tensor(DType::fp16, {1, 64, 1, 32}))));
    EXPECT_TRUE(lint(mil::make_program(b.take()), find_profile("m1")).empty());
}

TEST(LintRoute, OpsAreNoYoungerThanTheOpset) {
    const std::string quantize = ", output_dtype = string(\"int8\")";
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        cases.push_back({chip, "opset", of("quantize", quantize, "ios17"),
                         of("quantize", quantize, "ios16"),
                         "quantize needs the opset ios17, the function is ios16: _ANECompiler : "
                         "ANECCompile() FAILED err=(InvalidMILProgram) (line 4, %y); declare the "
                         "function for ios17"});
        cases.push_back({chip, "opset", of("scaled_dot_product_attention", "", "ios18"),
                         of("scaled_dot_product_attention", "", "ios17"),
                         "scaled_dot_product_attention needs the opset ios18, the function is "
                         "ios17: _ANECompiler : ANECCompile() FAILED err=(InvalidMILProgram) (line "
                         "4, %y); declare the function for ios18"});
    }
    expect_limits(cases);
}

TEST(LintRoute, ArgumentsThatMustBeGiven) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        for (const auto& [op, argument, given] : {std::tuple{"log", "epsilon", "fp16(0x0p+0)"},
                                                  {"rsqrt", "epsilon", "fp16(0x0p+0)"},
                                                  {"inverse", "epsilon", "fp16(0x0p+0)"},
                                                  {"max_pool", "ceil_mode", "bool(false)"},
                                                  {"avg_pool", "ceil_mode", "bool(false)"}}) {
            cases.push_back({chip, "required_argument",
                             of(op, fmt::format(", {} = {}", argument, given)), of(op, ""),
                             fmt::format("{0} without {1}: _ANECompiler : ANECCompile() FAILED "
                                         "err=(InvalidMILProgram) (line 4, %y); give {1}, also "
                                         "where its default is meant",
                                         op, argument)});
        }
    }
    expect_limits(cases);
}

TEST(LintRoute, AFunctionComputesSomething) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        cases.push_back({chip, "empty_function", of("relu", ""),
                         program(value("1, 64, 1, 32"), "", "x"),
                         "function without an op: the compiler crashes, unordered_map::at: key not "
                         "found (line 3, %main); copy on the host"});
    }
    expect_limits(cases);
}

std::string weights(const std::string& op, const std::string& attributes, const std::string& use) {
    return program(value("1, 64, 1, 32"), value("64, 64, 1, 1", "w") + " = " + op +
                                              "()[name = string(\"w\")" + attributes + "];\n" +
                                              use + value("1, 64, 1, 32", "y") +
                                              " = conv(x = x, weight = w);");
}

TEST(LintRoute, CompressedWeights) {
    const auto affine = [](int zero_point) {
        return weights("constexpr_affine_dequantize",
                       fmt::format(", zero_point = int8({}), axis = int32(0)", zero_point), "");
    };
    const std::string blocks = weights("constexpr_blockwise_shift_scale", "", "");
    const std::string table = weights("constexpr_lut_to_dense", "", "");
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m1max", "m1/e5rt"}) {
        cases.push_back({chip, "zero_point", affine(0), affine(3),
                         "constexpr_affine_dequantize with a zero point: _ANECompiler : "
                         "ANECCompile() FAILED (line 4, %w); quantize symmetrically, with the zero "
                         "point 0"});
        cases.push_back({chip, "folded_weights", table, affine(0),
                         "constexpr_affine_dequantize is folded to fp16 when it is compiled: "
                         "smaller files, no speed (line 4, %w); use constexpr_lut_to_dense, which "
                         "every chip streams",
                         Reaction::works});
    }
    for (const char* chip : {"m1", "m2", "m2/e5rt"}) {
        cases.push_back({chip, "folded_weights", table, blocks,
                         "constexpr_blockwise_shift_scale is folded to fp16 when it is compiled: "
                         "smaller files, no speed (line 4, %w); use constexpr_lut_to_dense, which "
                         "every chip streams",
                         Reaction::works});
    }
    for (const char* chip : {"m1", "m3", "m5", "m5/e5rt"}) {
        cases.push_back({chip, "blockwise_operand", table, blocks,
                         "conv takes weight of constexpr_blockwise_shift_scale directly: "
                         "_ANECompiler : ANECCompile() FAILED (line 5, %y); add 0 to it first"});
    }
    expect_limits(cases);
    expect_free({"m2", "m3", "m4", "m5", "m6"}, "zero_point", affine(3));
    expect_free({"m2", "m3", "m4", "m5", "m6"}, "folded_weights", affine(0));
    expect_free({"m3", "m4", "m5", "m6"}, "folded_weights", blocks);
}

TEST(LintRoute, StateWidthsAndEquations) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        for (const char* op : {"read_state", "write_state"}) {
            cases.push_back({chip, "state", of("relu", ""), of(op, ""),
                             fmt::format("{}: Some ops are not supported on any of the specified "
                                         "backends (line 4, %y); bind one surface as an output and "
                                         "as the next evaluation's input",
                                         op)});
        }
        const auto einsum = [](const std::string& equation) {
            return of("einsum", ", equation = string(\"" + equation + "\")");
        };
        cases.push_back({chip, "einsum", einsum("nchw,nwhu->nchu"), einsum("bij,bjk->bik"),
                         "einsum 'bij,bjk->bik': nobody has verified any but nchw,nwhu->nchu (line "
                         "4, %y); write transpose, reshape and matmul",
                         Reaction::works});
    }
    const auto wide = [](int width) {
        const std::string shape = fmt::format("1, 4, 1, {}", width);
        return unary("relu", shape, shape);
    };
    for (const auto& [inside, outside] : {std::pair{14592, 14593}, std::pair{14623, 14622}}) {
        for (const char* chip : {"m4", "m4max"}) {
            cases.push_back({chip, "width_window", wide(inside), wide(outside),
                             fmt::format("fp16 [1,4,1,{}] is between 14593 and 14622 wide: larger "
                                         "programs of such widths fail with status=0x1d (line 4, "
                                         "%y); pad the width beyond it",
                                         outside),
                             Reaction::works});
        }
    }
    expect_limits(cases);
    expect_free({"m1", "m2", "m3", "m5", "m6"}, "width_window", wide(14600));
}

TEST(LintRoute, FindingsOfSeveralFunctionsComeInTheOrderOfTheText) {
    const std::string two =
        "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\ntensor<fp16, [1, 64, "
        "1, 32]> y = gelu(x = x);\n} -> (y);\nfunc second<ios18>(tensor<fp16, [1, 64, 1, 32]> x) "
        "{\ntensor<fp16, [1, 64, 1, 32]> y = gelu(x = x);\n} -> (y);\n}\n";
    const auto all = lint(mil::read(two), find_profile("m4"));
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].line, 4);
    EXPECT_EQ(all[1].line, 7);
    EXPECT_EQ(lint(mil::read(two), find_profile("m4"), "second").size(), 1U);
}

TEST(LintRoute, RealProgramsOnEveryChipAndRoute) {
    POME_REQUIRE_TEST_DATA(folder, "mil");
    std::size_t programs = 0, found = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.path().extension() != ".mil") {
            continue;
        }
        const mil::Program program = mil::read(read_text(entry.path()), entry.path().string());
        ++programs;
        for (const auto& chip : known_chips()) {
            for (const auto& route : known_routes()) {
                for (const Finding& finding : lint(program, find_profile(chip + "/" + route))) {
                    ++found;
                    EXPECT_FALSE(finding.rule.empty());
                    EXPECT_FALSE(finding.remedy.empty());
                    EXPECT_GT(finding.line, 0);
                }
            }
        }
    }
    EXPECT_GE(programs, 25U);
    EXPECT_GT(found, 0U);
}

}  // namespace
}  // namespace pome::device
