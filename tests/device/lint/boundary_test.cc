#include "device/lint/lint_case.h"

namespace pome::device {
namespace {

std::string relu(const std::string& shape, const std::string& dtype = "fp16") {
    return program(value(shape, "x", dtype), value(shape, "y", dtype) + " = relu(x = x);");
}

TEST(LintBoundary, RowsFillMultiplesOf64Bytes) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/client", "m1/client"}) {
        cases.push_back({chip, "row_bytes", relu("1, 64, 1, 32"), relu("1, 64, 1, 31"),
                         "input fp16 [1,64,1,31] has rows of 62 bytes, no multiple of 64 (line 3, "
                         "%x); pad its last axis to 32 elements",
                         Reaction::failed});
        cases.push_back({chip, "row_bytes", relu("1, 64, 1, 64"), relu("1, 64, 1, 33"),
                         "input fp16 [1,64,1,33] has rows of 66 bytes, no multiple of 64 (line 3, "
                         "%x); pad its last axis to 64 elements",
                         Reaction::zeros});
        cases.push_back({chip, "row_bytes", relu("1, 64, 1, 16", "fp32"),
                         relu("1, 64, 1, 8", "fp32"),
                         "input fp32 [1,64,1,8] has rows of 32 bytes, no multiple of 64 (line 3, "
                         "%x); pad its last axis to 16 elements",
                         Reaction::failed});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m4/e5rt", "m6/e5rt"}, "row_bytes", relu("1, 64, 1, 6"));
}

TEST(LintBoundary, SmallSurfacesAreAllocatedLarger) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m3/client"}) {
        cases.push_back({chip, "minimum_bytes", relu("1, 32, 1, 32"), relu("1, 31, 1, 32"),
                         "input fp16 [1,31,1,32] has 1984 bytes, a surface 2048 at least (line 3, "
                         "%x); allocate its surface with 2048 bytes; Pome does",
                         Reaction::works});
    }
    cases.push_back({"m4+minimum-49152", "minimum_bytes", relu("1, 768, 1, 32"),
                     relu("1, 767, 1, 32"),
                     "input fp16 [1,767,1,32] has 49088 bytes, a surface 49152 at least (line 3, "
                     "%x); allocate its surface with 49152 bytes; Pome does",
                     Reaction::works});
    expect_limits(cases);
    expect_free({"m1/e5rt", "m5/e5rt"}, "minimum_bytes", relu("1, 1, 1, 8"));
}

std::string sum_of(const std::string& a, const std::string& b) {
    return program(value("1, 64, 1, 32", a) + ", " + value("1, 64, 1, 32", b),
                   value("1, 64, 1, 32", "y") + " = add(x = " + a + ", y = " + b + ");");
}

TEST(LintBoundary, SurfacesOfOneKindHaveOneSize) {
    const auto product = [](int rows) {
        return program(
            value("1, 1, 64, 64", "a") + ", " + value(fmt::format("1, 1, 64, {}", rows), "b"),
            value(fmt::format("1, 1, 64, {}", rows), "y") + " = matmul(x = a, y = b);");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m5/client"}) {
        cases.push_back({chip, "equal_sizes", product(64), product(32),
                         "input fp16 [1,1,64,32] has 4096 bytes, the largest input 8192; surfaces "
                         "of one kind must have one size, or evaluations fail with status=0x1d "
                         "(line 3, %b); allocate its surface with 8192 bytes; Pome does",
                         Reaction::works});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m4/e5rt"}, "equal_sizes", product(32));
}

TEST(LintBoundary, InputsAndOutputsAreDeclaredInTheOrderOfNames) {
    const auto two = [](const std::string& outputs) {
        return program(value("1, 64, 1, 32"),
                       value("1, 64, 1, 32", "p") + " = relu(x = x);\n" +
                           value("1, 64, 1, 32", "q") + " = relu(x = x);",
                       outputs);
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/client"}) {
        cases.push_back({chip, "alphabetical", sum_of("a", "b"), sum_of("b", "a"),
                         "input 'a' is declared after 'b'; surfaces are bound in the order of "
                         "names, so others than meant would be used (line 3, %a); declare the "
                         "inputs in the order of their names",
                         Reaction::zeros});
        cases.push_back({chip, "alphabetical", sum_of("B", "a"), sum_of("a", "B"),
                         "input 'B' is declared after 'a'; surfaces are bound in the order of "
                         "names, so others than meant would be used (line 3, %B); declare the "
                         "inputs in the order of their names",
                         Reaction::zeros});
        cases.push_back({chip, "alphabetical", two("p, q"), two("q, p"),
                         "output 'p' is declared after 'q'; surfaces are bound in the order of "
                         "names, so others than meant would be used (line 3, %p); declare the "
                         "outputs in the order of their names",
                         Reaction::zeros});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m4/e5rt"}, "alphabetical", sum_of("b", "a"));
}

TEST(LintBoundary, DtypesThatCrossIt) {
    const auto copy = [](const std::string& dtype) {
        return program(value("1, 64, 1, 64", "x", dtype),
                       value("1, 64, 1, 64", "y", dtype) + " = identity(x = x);");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/e5rt", "m4/client"}) {
        cases.push_back(
            {chip, "io_dtype", copy("uint16"), copy("int32"),
             "input of type int32 [1,64,1,64] cannot cross the program's boundary (line "
             "3, %x); cast it to fp16 outside the program"});
        cases.push_back({chip, "io_dtype", copy("fp16"), copy("bf16"),
                         "Unsupported function input dtype bf16 (line 3, %x); cast it to fp16 "
                         "outside the program"});
        cases.push_back({chip, "int16_io", copy("uint16"), copy("int16"),
                         "input of type int16 [1,64,1,64]: int16 takes about 35 ms an evaluation "
                         "(line 3, %x); use fp16 or uint16",
                         Reaction::works});
    }
    expect_limits(cases);
    EXPECT_EQ(findings(program(value("1, 64"), value("1, 64", "y", "bf16") +
                                                   " = cast(x = x, dtype = string(\"bf16\"));"),
                       "m4/e5rt", "io_dtype"),
              std::vector<std::string>{"Unsupported function output dtype bf16 (line 3, %y, rule "
                                       "io_dtype); cast it to fp16 outside the program"});
}

TEST(LintBoundary, TheOldChipsRawRoutesDoNotCast) {
    const auto cast = [](const std::string& from, const std::string& to) {
        return program(
            value("1, 64, 1, 64", "x", from),
            value("1, 64, 1, 64", "y", to) + " = cast(x = x, dtype = string(\"" + to + "\"));");
    };
    std::vector<Case> cases;
    for (const std::string chip : {"m1", "m2", "m1max", "m1/client", "m2/client"}) {
        cases.push_back({chip, "fp32_cast", cast("fp16", "uint16"), cast("fp16", "fp32"),
                         "cast between fp32 and fp16: _ANECompiler : ANECCompile() FAILED "
                         "err=(InvalidMILProgram) (line 4, %y); keep the program in fp16 and "
                         "convert on the host"});
        cases.push_back({chip, "fp32_boundary", cast("fp16", "uint16"), cast("fp16", "fp32"),
                         "output of type fp32 [1,64,1,64] needs a cast, which " + chip +
                             " does not compile (line 3, %y); declare it fp16 and convert on the "
                             "host"});
    }
    expect_limits(cases);
    for (const char* rule : {"fp32_cast", "fp32_boundary"}) {
        expect_free({"m1/e5rt", "m2/e5rt", "m3", "m4", "m5", "m6"}, rule, cast("fp32", "fp16"));
    }
}

TEST(LintBoundary, OutputsDependOnInputs) {
    const std::string body = value("1, 64, 1, 32", "y") + " = relu(x = x);\n" +
                             "fp16 c = const()[name = string(\"c\"), val = fp16(0x1p+0)];";
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m4/e5rt"}) {
        cases.push_back({chip, "constant_output", program(value("1, 64, 1, 32"), body),
                         program(value("1, 64, 1, 32"), body, "y, c"),
                         "output 'c' is a constant, which the compiler removes: _ANECompiler : "
                         "ANECCompile() FAILED err=(InvalidMILProgram) (line 3, %c); return values "
                         "that depend on an input; compute constants on the host"});
    }
    expect_limits(cases);
}

TEST(LintBoundary, ConstantsEndAtTwoGigabytes) {
    const auto weights = [](long last) {
        std::string body;
        for (int i = 0; i < 2; ++i) {
            const std::string shape = fmt::format("32768, {}, 1, 1", i == 0 ? 16384 : last);
            body += value(shape, fmt::format("w{}", i)) +
                    " = const()[name = string(\"w\"), val = tensor<fp16, [" + shape +
                    "]>(BLOBFILE(path = string(\"@model_path/w.bin\"), offset = uint64(64)))];\n";
        }
        return program(value("1, 64, 1, 32"),
                       body + value("1, 64, 1, 32", "y") + " = relu(x = x);");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m5/e5rt"}) {
        cases.push_back({chip, "weight_bytes", weights(16384), weights(16385),
                         "2147549184 bytes of constants; a program with more than 2147483648 does "
                         "not load (line 3, %main); cut the program in several, or give weights as "
                         "inputs"});
    }
    expect_limits(cases);
}

}  // namespace
}  // namespace pome::device
