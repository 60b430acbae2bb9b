// Every published behaviour that is on the list, on every chip that it was seen on.
#include "device/conformance/conformance.h"

#include <gtest/gtest.h>

#include <set>

#include "device/emulator/emulator.h"
#include "support/test_data.h"

namespace pome::device::conformance {
namespace {

std::string chip_of_tier(std::int64_t tier) {
    return "m" + std::to_string(tier - 12);
}

struct Run {
    Case what;
    std::int64_t tier;
};

std::vector<Run> runs(bool slow) {
    std::vector<Run> all;
    for (const Case& what : cases()) {
        // M3 has been measured by nobody: it is no evidence either way.
        for (std::int64_t tier = what.first_tier; tier <= what.last_tier; ++tier) {
            if (tier != 15 && what.slow == slow) {
                all.push_back({what, tier});
            }
            if (slow) {
                break;
            }
        }
    }
    return all;
}

class Published : public testing::TestWithParam<Run> {};
class LongPublished : public Published {};

void reproduce(const Run& run) {
    ThreadPool pool;
    const std::string chip = chip_of_tier(run.tier);
    const auto open = [&] {
        return emulator::make_emulator(chip + "/e5rt", {.strictness = Strictness::as_hardware},
                                       pool);
    };
    const Result result = run_case(run.what, open);
    // A case that says why it is open must fail: the reason goes when the behaviour comes.
    EXPECT_EQ(status_name(result.status), !run.what.open.empty()      ? "not reproduced"
                                          : run.what.disputed.empty() ? "reproduced"
                                                                      : status_name(result.status))
        << chip << ": " << run.what.title << " [" << run.what.source << "]\n"
        << result.found;
}

TEST_P(Published, IsReproduced) {
    reproduce(GetParam());
}
TEST_P(LongPublished, IsReproduced) {
    reproduce(GetParam());
}

std::string name_of(const testing::TestParamInfo<Run>& info) {
    std::string name = info.param.what.id + "_" + chip_of_tier(info.param.tier);
    for (char& c : name) {
        c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    }
    return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, Published, testing::ValuesIn(runs(false)), name_of);
INSTANTIATE_TEST_SUITE_P(LongCases, LongPublished, testing::ValuesIn(runs(true)), name_of);

TEST(Conformance, CasesHaveNamesOfTheirOwnAndSources) {
    std::set<std::string> ids;
    for (const Case& what : cases()) {
        EXPECT_TRUE(ids.insert(what.id).second) << what.id;
        EXPECT_GE(what.source.size(), 4U) << what.id;
        EXPECT_GE(what.first_tier, 13) << what.id;
        EXPECT_LE(what.last_tier, 18) << what.id;
    }
    EXPECT_GE(ids.size(), 120U);
}

/// The runner itself: a wrong device must not pass.
TEST(Conformance, WrongArithmeticIsFound) {
    ThreadPool pool;
    const auto find = [](const std::string& id) {
        for (const Case& what : cases()) {
            if (what.id == id) {
                return what;
            }
        }
        ADD_FAILURE() << id;
        return Case{};
    };
    emulator::Options ieee;
    ieee.mode = emulator::Mode::fast;
    const auto fast = [&] { return emulator::make_emulator("m4/e5rt", ieee, pool); };
    for (const char* id : {"N02", "N11", "N14", "R11b"}) {
        const auto result = run_case(find(id), fast);
        EXPECT_EQ(result.status, Result::Status::not_reproduced) << id;
        EXPECT_FALSE(result.found.empty()) << id;
    }
    // A refusal that does not come, and one that should not.
    const auto m4 = [&] { return emulator::make_emulator("m4/e5rt", {}, pool); };
    EXPECT_EQ(run_case(find("F02b"), m4).found, "it compiles");
    Case wanted = find("F02a");
    wanted.inputs[0].shape = {1, 1, 1, 70000};
    wanted.body = "tensor<fp16, [1, 1, 1, 70000]> y = relu(x = x);";
    EXPECT_NE(run_case(wanted, m4).found.find("65536"), std::string::npos);
}

TEST(Conformance, BrokenListsAreRefused) {
    EXPECT_NE(error_text([] {
                  parse_cases("{\"cases\": [{\"id\": \"X\"}]}", "c");
              }).find("[device.conformance] c: X: "),
              std::string::npos);
    EXPECT_NE(error_text([] { parse_cases("[", "c"); }).find("c: the list: "), std::string::npos);
}

}  // namespace
}  // namespace pome::device::conformance
