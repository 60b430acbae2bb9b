#include "device/op_support.h"
#include "device/lint.h"

#include <gtest/gtest.h>

#include <set>

#include "mil/schema.h"
#include "mil/text.h"
#include "support/expect_error.h"
#include "support/test_data.h"

namespace pome::device {
namespace {

bool native_somewhere(const OpSupport& op) {
    return std::any_of(op.tiers.begin(), op.tiers.end(),
                       [](OpStatus status) { return status != OpStatus::no; });
}

TEST(OpSupport, TheCatalogueHasEveryRowOfTheTable) {
    EXPECT_EQ(op_catalogue().size(), 187U);
    for (const auto& op : op_catalogue()) {
        EXPECT_FALSE(op.source.empty()) << op.op;
        if (!native_somewhere(op)) {
            EXPECT_FALSE(op.remedy.empty()) << op.op << " does not lower and has no remedy";
        }
    }
    EXPECT_EQ(find_op_support("no_such_op"), nullptr);
    ASSERT_NE(find_op_support("conv"), nullptr);
    EXPECT_EQ(find_op_support("conv")->path, "MAC");
}

TEST(OpSupport, EveryOpThatLowersHasASchemaAndAMeaning) {
    for (const auto& op : op_catalogue()) {
        if (op.op == "const" || !native_somewhere(op) || !op.unmodelled.empty()) {
            continue;
        }
        const mil::Schema* schema = mil::find_schema(op.op);
        ASSERT_NE(schema, nullptr) << op.op;
        EXPECT_NE(schema->evaluate, nullptr) << op.op;
    }
}

TEST(OpSupport, WhatIsAssumedIsSaid) {
    for (const char* op : {"resize_bilinear", "resample", "affine", "crop_resize"}) {
        EXPECT_NE(find_op_support(op)->assumed, "") << op;
    }
    EXPECT_EQ(find_op_support("resize_nearest_neighbor")->assumed, "");
}

TEST(OpSupport, EveryOpOfTheLanguageIsInTheCatalogue) {
    for (const mil::Schema* schema : mil::schemas()) {
        EXPECT_NE(find_op_support(schema->name), nullptr) << schema->name;
    }
}

std::string finding(const std::string& statement, const std::string& profile,
                    const std::string& type = "fp16, [1, 4, 1, 2]") {
    const auto program = mil::read("program(1.3)\n{\n  func main<ios18>(tensor<" + type +
                                   "> x) {\n    " + statement + "\n  } -> (y);\n}\n");
    const auto& function = program.functions.front();
    for (const Finding& found : lint(function, find_profile(profile))) {
        if (found.rule == "op_lowers") {
            return found.text();
        }
    }
    return "";
}

// spec.md 10.5, F13, F14, F15: ops that lower nowhere, and those of later families.
TEST(OpSupport, WhatDoesNotLowerIsRefusedWithFamilyReasonAndRemedy) {
    EXPECT_EQ(finding("tensor<fp16, []> y = reduce_prod(x = x);", "m1"),
              "reduce_prod does not lower on H13 (A13): no family of the engine has a path "
              "for it (line 4, %y, rule op_lowers); use exp(reduce_sum(log x)) or the host");
    EXPECT_EQ(finding("tensor<fp16, [1, 4, 1, 2]> y = sin(x = x);", "m2"),
              "sin does not lower on H14 (A14): it needs A15 or later (line 4, %y, rule "
              "op_lowers); use a "
              "polynomial after folding the range on the host");
    EXPECT_EQ(finding("tensor<fp16, [1, 4, 1, 2]> y = sin(x = x);", "m3"), "");
    EXPECT_EQ(finding("tensor<fp16, [1, 4, 1, 2]> y = lstm(x = x);", "m5"),
              "lstm does not lower on H17 (A17): no family of the engine has a path for it "
              "(line 4, %y, rule op_lowers); use the cell unrolled");
    EXPECT_EQ(finding("tensor<fp16, [1, 4, 1, 2]> y = ne_conv(x = x);", "m5"),
              "ne_conv does not lower on H17 (A17): it is private to the engine's compiler "
              "(line 4, %y, rule op_lowers); use conv");
    EXPECT_EQ(finding("tensor<fp16, [1, 4, 1, 2]> y = mystery(x = x);", "m5"), "");
}

// Conflict X8: the guide has these native, ANEForge's sweep of an M5 by e5rt has them not.
TEST(OpSupport, FrontEndsDisagree) {
    const std::string statement = "tensor<fp16, [1, 4, 1, 2]> y = identity(x = x);";
    EXPECT_EQ(finding(statement, "m4"), "");
    EXPECT_EQ(finding(statement, "m4/in-memory"), "");
    EXPECT_EQ(finding(statement, "m5/e5rt"),
              "identity does not lower on H17 (A17): the front end of e5rt fails to compile "
              "it (ANEForge's sweep; ane-guide app. A has it native: alternative 'front-end-book') "
              "(line 4, %y, rule op_lowers); use the value itself, or add of 0");
    EXPECT_EQ(finding(statement, "m5/e5rt+front-end-book"), "");
    EXPECT_NE(finding(statement, "m4/in-memory+front-end-sweep"), "");
    const std::string cast =
        "tensor<fp16, [1, 4, 1, 2]> y = cast(dtype = string(\"fp16\"), x = x);";
    EXPECT_NE(finding(cast, "m5/e5rt", "fp32, [1, 4, 1, 2]"), "");
    EXPECT_EQ(finding(cast, "m5/e5rt", "uint8, [1, 4, 1, 2]"), "");
    EXPECT_EQ(finding(cast, "m4", "fp32, [1, 4, 1, 2]"), "");
}

TEST(OpSupport, CapabilitiesOfAProfileDecide) {
    Profile profile = find_profile("m1/in-memory");
    const OpSupport& topk = *find_op_support("topk");
    profile.capabilities.topk = false;
    EXPECT_EQ(judge(topk, profile).status, OpStatus::no);
    EXPECT_EQ(judge(topk, profile).reason, "it needs A14 or later");
    profile.capabilities.topk = true;  // conflict X10
    EXPECT_EQ(judge(topk, profile).status, OpStatus::native);
}

TEST(OpSupport, BrokenCataloguesAreRefused) {
    const auto refusal = [](std::string_view text) {
        return error_text([&] { read_op_catalogue(text); });
    };
    const std::string rest = "path = \"PE\"\nevidence = \"measured\"\nsource = \"s\"\n";
    EXPECT_EQ(refusal("[a]\n" + rest),
              "[device.op_support] profiles/ops.toml: a needs a status, one or 6");
    EXPECT_EQ(
        refusal("[a]\nstatus = \"perhaps\"\n" + rest),
        "[device.op_support] profiles/ops.toml: a has the status 'perhaps', not native, bridge "
        "or no");
    EXPECT_EQ(refusal("[a]\nstatus = \"no\"\npath = \"PE\"\nevidence = \"measured\"\n"),
              "[device.op_support] profiles/ops.toml: a needs a path, a source and evidence = "
              "\"measured\", \"derived\" or \"assumed\"");
    EXPECT_EQ(refusal("[a]\nstatus = \"no\"\ncolour = \"red\"\n" + rest),
              "[device.op_support] profiles/ops.toml: a has an unknown part 'colour'");
    EXPECT_EQ(refusal("[a]\nstatus = \"no\"\ncapability = \"flight\"\n" + rest),
              "[device.op_support] profiles/ops.toml: a asks for the unknown capability 'flight'");
    EXPECT_EQ(refusal("a = 1\n"),
              "[device.op_support] profiles/ops.toml: 'a' must be the table of an op");
    EXPECT_NE(refusal("[a\n").find("line 1"), std::string::npos);
}

}  // namespace
}  // namespace pome::device
