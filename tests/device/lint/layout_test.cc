#include "device/lint/lint_case.h"

namespace pome::device {
namespace {

TEST(LintLayout, TransposeMovesAxesUpToTheFamilysExtent) {
    const auto transpose = [](int size, const std::vector<int>& perm) {
        return program(
            value(fmt::format("1, {}, 32", size)),
            value("1, 1, 32", "y") + " = transpose(x = x, perm = " + integers(perm) + ");");
    };
    std::vector<Case> cases;
    for (const auto& [chip, most] : {std::pair{"m1", 16384},
                                     {"m2", 16384},
                                     {"m3", 16384},
                                     {"m4", 65536},
                                     {"m5", 65536},
                                     {"m6", 65536}}) {
        cases.push_back(
            {chip, "transpose_extent", transpose(most, {0, 2, 1}), transpose(most + 1, {0, -1, 1}),
             fmt::format("transpose moves axis 1 of fp16 [1,{0},32]: {0} elements, more "
                         "than {1} (line 4, %y); cut the axis and transpose the parts",
                         most + 1, most)});
        cases.push_back(cases.back());
        cases.back().inside = transpose(most + 1, {0, 1, 2});  // nothing moves
    }
    expect_limits(cases);
}

TEST(LintLayout, TransposeTakesSoManyElements) {
    const auto transpose = [](int rows) {
        return program(value(fmt::format("1, {}, 1, 4096", rows)),
                       value("1, 1, 1, 32", "y") +
                           " = transpose(x = x, perm = " + integers({0, 3, 2, 1}) + ");");
    };
    std::vector<Case> cases;
    for (const auto& [chip, most] : {std::pair{"m1", 8388607},
                                     {"m2", 8388607},
                                     {"m3", 8388607},
                                     {"m4", 16777215},
                                     {"m5", 16777215},
                                     {"m6", 16777215}}) {
        const int rows = (most + 1) / 4096;
        cases.push_back({chip, "transpose_elements", transpose(rows - 1), transpose(rows),
                         fmt::format("transpose of {} elements, more than {} (line 4, %y); cut the "
                                     "value and transpose the parts",
                                     most + 1, most)});
    }
    expect_limits(cases);
}

std::string slice(const std::vector<int>& begin) {
    return program(value("1, 64, 32, 64"),
                   value("1, 32, 16, 32", "y") + " = slice_by_size(x = x, begin = " +
                       integers(begin) + ", size = " + integers({1, 32, 16, 32}) + ");");
}

TEST(LintLayout, SlicesInsideTheWidth) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m1max", "m1/e5rt", "m3+slice-width-gain"}) {
        cases.push_back(
            {chip, "width_slice", slice({0, 8, 4, 0}), slice({0, 0, 0, 1}),
             "slice_by_size begins inside the width: values beyond 4094 become infinite "
             "(line 4, %y); slice another axis, or multiply by a constant selection "
             "matrix",
             Reaction::works});
    }
    expect_limits(cases);
    expect_free({"m3", "m4", "m5", "m6"}, "width_slice", slice({0, 0, 0, 1}));
}

std::string concat(int count, const std::string& axis = "int32(1)") {
    std::string values = "x";
    for (int i = 1; i < count; ++i) {
        values += ", x";
    }
    return program(value("1, 1, 1, 32"), value(fmt::format("1, {}, 1, 32", count), "y") +
                                             " = concat(values = (" + values + "), axis = " + axis +
                                             ", interleave = bool(false));");
}

TEST(LintLayout, Concat) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m1/e5rt"}) {
        cases.push_back(
            {chip, "concat_inputs", concat(2), concat(1),
             "concat of 1 value: _ANECompiler : ANECCompile() FAILED (line 4, %y); give "
             "two values at least"});
        cases.push_back({chip, "concat_axis", concat(2), concat(2, "int32(-3)"),
                         "concat along axis -3: _ANECompiler : ANECCompile() FAILED (line 4, %y); "
                         "count the axis from the front, as a constant"});
        cases.push_back({chip, "parallel_branches", concat(11), concat(12),
                         "concat of 12 values: from 12 branches into one op on, compiling takes "
                         "about 9 s (line 4, %y); concatenate in groups",
                         Reaction::works});
        cases.push_back(
            {chip, "required_argument", concat(2),
             program(value("1, 1, 1, 32"),
                     value("1, 2, 1, 32", "y") + " = concat(values = (x, x), axis = int32(1));"),
             "concat without interleave: _ANECompiler : ANECCompile() FAILED "
             "err=(InvalidMILProgram) (line 4, %y); give interleave, also where its default is "
             "meant"});
    }
    expect_limits(cases);
}

TEST(LintLayout, ConcatOfSlicesInsideTheWidth) {
    const auto joined = [](int first, int second) {
        const auto part = [](const char* name, int begin) {
            return value("1, 64, 1, 8", name) +
                   " = slice_by_size(x = x, begin = " + integers({0, 0, 0, begin}) +
                   ", size = " + integers({1, 64, 1, 8}) + ");\n";
        };
        return program(
            value("1, 64, 1, 32"),
            part("p", first) + part("q", second) + value("1, 64, 1, 16", "y") +
                " = concat(values = (p, q), axis = int32(3), interleave = bool(false));");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m2", "m2pro", "m2ultra", "m2/e5rt"}) {
        cases.push_back({chip, "concat_width_slices", joined(0, 8), joined(8, 16),
                         "concat of 2 slices that begin inside the width: wrong elements (line 6, "
                         "%y); slice another axis, or multiply by a constant selection matrix",
                         Reaction::zeros});
    }
    expect_limits(cases);
    expect_free({"m1", "m3", "m4", "m5", "m6"}, "concat_width_slices", joined(8, 16));
}

std::string pad(const std::vector<int>& sizes, const std::string& mode = "constant") {
    return program(value("1, 8, 8, 32"),
                   value("1, 8, 8, 34", "y") + " = pad(x = x, pad = " + integers(sizes) +
                       ", mode = string(\"" + mode + "\"), constant_val = fp16(0x0p+0));");
}

TEST(LintLayout, Padding) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m1/e5rt"}) {
        cases.push_back({chip, "channel_padding", pad({0, 0, 0, 0, 1, 1, 1, 1}),
                         pad({0, 0, 1, 0, 0, 0, 0, 0}),
                         "Channel padding is not supported on ANE (line 4, %y); concatenate "
                         "constants along the channels"});
    }
    for (const char* chip : {"m1", "m1ultra", "m1/e5rt"}) {
        for (const char* mode : {"reflect", "replicate"}) {
            cases.push_back(
                {chip, "reflect_padding", pad({0, 0, 1, 1}), pad({0, 0, 1, 1}, mode),
                 fmt::format("Architecture does not support padding mode. ({}) (line 4, "
                             "%y); concatenate slices of the value",
                             mode)});
        }
    }
    expect_limits(cases);
    expect_free({"m2", "m3", "m4", "m5", "m6"}, "reflect_padding", pad({0, 0, 1, 1}, "reflect"));
}

std::string tiled(const std::vector<int>& reps) {
    return program(value("1, 8, 1, 32"),
                   value("1, 8, 1, 64", "y") + " = tile(x = x, reps = " + integers(reps) + ");");
}

TEST(LintLayout, Tile) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m3/e5rt"}) {
        cases.push_back({chip, "tile_factor", tiled({1, 24, 1, 6}), tiled({1, 1, 1, 5}),
                         "tile by 5, no product of 2, 3, 4 and 8: _ANECompiler : ANECCompile() "
                         "FAILED (line 4, %y); concatenate the value with itself"});
    }
    for (const std::string chip : {"m3", "m3max", "m3ultra", "m3/client"}) {
        const std::string route = chip == "m3/client" ? "client" : "in-memory";
        cases.push_back({chip, "tile", concat(2), tiled({1, 1, 1, 2}),
                         "tile by the route " + route +
                             ": its evaluation fails with status=0x1d, and so does every later one "
                             "of the process (line 4, %y); concatenate the value with itself, or "
                             "let an op broadcast it",
                         Reaction::poisoned});
    }
    expect_limits(cases);
    expect_free({"m1", "m2", "m3/e5rt", "m4", "m5", "m6"}, "tile", tiled({1, 1, 1, 2}));
}

TEST(LintLayout, FactorsOfShufflesAndStrides) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m6", "m4/e5rt"}) {
        for (const auto& [op, argument] : {std::pair{"pixel_shuffle", "upscale_factor"},
                                           {"pixel_unshuffle", "downscale_factor"},
                                           {"depth_to_space", "block_size"},
                                           {"space_to_depth", "block_size"}}) {
            const auto shuffle = [op = op, argument = argument](int factor) {
                return unary(op, "1, 64, 8, 32", "1, 64, 8, 32",
                             fmt::format(", {} = int32({})", argument, factor));
            };
            for (const int inside : {2, 3, 4, 8}) {
                expect_free({chip}, "shuffle_factor", shuffle(inside));
            }
            cases.push_back({chip, "shuffle_factor", shuffle(4), shuffle(5),
                             fmt::format("{} by 5, which is not 2, 3, 4 or 8: _ANECompiler : "
                                         "ANECCompile() FAILED (line 4, %y); write it as reshape "
                                         "and transpose",
                                         op)});
        }
        const auto blocks = [&](int factor) {
            return unary("space_to_batch", "1, 64, 8, 32", "1, 64, 8, 32",
                         ", block_shape = " + integers({2, factor}));
        };
        cases.push_back({chip, "shuffle_factor", blocks(8), blocks(6),
                         "space_to_batch by 6, which is not 2, 3, 4 or 8: _ANECompiler : "
                         "ANECCompile() FAILED (line 4, %y); write it as reshape and transpose"});
        const auto strided = [&](int stride) {
            return unary("conv", "1, 64, 8, 32", "1, 64, 8, 32",
                         ", strides = " + integers({1, stride}));
        };
        cases.push_back(
            {chip, "stride_factor", strided(4), strided(5),
             "conv with stride 5, which is not 2, 3, 4 or 8, is cut into several passes "
             "(line 4, %y); use a stride of 2, 3, 4 or 8 where time matters",
             Reaction::works});
    }
    expect_limits(cases);
}

TEST(LintLayout, PoolWindows) {
    const auto pool = [](const std::string& op, int size) {
        return unary(op, "1, 64, 64, 64", "1, 64, 1, 64",
                     ", kernel_sizes = " + integers({1, size}) + ", ceil_mode = bool(false)");
    };
    std::vector<Case> cases;
    for (const auto& [chip, average, maximum] : {std::tuple{"m1", 29, 29},
                                                 {"m2", 31, 31},
                                                 {"m3", 31, 31},
                                                 {"m4", 31, 8},
                                                 {"m5", 31, 8},
                                                 {"m6", 31, 8}}) {
        for (const char* op : {"avg_pool", "l2_pool"}) {
            cases.push_back(
                {chip, "pool_window", pool(op, average), pool(op, average + 1),
                 fmt::format("{} over {} elements, It should be in [1,{}] (line 4, %y); "
                             "reduce with reduce_sum and mul",
                             op, average + 1, average)});
        }
        cases.push_back({chip, "pool_window", pool("max_pool", maximum),
                         pool("max_pool", maximum + 1),
                         fmt::format("max_pool over {} elements, It should be in [1,{}] (line 4, "
                                     "%y); pool twice with smaller windows",
                                     maximum + 1, maximum)});
    }
    expect_limits(cases);
}

TEST(LintLayout, WhatNeedsTheTextureEngine) {
    const auto op = [](const std::string& name) {
        return unary(name, "1, 8, 8, 32", "1, 8, 8, 32");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m1/e5rt"}) {
        for (const char* name : {"affine", "resample", "crop_resize"}) {
            cases.push_back({chip, "texture", op("relu"), op(name),
                             fmt::format("{} transform is not supported on this architecture (line "
                                         "4, %y); compute the samples on the host",
                                         name)});
        }
        cases.push_back({chip, "texture", op("relu"), op("resize_bilinear"),
                         "resize_bilinear has no texture engine here: software rounds differently "
                         "(line 4, %y); resample with matmul where the last bit matters",
                         Reaction::works});
    }
    expect_limits(cases);
    for (const char* name : {"affine", "resample", "crop_resize", "resize_bilinear"}) {
        expect_free({"m2", "m3", "m4", "m5", "m6"}, "texture", op(name));
    }
}

std::string gather(const std::string& shape, int count, int axis) {
    std::vector<int> indices(static_cast<std::size_t>(count), 0);
    return unary("gather", shape, "1, 1, 1, 32",
                 ", indices = " + integers(indices) + fmt::format(", axis = int32({})", axis));
}

TEST(LintLayout, Gather) {
    std::vector<Case> cases;
    cases.push_back({"m1", "gather_envelope", gather("1, 8, 8, 32", 3, 1),
                     gather("1, 8, 8, 32", 4, 1),
                     "gather of fp16 [1,8,8,32] by 4 indices: Cannot decompose layer on this "
                     "architecture (line 4, %y); write slices and concat, or multiply by a one-hot "
                     "matrix"});
    cases.push_back({"m1", "gather_envelope", gather("1, 8, 8, 32", 1, 1),
                     gather("2, 8, 8, 32", 1, 1),
                     "gather of fp16 [2,8,8,32] by 1 indices: Cannot decompose layer on this "
                     "architecture (line 4, %y); write slices and concat, or multiply by a one-hot "
                     "matrix"});
    for (const char* chip : {"m1", "m2", "m2/e5rt"}) {
        cases.push_back({chip, "gather_last_axis", gather("1, 8, 8, 32", 2, 2),
                         gather("1, 8, 8, 32", 2, -1),
                         "gather along the last axis of fp16 [1,8,8,32]: wrong elements (line 4, "
                         "%y); transpose, gather along another axis, transpose back",
                         Reaction::zeros});
    }
    expect_limits(cases);
    expect_free({"m2", "m3", "m4", "m5", "m6"}, "gather_envelope", gather("2, 8, 8, 32", 9, 1));
    expect_free({"m3", "m4", "m5", "m6"}, "gather_last_axis", gather("1, 8, 8, 32", 2, 3));
}

TEST(LintLayout, CompressedConstantsKeepTheirShape) {
    const auto reshaped = [](const std::string& made) {
        return program(value("1, 64, 1, 32"),
                       value("64, 64", "w") + " = " + made + ";\n" + value("64, 64, 1, 1", "r") +
                           " = reshape(x = w, shape = " + integers({64, 64, 1, 1}) + ");\n" +
                           value("1, 64, 1, 32", "y") + " = relu(x = x);");
    };
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m5/e5rt"}) {
        cases.push_back({chip, "constexpr_reshape", reshaped("relu(x = x)"),
                         reshaped("constexpr_lut_to_dense()[name = string(\"w\")]"),
                         "reshape of constexpr_lut_to_dense: _ANECompiler : ANECCompile() FAILED "
                         "(line 5, %r); store the constant in the shape that is used"});
    }
    expect_limits(cases);
}

}  // namespace
}  // namespace pome::device
