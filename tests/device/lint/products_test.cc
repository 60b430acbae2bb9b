#include "device/lint/lint_case.h"

namespace pome::device {
namespace {

/// A convolution whose weight is a file (or an input) of this shape; sizes of y do not matter here.
std::string conv(const std::string& x, const std::string& weight, const std::string& more = "",
                 bool runtime = false, const std::string& op = "conv") {
    const std::string y =
        value("1, 1, 1, 32", "y") + " = " + op + "(x = x, weight = w" + more + ");";
    if (runtime) {
        return program(value(weight, "w") + ", " + value(x), y);
    }
    return program(value(x), value(weight, "w") +
                                 " = const()[name = string(\"w\"), val = tensor<fp16, [" + weight +
                                 "]>(BLOBFILE(path = string(\"@model_path/w.bin\"), offset = "
                                 "uint64(64)))];\n" +
                                 y);
}

TEST(LintProducts, ConvolutionKernels) {
    std::vector<Case> cases;
    const auto wide = [](int size) {
        return conv("1, 8, 32, 32", fmt::format("8, 8, 1, {}", size));
    };
    const auto high = [](int size) {
        return conv("1, 8, 64, 32", fmt::format("8, 8, {}, 1", size));
    };
    for (const char* chip : {"m1", "m2", "m3", "m1/e5rt"}) {
        cases.push_back({chip, "conv_kernel_width", wide(13), wide(14),
                         "Invalid conv kernel width = 14, It should be in [1,13] (line 5, %y); cut "
                         "the kernel along the width and add the partial results"});
    }
    for (const char* chip : {"m1", "m2", "m3"}) {
        cases.push_back({chip, "conv_kernel_width", wide(1), wide(16),
                         "kW must be <=15, it is 16 (line 5, %y); cut the kernel along the width "
                         "and add the partial results"});
    }
    for (const char* chip : {"m4", "m5", "m6", "m4/e5rt"}) {
        cases.push_back({chip, "conv_kernel_width", wide(15), wide(16),
                         "kW must be <=15, it is 16 (line 5, %y); cut the kernel along the width "
                         "and add the partial results"});
    }
    for (const auto& [chip, most] :
         {std::pair{"m1", 29}, {"m2", 32}, {"m3", 32}, {"m4", 32}, {"m5", 32}, {"m6", 32}}) {
        cases.push_back(
            {chip, "conv_kernel_height", high(most), high(most + 1),
             fmt::format("Invalid conv kernel height = {}, It should be in [1,{}] (line "
                         "5, %y); cut the kernel along the height and add the partial "
                         "results",
                         most + 1, most)});
    }
    // Published pair on M1: 16 x 3 (height x width) runs, 3 x 16 does not.
    cases.push_back({"m1", "conv_kernel_width", conv("1, 8, 32, 32", "8, 8, 16, 3"),
                     conv("1, 8, 32, 32", "8, 8, 3, 16"),
                     "kW must be <=15, it is 16 (line 5, %y); cut the kernel along the width and "
                     "add the partial results"});
    for (const auto& [chip, most] :
         {std::pair{"m1", 7}, {"m2", 8}, {"m3", 8}, {"m4", 8}, {"m5", 8}, {"m6", 8}}) {
        const auto strided = [](int size, int stride) {
            return conv("1, 8, 32, 32", fmt::format("8, 8, 1, {}", size),
                        ", strides = " + integers({1, stride}), false, "conv_transpose");
        };
        cases.push_back({chip, "conv_transpose_kernel", strided(most, 2), strided(most + 1, 2),
                         fmt::format("Invalid conv kernel width = {}, It should be in [1,{}] along "
                                     "a strided axis (line 5, %y); put zeros between the input's "
                                     "elements and convolve with stride 1",
                                     most + 1, most)});
        cases.back().inside = strided(most + 1, 1);
        expect_limits({cases.back()});
        cases.back().inside = strided(most, 2);
    }
    expect_limits(cases);
}

TEST(LintProducts, ConvolutionsAreTwoDimensional) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m3", "m4", "m6", "m4/e5rt"}) {
        cases.push_back({chip, "conv_rank", conv("1, 8, 8, 32", "8, 8, 1, 1"),
                         conv("1, 8, 4, 8, 32", "8, 8, 1, 1, 1"),
                         "conv of fp16 [1,8,4,8,32]: Some ops are not supported on any of the "
                         "specified backends (line 5, %y); convolve planes: three-dimensional "
                         "convolutions do not lower"});
    }
    expect_limits(cases);
}

TEST(LintProducts, GroupsDivideTheChannels) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        cases.push_back({chip, "groups", conv("1, 8, 1, 32", "8, 2, 1, 1", ", groups = int32(4)"),
                         conv("1, 8, 1, 32", "9, 2, 1, 1", ", groups = int32(3)"),
                         "KernelChannels (2) != InputChannels (8) / Group (3) (line 5, %y); input "
                         "and output channels must be divisible by the groups"});
    }
    expect_limits(cases);
}

TEST(LintProducts, ConvolutionInputsOfTheRawRoutes) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/client"}) {
        cases.push_back(
            {chip, "conv_input_channels", conv("1, 31999, 1, 32", "32000, 31999, 1, 1"),
             conv("1, 32000, 1, 32", "8, 32000, 1, 1"),
             "conv of fp16 [1,32000,1,32]: more than 31999 input channels, _ANECompiler "
             ": ANECCompile() FAILED (line 5, %y); cut the channels and add the partial "
             "results"});
        cases.push_back({chip, "conv_bias", conv("1, 8, 1, 32", "8, 8, 1, 1"),
                         conv("1, 8, 1, 32", "8, 8, 1, 1", ", bias = w"),
                         "conv with a bias: _ANECompiler : ANECCompile() FAILED (line 5, %y); add "
                         "the bias, [1, C, 1, 1], in an add of its own"});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m4/e5rt"}, "conv_input_channels",
                conv("1, 32000, 1, 32", "8, 32000, 1, 1"));
    expect_free({"m1/e5rt", "m4/e5rt"}, "conv_bias",
                conv("1, 8, 1, 32", "8, 8, 1, 1", ", bias = w"));
}

TEST(LintProducts, ConvolutionsWithWeightsThatAreNoConstants) {
    const std::string x = "1, 32, 1, 32", w = "32, 32, 1, 1";
    const std::string grouped = ", groups = int32(4)";
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m1max", "m1/client"}) {
        const std::string route = std::string(chip) == "m1/client" ? "client" : "in-memory";
        cases.push_back({chip, "runtime_conv_weight", conv(x, w), conv(x, w, "", true),
                         "conv with a weight that is no constant: the route " + route +
                             " computes zeros (line 4, %y); multiply with matmul: for kernels "
                             "beyond 1 x 1 lay the input out in columns first",
                         Reaction::zeros});
        cases.push_back({chip, "runtime_conv_weight", conv(x, w, grouped),
                         conv(x, w, grouped, true),
                         "conv with a weight that is no constant: _ANECompiler : ANECCompile() "
                         "FAILED err=(InvalidMILProgram) (line 4, %y); multiply with matmul: for "
                         "kernels beyond 1 x 1 lay the input out in columns first"});
    }
    for (const char* chip : {"m3", "m3max", "m3ultra"}) {
        cases.push_back(
            {chip, "runtime_conv_weight", conv(x, w), conv(x, w, "", true),
             "conv with a weight that is no constant: the route in-memory computes "
             "without the weight (line 4, %y); multiply with matmul: for kernels beyond "
             "1 x 1 lay the input out in columns first",
             Reaction::ignored});
    }
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m1/e5rt"}) {
        cases.push_back({chip, "runtime_conv_weight_batch", conv("1, 32, 1, 32", w, "", true),
                         conv("2, 32, 1, 32", w, "", true),
                         "conv of fp16 [2,32,1,32] with a weight that is no constant: with a batch "
                         "of 2 or more the compiler's process dies (lost helper application) (line "
                         "4, %y); convolve one image at a time, or multiply with matmul"});
        expect_free({chip}, "runtime_conv_weight_batch", conv("2, 32, 1, 32", w));
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m2", "m3/e5rt", "m4", "m5", "m6"}, "runtime_conv_weight",
                conv(x, w, "", true));
}

std::string matmul(const std::string& x, const std::string& y, const std::string& more = "") {
    return program(value(x, "a") + ", " + value(y, "b"),
                   value("1, 1, 1, 32", "y") + " = matmul(x = a, y = b" + more + ");");
}

TEST(LintProducts, MatmulRanksAndSums) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/e5rt"}) {
        cases.push_back({chip, "matmul_rank", matmul("1, 1, 8, 32", "1, 1, 32, 32"),
                         matmul("1, 1, 1, 8, 32", "1, 1, 1, 32, 32"),
                         "matmul of fp16 [1,1,1,8,32]: Some ops are not supported on any of the "
                         "specified backends (line 4, %y); merge the leading axes with reshape"});
        cases.push_back({chip, "linear_rank",
                         program(value("1, 1, 8, 32"),
                                 value("1, 1, 8, 32", "y") + " = linear(x = x, weight = x);"),
                         program(value("1, 1, 1, 8, 32"),
                                 value("1, 1, 1, 8, 32", "y") + " = linear(x = x, weight = x);"),
                         "ANE cannot support Linear with input rank >= 5: fp16 [1,1,1,8,32] (line "
                         "4, %y); merge the leading axes with reshape"});
    }
    struct Row {
        const char* chip;
        int family, most;
    };
    for (const Row& row : {Row{"m1", 2, 16384},
                           {"m2", 3, 16384},
                           {"m3", 4, 16384},
                           {"m4", 4, 65536},
                           {"m5", 5, 65536},
                           {"m6", 6, 65536},
                           {"m4+inner-32768", 4, 32768}}) {
        const std::string text = fmt::format(
            "matmul sums {} products: can not fit the Kmem, ANE family {} takes {} (line 4, %y); "
            "cut the inner axis and add the partial products",
            row.most + 32, row.family, row.most);
        const auto plain = [](int k) {
            return matmul(fmt::format("1, 1, 32, {}", k), fmt::format("1, 1, {}, 32", k));
        };
        const auto turned = [](int k) {
            return matmul(fmt::format("1, 1, {}, 32", k), fmt::format("1, 1, {}, 32", k),
                          ", transpose_x = bool(true)");
        };
        cases.push_back({row.chip, "matmul_inner", plain(row.most), plain(row.most + 32), text});
        cases.push_back({row.chip, "matmul_inner", turned(row.most), turned(row.most + 32), text});
    }
    for (const char* chip : {"m1", "m1ultra", "m1/client"}) {
        const std::string route = std::string(chip) == "m1/client" ? "client" : "in-memory";
        cases.push_back({chip, "matmul_inner_multiple", matmul("1, 1, 8, 64", "1, 1, 64, 32"),
                         matmul("1, 1, 8, 63", "1, 1, 63, 32"),
                         "matmul sums 63 products, no multiple of 32: the route " + route +
                             " gives zeros (line 4, %y); pad the inner axis with zeros to 64",
                         Reaction::zeros});
    }
    expect_limits(cases);
    // What the engine itself computed is no surface.
    expect_free(
        {"m1"}, "matmul_inner_multiple",
        program(value("1, 1, 63, 32"), value("1, 1, 63, 32", "r") + " = relu(x = x);\n" +
                                           value("1, 1, 32, 32", "y") +
                                           " = matmul(x = r, y = r, transpose_x = bool(true));"));
    expect_free({"m1/e5rt", "m2", "m3", "m4", "m5", "m6"}, "matmul_inner_multiple",
                matmul("1, 1, 8, 63", "1, 1, 63, 32"));
}

TEST(LintProducts, MatmulOfATransposedValueOfRankFive) {
    const auto transposed = [](const std::string& shape, const std::vector<int>& perm) {
        return program(value(shape),
                       value(shape, "t") + " = transpose(x = x, perm = " + integers(perm) + ");\n" +
                           value("1, 1, 32, 32", "r") +
                           " = reshape(x = t, shape = " + integers({1, 1, 32, 32}) + ");\n" +
                           value("1, 1, 32, 32", "y") + " = matmul(x = r, y = r);");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        cases.push_back(
            {chip, "transpose_matmul_rank", transposed("1, 1, 32, 32", {0, 1, 3, 2}),
             transposed("1, 1, 1, 32, 32", {0, 1, 2, 4, 3}),
             "matmul of a transposed rank-5 value: _ANECompiler : ANECCompile() FAILED, "
             "err=11 (line 6, %y); reshape to rank 4 before the transpose"});
    }
    expect_limits(cases);
}

std::string attention(int queries, int keys, const std::string& mask = "") {
    const auto side = [](int n, const char* name) {
        return value(fmt::format("1, 8, {}, 64", n), name);
    };
    return program(side(keys, "k") + (mask.empty() ? "" : ", " + value(mask, "m")) + ", " +
                       side(queries, "q") + ", " + side(keys, "v"),
                   side(queries, "y") +
                       " = scaled_dot_product_attention(query = q, key = k, value = v" +
                       (mask.empty() ? "" : ", attn_mask = m") + ");");
}

TEST(LintProducts, AttentionMasks) {
    std::vector<Case> cases;
    for (const std::string chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m4/client"}) {
        const std::string route = chip == "m4/client" ? "client" : "in-memory";
        cases.push_back({chip, "attention_mask", attention(64, 64),
                         attention(64, 64, "1, 1, 64, 64"),
                         "scaled_dot_product_attention: the route " + route +
                             " ignores attn_mask, every query sees every key (line 4, %y); write "
                             "attention as matmul, add of the mask, softmax, matmul",
                         Reaction::ignored});
    }
    for (const char* chip : {"m1/e5rt", "m5/e5rt"}) {
        cases.push_back({chip, "attention_mask_shape", attention(64, 64, "1, 1, 64, 64"),
                         attention(64, 64, "1, 8, 64, 64"),
                         "attn_mask fp16 [1,8,64,64]: all heads use one plane, others are "
                         "misapplied (line 4, %y); write attention as matmul, add of the mask, "
                         "softmax, matmul",
                         Reaction::zeros});
        cases.push_back({chip, "attention_mask_shape", attention(1, 64, "1, 1, 1, 64"),
                         attention(64, 64, "1, 1, 1, 64"),
                         "attn_mask fp16 [1,1,1,64] has one row for 64 queries: it is read beyond "
                         "its end (line 4, %y); repeat the row for every query",
                         Reaction::zeros});
    }
    expect_limits(cases);
    expect_free({"m1/e5rt", "m5/e5rt"}, "attention_mask", attention(64, 64, "1, 1, 64, 64"));
}

TEST(LintProducts, AttentionLengths) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5", "m1/e5rt", "m5/e5rt", "m6/e5rt"}) {
        cases.push_back({chip, "sdpa_sequence", attention(64, 2048), attention(64, 2049),
                         "scaled_dot_product_attention over 2049 positions: beyond 2048 the result "
                         "is garbage (line 4, %y); write attention as matmul, add of the mask, "
                         "softmax, matmul",
                         Reaction::zeros});
        cases.push_back({chip, "sdpa_sequence", attention(511, 2048), attention(512, 512),
                         "scaled_dot_product_attention of 512 queries and 512 keys: with both "
                         "beyond 511 the result is garbage (line 4, %y); give at most 511 queries "
                         "at a time",
                         Reaction::zeros});
    }
    expect_limits(cases);
}

}  // namespace
}  // namespace pome::device
