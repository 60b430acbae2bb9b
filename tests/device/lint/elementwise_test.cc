#include "device/lint/lint_case.h"

namespace pome::device {
namespace {

std::string of(const std::string& op, const std::string& shape = "1, 64, 1, 32") {
    return unary(op, shape, shape);
}

TEST(LintElementwise, OpsThatSomeFamiliesOrRoutesLack) {
    std::vector<Case> cases;
    for (const auto& [chip, family] :
         {std::pair{"m1", 2}, {"m2", 3}, {"m1/e5rt", 2}, {"m2max", 3}}) {
        for (const char* op : {"sin", "cos"}) {
            cases.push_back({chip, "trigonometry", of("atan"), of(op),
                             fmt::format("{} requires ANE family >= 4, this is family {} (line 4, "
                                         "%y); compute a polynomial, or a table on the host",
                                         op, family)});
        }
        cases.push_back({chip, "random", of("relu"), of("random_uniform"),
                         "Random layer is not supported on this architecture. (line 4, %y); draw "
                         "the numbers on the host and give them as an input"});
    }
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/client"}) {
        cases.push_back({chip, "gelu", of("tanh"), of("gelu"),
                         "gelu: _ANECompiler : ANECCompile() FAILED (line 4, %y); write it with "
                         "tanh or sigmoid"});
    }
    expect_limits(cases);
    expect_free({"m3", "m4", "m5", "m6", "m3/e5rt"}, "trigonometry", of("sin"));
    expect_free({"m3", "m4", "m5", "m6"}, "random", of("random_uniform"));
    expect_free({"m1/e5rt", "m4/e5rt"}, "gelu", of("gelu"));
}

TEST(LintElementwise, InverseOnlyByRoutesThatHaveIt) {
    const std::string inverse =
        unary("inverse", "1, 64, 1, 32", "1, 64, 1, 32", ", epsilon = fp16(0x1p-10)");
    const std::string quotient =
        program(value("1, 64, 1, 32"),
                value("1, 64, 1, 32", "y") + " = real_div(x = fp16(0x1p+0), y = x);");
    std::vector<Case> cases;
    for (const char* profile : {"m1", "m4", "m6", "m4/client"}) {
        cases.push_back({profile, "inverse", quotient, inverse,
                         "inverse: _ANECompiler : ANECCompile() FAILED (line 4, %y); divide 1 with "
                         "real_div"});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m4/e5rt", "m6/e5rt"}, "inverse", inverse);
}

std::string square_then(const std::string& op, int width) {
    const std::string shape = fmt::format("1, 64, 1, {}", width);
    return program(value(shape), value(shape, "s") + " = square(x = x);\n" + value(shape, "y") +
                                     " = " + op + "(x = s);");
}

TEST(LintElementwise, SquareBeforeAnActivation) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m1/e5rt"}) {
        for (const auto& [inside, outside] : {std::pair{64, 65}, std::pair{128, 127}}) {
            cases.push_back({chip, "square_activation_width", square_then("relu", inside),
                             square_then("relu", outside),
                             fmt::format("relu of square over a width of {0}, {0} mod 128 is above "
                                         "64: _ANECompiler : ANECCompile() FAILED (line 5, %y); "
                                         "write mul(x, x) for square",
                                         outside)});
        }
        expect_free({chip}, "square_activation_width", square_then("reduce_sum", 65));
    }
    expect_limits(cases);
    expect_free({"m3", "m4", "m5", "m6"}, "square_activation_width", square_then("relu", 65));
}

std::string rounded_times(const std::string& op, const std::string& factor) {
    return program(value("1, 64, 1, 32"), value("1, 64, 1, 32", "r") + " = " + op + "(x = x);\n" +
                                              value("1, 64, 1, 32", "y") +
                                              " = mul(x = r, y = " + factor + ");");
}

TEST(LintElementwise, AScalarFactorAfterRoundingIsLost) {
    std::string full = "tensor<fp16, [1, 1, 1, 2]>([[[[0x1p-1, 0x1p-1]]]])";
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m5/e5rt"}) {
        for (const char* op : {"floor", "ceil", "round"}) {
            cases.push_back(
                {chip, "rounding_scale", rounded_times(op, full),
                 rounded_times(op, "tensor<fp16, [1, 1]>([[-0x1.34p+0]])"),
                 fmt::format("mul by one number right after {}: the chip leaves the mul "
                             "out (line 5, %y); multiply by a constant of the full "
                             "shape",
                             op),
                 Reaction::ignored});
        }
        expect_free({chip}, "rounding_scale", rounded_times("relu", "fp16(0x1p-1)"));
    }
    expect_limits(cases);
}

std::string sum(const std::string& a, const std::string& b, const std::string& op = "add") {
    return program(value(a, "a") + ", " + value(b, "b"),
                   value(a, "y") + " = " + op + "(x = a, y = b);");
}

TEST(LintElementwise, RepeatedOperands) {
    std::vector<Case> cases;
    for (const std::string chip : {"m1", "m1pro", "m1/client"}) {
        const std::string route = chip == "m1/client" ? "client" : "in-memory";
        cases.push_back({chip, "channel_broadcast", sum("1, 64, 32", "1, 64, 32"),
                         sum("1, 64, 32", "1, 64, 1"),
                         "add of fp16 [1,64,32] and fp16 [1,64,1]: the route " + route +
                             " gives zeros when it repeats a channel's value along the width (line "
                             "4, %y); give both operands the full shape, or rank 4",
                         Reaction::zeros});
        expect_free({chip}, "channel_broadcast", sum("1, 64, 1, 32", "1, 64, 1, 1"));
    }
    for (const char* chip : {"m3", "m3max", "m3/client"}) {
        cases.push_back(
            {chip, "batch_broadcast", sum("2, 64, 1, 32", "2, 64, 1, 32", "mul"),
             sum("2, 64, 1, 32", "1, 64, 1, 32", "mul"),
             "mul that repeats an operand along axis 0 is unreliable (line 4, %y); give "
             "both operands the full batch",
             Reaction::works});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m2", "m3", "m4", "m5", "m6"}, "channel_broadcast",
                sum("1, 64, 32", "1, 64, 1"));
    expect_free({"m1", "m2", "m3/e5rt", "m4", "m5", "m6"}, "batch_broadcast",
                sum("2, 64, 1, 32", "1, 64, 1, 32", "mul"));
}

TEST(LintElementwise, BytesAreCastFirst) {
    const auto add = [](const std::string& dtype) {
        return program(value("1, 64, 1, 64", "x", dtype),
                       value("1, 64, 1, 64", "y", dtype) + " = add(x = x, y = x);");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        cases.push_back({chip, "uint8_arithmetic", add("fp16"), add("uint8"),
                         "Param 'x' of add must be floating point; got tensor<uint8,[1,64,1,64]> "
                         "(line 4, %y); cast or dequantize it to fp16 first"});
        cases.push_back(
            {chip, "prelu_rank", of("prelu", "1, 64, 32"), of("prelu", "64, 32"),
             "prelu of fp16 [64,32]: Some ops are not supported on any of the specified "
             "backends (line 4, %y); reshape to rank 3 or more, channels on axis 1"});
    }
    expect_limits(cases);
}

}  // namespace
}  // namespace pome::device
