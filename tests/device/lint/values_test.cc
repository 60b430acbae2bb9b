#include "device/lint/lint_case.h"

namespace pome::device {
namespace {

std::string sized(const std::string& shape) {
    return unary("relu", shape, shape);
}

TEST(LintValues, AxesEndWhereTheFamilyEnds) {
    struct Row {
        const char* chip;
        const char* family;
        int most;
    };
    std::vector<Case> cases;
    for (const Row& row : {Row{"m1", "2", 16384},
                           {"m2", "3", 16384},
                           {"m3", "4", 16384},
                           {"m4", "4", 65536},
                           {"m5", "5", 65536},
                           {"m5pro", "6", 65536},
                           {"m6", "6", 65536},
                           {"m1/e5rt", "2", 16384},
                           {"m4/client", "4", 65536}}) {
        const int beyond = row.most + 1;
        for (const std::string& shape : {std::string("1, 1, 1, {}"), std::string("1, 1, {}, 32"),
                                         std::string("{}, 32"), std::string("1, 1, {}, 1, 32")}) {
            const auto with = [&](int size) { return fmt::format(fmt::runtime(shape), size); };
            std::string told = with(beyond);
            std::erase(told, ' ');
            const int axis = shape == "{}, 32" ? 0 : shape == "1, 1, 1, {}" ? 3 : 2;
            cases.push_back({row.chip, "max_width", sized(with(row.most)), sized(with(beyond)),
                             fmt::format("axis {} of fp16 [{}] exceeds ANE family {}'s max "
                                         "dimension {}: {} (line 3, %x); split the axis into "
                                         "several values",
                                         axis, told, row.family, row.most, beyond)});
        }
    }
    expect_limits(cases);
}

TEST(LintValues, ChannelsAndBatchHaveLimitsOfTheirOwn) {
    std::vector<Case> cases;
    for (const auto& [chip, family] :
         {std::pair{"m1", 2}, {"m2", 3}, {"m3", 4}, {"m4", 4}, {"m5", 5}, {"m6", 6}}) {
        cases.push_back({chip, "max_channels", sized("1, 65536, 1, 32"), sized("1, 65537, 1, 32"),
                         fmt::format("axis 1 of fp16 [1,65537,1,32] exceeds ANE family {}'s max "
                                     "dimension 65536: 65537 (line 3, %x); split the axis into "
                                     "several values",
                                     family)});
        cases.push_back({chip, "max_batch", sized("65536, 1, 1, 32"), sized("65537, 1, 1, 32"),
                         fmt::format("axis 0 of fp16 [65537,1,1,32] exceeds ANE family {}'s max "
                                     "dimension 65536: 65537 (line 3, %x); split the axis into "
                                     "several values",
                                     family)});
    }
    expect_limits(cases);
}

TEST(LintValues, RanksEndAtFive) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m2", "m3", "m4", "m5", "m6", "m1/e5rt", "m4/client"}) {
        cases.push_back({chip, "max_rank", sized("1, 1, 1, 1, 32"), sized("1, 1, 1, 1, 1, 32"),
                         "tensor rank 6 exceeds the ANE maximum of 5 (line 3, %x); merge axes with "
                         "reshape"});
    }
    expect_limits(cases);
}

TEST(LintValues, SizesAreKnownAndNotZero) {
    std::vector<Case> cases;
    for (const char* chip : {"m1", "m4", "m6/e5rt"}) {
        cases.push_back({chip, "static_shape", sized("1, 8, 1, 32"), sized("1, ?, 1, 32"),
                         "fp16 [1,?,1,32] has unknown sizes: Not implemented: Some ops are not "
                         "supported on any of the specified backends (line 3, %x); export the "
                         "program with static shapes"});
        cases.push_back({chip, "empty_axis", sized("1, 8"), sized("0, 8"),
                         "Expected tensor<fp16,[1,8]>; got tensor<fp16,[0,8]> (line 3, %x); give "
                         "every axis one element at least"});
    }
    expect_limits(cases);
}

TEST(LintValues, ConstantsMayBeLargerThanValues) {
    const std::string body =
        "tensor<fp16, [32, 20000, 1, 1]> w = const()[name = string(\"w\"), val = tensor<fp16, [32, "
        "20000, 1, 1]>(BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = "
        "uint64(64)))];\n" +
        value("1, 32, 1, 32", "y") + " = conv(x = x, weight = w);";
    expect_free({"m1", "m1/e5rt"}, "max_width", program(value("1, 20000, 1, 32"), body));
}

TEST(LintValues, EveryRuleHasATextAndASource) {
    std::vector<std::string_view> ids;
    for (const RuleText& rule : lint_rules()) {
        EXPECT_FALSE(rule.id.empty());
        EXPECT_GE(rule.meaning.size(), 10U) << rule.id;
        EXPECT_GE(rule.source.size(), 8U) << rule.id;
        EXPECT_EQ(std::find(ids.begin(), ids.end(), rule.id), ids.end()) << rule.id;
        ids.push_back(rule.id);
    }
    EXPECT_GE(ids.size(), 70U);
}

}  // namespace
}  // namespace pome::device
