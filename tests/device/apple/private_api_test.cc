// The list of what is used of the system, and what a start makes of it.
#include "device/apple/private_api.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "device/apple/class_dump.h"
#include "device/apple/hardware_status.h"
#include "device/apple/machine.h"
#include "device/apple/standin_control.h"
#include "device/profile.h"
#include "support/test_data.h"

namespace pome::device::apple {
namespace {

TEST(PrivateApi, EncodingsAreThoseOfTheSignaturesThatAreCalled) {
    for (const MethodRow& row : method_rows()) {
        const std::string derived = row.derived();
        EXPECT_TRUE(same_encoding(row.encoding, derived)) << row.selector << " " << derived;
        if (row.selector != "release") {  // oneway
            EXPECT_EQ(row.encoding, derived) << row.selector;
        }
    }
}

TEST(PrivateApi, EncodingsAreComparedByWhatTheyMean) {
    EXPECT_TRUE(same_encoding("B36@0:8I16@20^@28", "c36@0:8I16@20^@28"));
    EXPECT_TRUE(same_encoding("Vv16@0:8", "v16@0:8"));
    EXPECT_TRUE(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8^{__IOSurface}16"));
    EXPECT_TRUE(same_encoding("@24@0:8^{__IOSurface={a=ii}@}16", "@24@0:8^{__IOSurface=}16"));
    EXPECT_TRUE(same_encoding("@16@0:8", "@\"NSString\"16@0:8"));
    EXPECT_FALSE(same_encoding("B36@0:8I16@20^@28", "B40@0:8Q16@24^@32"));
    EXPECT_FALSE(same_encoding("@24@0:8@16", "@32@0:8@16@24"));
    EXPECT_FALSE(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8^{__IOBuffer=}16"));
    for (const char* broken : {"{", "{=", "\"", "^{a={b", "@\"", ""}) {
        EXPECT_FALSE(same_encoding("@16@0:8", broken));
    }
}

TEST(PrivateApi, TheDocumentIsWhatTheListSays) {
    const std::string text = read_text(std::string(POME_SOURCE_DIR) + "/docs/hardware-status.md");
    EXPECT_EQ(text, hardware_status())
        << "write it anew: build/pome devices --hardware-status > docs/hardware-status.md";
}

class RuntimeTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!standin.is_there()) {
            GTEST_SKIP() << "the stand-in is written for Linux";
        }
    }
    Standin standin;
};

TEST_F(RuntimeTest, FindsAllOfTheList) {
    const auto runtime = Runtime::load(standin.path());
    EXPECT_EQ(runtime->checks().size(),
              method_rows().size() + function_rows().size() + constant_rows().size());
    for (const ApiCheck& check : runtime->checks()) {
        EXPECT_EQ(check.state, ApiCheck::State::present) << check.text();
    }
    EXPECT_NO_THROW(runtime->require(Need::in_memory));
}

TEST_F(RuntimeTest, SaysWhatAnUpdateChanged) {
    standin.faults(
        "missing_class=_ANEModel,missing_selector=objectWithIOSurface:,"
        "changed_selector=compileWithQoS:options:error:");
    const auto runtime = Runtime::load(standin.path());
    const std::string always =
        "[device.apple] the system's private interface is not the one that Pome knows (1 of 61 "
        "entries); an update of macOS changed it, or this is no Mac with an engine; --device "
        "emulator:m4 needs none of it:\n"
        "  +[_ANEIOSurfaceObject objectWithIOSurface:] (always) is missing";
    EXPECT_EQ(error_text([&] { runtime->require(Need::always); }), always);
    EXPECT_TRUE(
        error_text([&] { runtime->require(Need::in_memory); })
            .ends_with("-[_ANEInMemoryModel compileWithQoS:options:error:] (route in-memory) "
                       "is encoded as 'v16@0:8', not 'B36@0:8I16@20^@28'"));
    EXPECT_TRUE(error_text([&] {
                    runtime->require(Need::client);
                }).ends_with("+[_ANEModel modelAtURL:key:] (route client): the class is missing"));
    EXPECT_EQ(
        error_text([&] { runtime->send_class(api::make_client_model, nullptr, nullptr); }),
        "[device.apple] +[_ANEModel modelAtURL:key:] was not found when the device was opened");
    EXPECT_EQ(error_text([&] { runtime->send(api::retain, nullptr); }),
              "[device.apple] -[NSObject retain] would be sent to nil");
}

TEST_F(RuntimeTest, EveryClassIsListedWithItsMethodsAndTheirTypes) {
    const auto all = dump_classes(*Runtime::load(standin.path()));
    const auto find = [&](std::string_view name) {
        return std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.name == name; });
    };
    for (const MethodRow& row : method_rows()) {
        const auto found = find(row.class_name);
        ASSERT_NE(found, all.end()) << row.class_name;
        EXPECT_EQ(found->super, row.class_name == "NSObject" ? "" : "NSObject");
        EXPECT_TRUE(std::any_of(found->methods.begin(), found->methods.end(),
                                [&](const auto& m) {
                                    return m.kind == row.kind && m.selector == row.selector &&
                                           same_encoding(m.encoding, row.encoding);
                                }))
            << row.class_name << " " << row.selector;
    }
    EXPECT_EQ(text_of(*find("_ANEDeviceInfo")),
              "@interface _ANEDeviceInfo : NSObject\n+ aneSubType  @16@0:8\n+ hasANE  "
              "B16@0:8\n@end\n");
    standin.faults("missing_class=_ANEModel");
    EXPECT_EQ(dump_classes(*Runtime::load(standin.path())).size(), all.size() - 1);
}

TEST_F(RuntimeTest, WithoutALibraryItNamesTheWayOut) {
    EXPECT_NE(error_text([] { Runtime::load("/nowhere/lib.so"); }).find("--device emulator:m4"),
              std::string::npos);
}

TEST_F(RuntimeTest, TheMachineIsIdentified) {
    const Machine machine = read_machine(*Runtime::load(standin.path()));
    EXPECT_EQ(machine.text(), "Apple M4 (StandIn1,1), engine h16g, macOS 15.3.1 (24D70)");
    EXPECT_EQ(identify(machine).chip, "m4");
    EXPECT_NO_THROW(require_engine(machine));
    standin.faults("brand=Apple M4 Max");
    EXPECT_EQ(identify(read_machine(*Runtime::load(standin.path()))).chip, "m4max");
    standin.faults("brand=Apple M9 Ultra");
    const auto unknown = identify(read_machine(*Runtime::load(standin.path())));
    EXPECT_EQ(unknown.chip, "m1");
    EXPECT_FALSE(unknown.known);
    EXPECT_EQ(unknown.remark,
              "Apple M9 Ultra (StandIn1,1), engine h16g, macOS 15.3.1 (24D70): a chip without a "
              "profile; the most restrictive one, m1, is used");
    standin.faults("virtual_machine");
    EXPECT_EQ(survey(standin.path()).reason,
              "Apple M4 (StandIn1,1), engine h16g, macOS 15.3.1 (24D70) is a virtual machine "
              "(kern.hv_vmm_present): it has no engine, and the compiler service would hang; use "
              "--device emulator:m4, or a Mac without virtualization");
    standin.faults("no_engine");
    EXPECT_FALSE(survey(standin.path()).is_available());
    standin.faults("");
    EXPECT_TRUE(survey(standin.path()).is_available());
}

TEST(Machine, EveryProfiledChipIsRecognizedByItsBrand) {
    for (const auto& [brand, chip] : {std::pair{"Apple M1", "m1"},
                                      {"Apple M1 Pro", "m1pro"},
                                      {"Apple M2 Ultra", "m2ultra"},
                                      {"Apple M3 Max", "m3max"},
                                      {"Apple M5", "m5"}}) {
        EXPECT_EQ(chip_of_brand(brand), chip);
    }
    for (const char* brand : {"", "Apple ", "Apple M99", "Intel(R) Core(TM) i7", "M4", "Apple ops",
                              "Apple ../m4", "VirtualApple @ 2.50GHz processor"}) {
        EXPECT_EQ(chip_of_brand(brand), std::nullopt) << brand;
    }
}

TEST(Machine, NoProfileAcceptsLessThanTheMostRestrictive) {
    const auto at_most = [](std::int64_t limit, std::int64_t other) {  // 0: no limit
        return limit != 0 && (other == 0 || limit <= other);
    };
    const Profile& least = find_profile(std::string(most_restrictive_chip));
    for (const auto& chip : known_chips()) {
        const Profile& profile = find_profile(chip);
        EXPECT_TRUE(at_most(least.limits.max_width, profile.limits.max_width)) << chip;
        EXPECT_TRUE(at_most(least.limits.max_inner, profile.limits.max_inner)) << chip;
        EXPECT_TRUE(at_most(least.limits.max_transpose, profile.limits.max_transpose)) << chip;
        EXPECT_TRUE(at_most(least.limits.conv_kernel_width, profile.limits.conv_kernel_width));
        const Capabilities &a = least.capabilities, &b = profile.capabilities;
        for (const bool Capabilities::*capability :
             {&Capabilities::terse_dialect, &Capabilities::fp32_cast, &Capabilities::texture,
              &Capabilities::trigonometry, &Capabilities::random, &Capabilities::topk,
              &Capabilities::runtime_weights, &Capabilities::int8_stream}) {
            EXPECT_TRUE(!(a.*capability) || b.*capability) << chip;
        }
    }
}

}  // namespace
}  // namespace pome::device::apple
