// What a run sends to a chip: every program, as text, against the chip's rules.
#include <gtest/gtest.h>

#include "device/lint.h"
#include "mil/text.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

/// The programs that a run of two updates compiles, and the pipeline that was chosen for it.
struct Sent {
    std::string pipeline;
    std::vector<std::string> programs;
};

Sent sent_to(const std::string& chip, const std::string& pipeline,
             const std::filesystem::path& work) {
    Config config = small_config(work);
    config.run.steps = 2;
    config.engine.pipeline = pipeline;
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator(chip, {}, pool);
    Sent sent;
    device->on_compile([&](const mil::Package& package, std::string_view) {
        sent.programs.push_back(mil::write(package.program));
    });
    const std::atomic<bool> stop{false};
    const auto trainer = Trainer::create(config, work / (chip + pipeline), *device, pool);
    trainer->run([](const Report&) {}, stop);
    EXPECT_EQ(device->compiles(), std::ssize(sent.programs));
    sent.pipeline = trainer->choice().pipeline;
    return sent;
}

/// What lint has against a program, but for warnings about the sizes of surfaces: those are about
/// what a caller allocates, and Pome's evaluations were refused if it allocated too little.
std::vector<device::Finding> findings(const std::string& program, const std::string& chip) {
    auto found = device::lint(mil::read(program, "sent.mil"), device::find_profile(chip), "main");
    std::erase_if(found, [](const device::Finding& finding) {
        return !finding.is_error() &&
               (finding.rule == "equal_sizes" || finding.rule == "minimum_bytes");
    });
    return found;
}

TEST(SentPrograms, AnM1GetsCanonicalTextThatItsRulesHaveNothingAgainst) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    for (const char* pipeline : {"auto", "static-extras"}) {
        const Sent sent = sent_to("m1", pipeline, work.path());
        EXPECT_EQ(sent.pipeline, std::string(pipeline) == "auto" ? "static" : pipeline);
        // Four blocks in two directions, for the first weights and after an update; those of the
        // last update may no longer be compiled when the run ends.
        EXPECT_GE(sent.programs.size(), 16U);
        for (const std::string& program : sent.programs) {
            EXPECT_TRUE(program.starts_with("program(1.0)")) << program.substr(0, 200);
            for (const auto& finding : findings(program, "m1")) {
                ADD_FAILURE() << finding.text() << "\n" << program;
            }
        }
    }
}

TEST(SentPrograms, AnM4GetsTheDynamicPipelinesWhichAnM1WouldRefuse) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    const Sent sent = sent_to("m4", "auto", work.path());
    EXPECT_EQ(sent.pipeline, "dynamic");
    EXPECT_LE(sent.programs.size(), 10U);
    for (const std::string& program : sent.programs) {
        EXPECT_TRUE(findings(program, "m4").empty());
        EXPECT_FALSE(findings(program, "m1").empty()) << "the same check finds something there";
    }
}

}  // namespace
}  // namespace pome::train
