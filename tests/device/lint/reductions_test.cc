#include "device/lint/lint_case.h"

namespace pome::device {
namespace {

std::string along(const std::string& op, int size, const std::string& more = ", axis = int32(-1)") {
    return unary(op, fmt::format("1, 8, {}", size), "1, 8, 32", more);
}

TEST(LintReductions, NormsOnlyByRoutesThatHaveThem) {
    const std::string shape = "1, 64, 1, 32";
    const auto of = [&](const std::string& op) {
        return op == "l2_norm" ? unary(op, shape, shape, ", epsilon = fp16(0x1p-10)")
                               : unary(op, shape, shape,
                                       ", axes = tensor<int32, [1]>([1]), epsilon = fp16(0x1p-10)");
    };
    std::vector<Case> cases;
    for (const char* profile : {"m1", "m4", "m6", "m4/client"}) {
        for (const std::string op : {"layer_norm", "l2_norm"}) {
            cases.push_back({profile, "norms", unary("relu", shape, shape), of(op),
                             op + ": _ANECompiler : ANECCompile() FAILED err=(InvalidMILProgram) "
                                  "(line 4, %y); write it as sums, products and roots"});
        }
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m4/e5rt", "m6/e5rt"}, "norms", of("layer_norm"));
}

TEST(LintReductions, ArgmaxLooksAt2048Elements) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m1/e5rt"}) {
        for (const char* op : {"reduce_argmax", "reduce_argmin"}) {
            cases.push_back({chip, "argmax_axis", along(op, 2048), along(op, 2049),
                             fmt::format("{} over 2049 elements, more than 2048: _ANECompiler : "
                                         "ANECCompile() FAILED (line 4, %y); cut the axis, or find "
                                         "the index on the host",
                                         op)});
        }
    }
    for (const auto& [chip, family] : {std::pair{"m1", 2}, {"m2", 3}}) {
        cases.push_back({chip, "global_arg", along("reduce_argmax", 32), along("reduce_argmin", 32),
                         fmt::format("reduce_argmin requires ANE family >= 4, this is family {} "
                                     "(line 4, %y); take reduce_argmax of the negated values",
                                     family)});
    }
    expect_limits(cases);
    expect_free({"m3", "m4", "m5", "m6"}, "global_arg", along("reduce_argmin", 32));
}

TEST(LintReductions, WhatTheRawRoutesRefuse) {
    const std::string more = ", axes = " + integers({-1}) + ", keep_dims = bool(true)";
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/client"}) {
        cases.push_back({chip, "reduce_mean", along("reduce_sum", 64, more),
                         along("reduce_mean", 64, more),
                         "reduce_mean: _ANECompiler : ANECCompile() FAILED err=(InvalidMILProgram) "
                         "(line 4, %y); write reduce_sum and mul by 1/n"});
    }
    cases.push_back({"m4+softmax-power-of-two", "softmax_power_of_two", along("softmax", 64),
                     along("softmax", 96),
                     "softmax over 96 elements, no power of two: _ANECompiler : ANECCompile() "
                     "FAILED err=(InvalidMILProgram) (line 4, %y); pad the axis with very negative "
                     "values to a power of two"});
    expect_limits(cases);
    expect_free({"m1/e5rt", "m4/e5rt"}, "reduce_mean", along("reduce_mean", 64, more));
    expect_free({"m1", "m4", "m4/e5rt"}, "softmax_power_of_two", along("softmax", 96));
}

TEST(LintReductions, Topk) {
    const auto topk = [](int k, int size) {
        return along("topk", size, fmt::format(", k = int32({}), axis = int32(-1)", k));
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1+topk-m1", "m2", "m3", "m4", "m5", "m6", "m5/e5rt"}) {
        cases.push_back({chip, "topk_k", topk(2, 64), topk(3, 64),
                         "topk with k = 3: _ANECompiler : ANECCompile() FAILED (line 4, %y); ask "
                         "for 5 and drop what is too much"});
        cases.push_back({chip, "topk_k", topk(5, 64), topk(4, 64),
                         "topk with k = 4: _ANECompiler : ANECCompile() FAILED (line 4, %y); ask "
                         "for 5 and drop what is too much"});
        cases.push_back({chip, "topk_axis", topk(5, 2048), topk(5, 2049),
                         "topk over 2049 elements: its indices are fp16 numbers, exact up to 2048 "
                         "(line 4, %y); cut the axis, or use the values only",
                         Reaction::works});
        expect_free({chip}, "topk", topk(5, 64));
    }
    for (const char* chip : {"m1", "m1max", "m1/e5rt"}) {
        cases.push_back(
            {chip, "topk", along("reduce_max", 64), topk(5, 64),
             "topk requires ANE family >= 3, this is family 2 (line 4, %y); repeat amax "
             "and select, or choose on the host"});
    }
    expect_limits(cases);
}

/// y = op of the mean of squares, through a factor and an epsilon.
std::string root(const std::string& op, const std::string& reduced, const std::string& more) {
    const std::string v = value("1, 64, 1, 32", "s");
    return program(value("1, 64, 1, 32"),
                   v + " = " + reduced + ";\n" + value("1, 64, 1, 32", "m") +
                       " = mul(x = s, y = fp16(0x1p-6));\n" + value("1, 64, 1, 32", "e") +
                       " = add(x = fp16(0x1p-14), y = m);\n" + value("1, 64, 1, 32", "y") + " = " +
                       op + "(x = e" + more + ");");
}

TEST(LintReductions, RootsAfterAReduction) {
    const std::string sum =
        "reduce_sum(x = x, axes = " + integers({1}) + ", keep_dims = bool(true))";
    std::vector<Case> cases;
    for (const char* chip : {"m4", "m4pro", "m4max", "m4/client"}) {
        cases.push_back(
            {chip, "rsqrt_after_reduction",
             root("rsqrt", "relu(x = x)", ", epsilon = fp16(0x0p+0)"),
             root("rsqrt", sum, ", epsilon = fp16(0x0p+0)"),
             "rsqrt after reduce_sum: _ANECompiler : ANECCompile() FAILED (line 7, %y); "
             "write pow with the exponent -0.5"});
        cases.push_back({chip, "rsqrt_after_reduction", root("sqrt", "relu(x = x)", ""),
                         root("sqrt", sum, ""),
                         "sqrt after reduce_sum: _ANECompiler : ANECCompile() FAILED (line 7, %y); "
                         "write pow with the exponent 0.5"});
        expect_free({chip}, "rsqrt_after_reduction", root("pow", sum, ", y = fp16(-0x1p-1)"));
    }
    expect_limits(cases);
    expect_free({"m1", "m2", "m3", "m5", "m6", "m4/e5rt"}, "rsqrt_after_reduction",
                root("sqrt", sum, ""));
}

TEST(LintReductions, AReductionTimesZero) {
    const auto product = [](const std::string& op, const std::string& factor) {
        return program(value("1, 64, 1, 32"), value("1, 1, 1, 32", "s") + " = " + op + ";\n" +
                                                  value("1, 1, 1, 32", "y") +
                                                  " = mul(x = s, y = " + factor + ");");
    };
    const std::string sum =
        "reduce_sum(x = x, axes = " + integers({1}) + ", keep_dims = bool(true))";
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m5/e5rt"}) {
        cases.push_back(
            {chip, "multiply_reduced_by_zero", product(sum, "fp16(0x1p-24)"),
             product(sum, "fp16(0x0p+0)"),
             "mul of reduce_sum by 0, zero in fp16: _ANECompiler : ANECCompile() FAILED "
             "(line 5, %y); leave the product out, or scale the values before the "
             "reduction"});
        cases.push_back({chip, "multiply_reduced_by_zero", product("relu(x = x)", "fp16(0x0p+0)"),
                         product(sum, "fp32(0x1p-30)"),
                         fmt::format("mul of reduce_sum by {}, zero in fp16: _ANECompiler : "
                                     "ANECCompile() FAILED (line 5, %y); leave the product out, or "
                                     "scale the values before the reduction",
                                     0x1p-30)});
    }
    expect_limits(cases);
}

std::string layer_norm(int size, bool gamma, bool beta, bool live = true) {
    const std::string shape = fmt::format("{}", size);
    std::string body, more;
    for (const auto& [name, given] : {std::pair{"gamma", gamma}, std::pair{"beta", beta}}) {
        if (given) {
            const std::string type = fmt::format("tensor<fp16, [{}]>", size);
            body += type + " " + name + " = const()[name = string(\"" + name + "\"), val = " + type;
            if (live) {
                body += "(BLOBFILE(path = string(\"@model_path/w.bin\"), offset = uint64(64)))];\n";
            } else {
                std::string ones;
                for (int i = 0; i < size; ++i) {
                    ones += i == 0 ? "1" : ", 1";
                }
                body += "([" + ones + "])];\n";
            }
            more += std::string(", ") + name + " = " + name;
        }
    }
    return program(value("1, 512, " + shape), body + value("1, 512, " + shape, "y") +
                                                  " = layer_norm(x = x, axes = " + integers({-1}) +
                                                  more + ", epsilon = fp16(0x1p-14));");
}

TEST(LintReductions, WideLayerNormsWithGammaOrBeta) {
    std::vector<Case> cases;
    const auto one = [](int size) {
        return fmt::format(
            "layer_norm over {} elements with one of gamma and beta: _ANECompiler : "
            "ANECCompile() FAILED, err=11 (line 5, %y); give both, or multiply and "
            "add on the last axis in ops of their own",
            size);
    };
    for (const char* chip : {"m1", "m2", "m2pro", "m1/e5rt"}) {
        cases.push_back({chip, "layer_norm_affine", layer_norm(1023, true, false),
                         layer_norm(1024, true, false), one(1024)});
        cases.push_back({chip, "layer_norm_affine", layer_norm(1024, true, true),
                         layer_norm(1024, false, true), one(1024)});
        cases.push_back({chip, "layer_norm_affine", layer_norm(1024, true, false, false),
                         layer_norm(1536, true, false), one(1536)});
    }
    // Published for M2 Pro, size by size.
    for (const int fails : {1024, 1536, 2560, 4096, 10240, 12288, 16384}) {
        cases.push_back({"m2", "layer_norm_affine", layer_norm(512, true, false),
                         layer_norm(fails, true, false), one(fails)});
    }
    for (const int passes : {512, 768, 2048, 3072, 3584, 5120, 6144, 8192}) {
        expect_free({"m2", "m2pro"}, "layer_norm_affine", layer_norm(passes, true, false));
    }
    for (const char* chip : {"m5", "m5pro", "m5/e5rt"}) {
        cases.push_back(
            {chip, "layer_norm_affine", layer_norm(10239, true, true),
             layer_norm(10240, true, true),
             "layer_norm over 10240 elements with gamma and beta compiles, but does not "
             "run from 10240 on (line 6, %y); multiply and add on the last axis in ops "
             "of their own",
             Reaction::failed});
    }
    expect_limits(cases);
    expect_free({"m3", "m4", "m5", "m6"}, "layer_norm_affine", layer_norm(1024, true, false));
    expect_free({"m3", "m4", "m6"}, "layer_norm_affine", layer_norm(10240, true, true));
}

TEST(LintReductions, LocalResponseNormTakes15Channels) {
    const auto lrn = [](int channels) {
        return unary("local_response_norm", fmt::format("1, {}, 8, 32", channels),
                     fmt::format("1, {}, 8, 32", channels), ", size = int32(3)");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m1/e5rt"}) {
        cases.push_back({chip, "lrn_channels", lrn(15), lrn(16),
                         "local_response_norm of fp16 [1,16,8,32]: more than 15 channels, "
                         "_ANECompiler : ANECCompile() FAILED (line 4, %y); sum the squares with a "
                         "convolution"});
    }
    expect_limits(cases);
}

}  // namespace
}  // namespace pome::device
