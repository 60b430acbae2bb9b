// Every fault of the system that the stand-in can play, and what the device makes of it.
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "base/fp16.h"
#include "device/apple/apple_device.h"
#include "device/apple/standin_control.h"
#include "mil/builder.h"
#include "support/test_data.h"

namespace pome::device::apple {
namespace {

/// b0 = a0 - a1, b1 = a1 * 2.
mil::Package difference(std::int64_t columns = 32) {
    mil::Builder b;
    const mil::Type type = mil::Type::tensor(DType::fp16, {1, 64, 1, columns});
    const auto x = b.input("a0", type), y = b.input("a1", type);
    b.output(b.rename(b.sub(x, y), "b0"));
    b.output(b.rename(b.scale(y, 2.0), "b1"));
    return {mil::make_program(b.take()), {}};
}

class FaultTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!standin.is_there()) {
            GTEST_SKIP() << "the stand-in is written for Linux";
        }
        options.runtime = standin.path();
        options.routes = {"in-memory"};
        options.failed_programs = kept.path();
        options.evaluate_seconds = 20;
    }
    /// Opens, compiles and evaluates `rounds` times with these faults. The error, or that there was
    /// none.
    std::string run(const std::string& faults, int rounds = 3) {
        standin.faults(faults);
        return error_text([&] {
            const auto device = open_apple_device(options);
            const auto executable = device->compile(difference());
            evaluate(*executable, rounds);
        });
    }
    static void evaluate(Executable& executable, int rounds) {
        const mil::Type type = executable.inputs()[0].type;
        Surface a0(type), a1(type), b0(type), b1(type);
        for (int round = 0; round < rounds; ++round) {
            a0.halves()[0] = to_fp16(static_cast<float>(round), Rounding::nearest_even);
            executable.evaluate({{{"a0", &a0}, {"a1", &a1}}, {{"b0", &b0}, {"b1", &b1}}});
            EXPECT_EQ(to_float(std::as_const(b0).halves()[0]), static_cast<float>(round));
        }
    }
    Standin standin;
    TemporaryDirectory kept;
    Options options;
};

TEST_F(FaultTest, NoneIsNone) {
    EXPECT_EQ(run(""), "nothing was thrown");
}

TEST_F(FaultTest, RefusedCompilesSayWhyAndKeepTheProgram) {
    const std::string error = run("compile_refused=3");
    EXPECT_EQ(error.find("[device.apple] main ("), 0U) << error;
    EXPECT_NE(error.find("compile fails by route in-memory: com.apple.appleneuralengine.compiler "
                         "Code=1: \"_ANECompiler : ANECCompile() FAILED err=(InvalidMILProgram)\"; "
                         "the compiler's parser or checker refuses the text"),
              std::string::npos)
        << error;
    const auto at = error.find("its text and weights are in ");
    ASSERT_NE(at, std::string::npos);
    const std::string text = read_text(error.substr(at + 28) + "/model.mil");
    EXPECT_NE(text.find("sub("), std::string::npos);
}

TEST_F(FaultTest, AnExhaustedBudgetIsNamed) {
    const std::string error = run("budget=2");
    EXPECT_NE(error.find("err=()"), std::string::npos) << error;
    EXPECT_NE(error.find("this process has compiled 3 programs by this route, and after about 119 "
                         "the compiler refuses all without a reason: start again and resume"),
              std::string::npos)
        << error;
}

TEST_F(FaultTest, FullSlotsAreTriedAgainOnce) {
    EXPECT_EQ(run("load_slots=3"), "nothing was thrown");
    const std::string error = run("load_refused=3");
    EXPECT_NE(
        error.find("load fails by route in-memory: com.apple.appleneuralengine Code=6: "
                   "\"Program load failure (0x20004)\"; programs of more than about 3.75 GiB"),
        std::string::npos)
        << error;
}

TEST_F(FaultTest, FailedEvaluationsAreErrors) {
    options.canary = false;
    const std::string first = run("evaluate_refused=1");
    EXPECT_NE(first.find("evaluation fails by route in-memory: com.apple.appleneuralengine Code=8: "
                         "\"ANEProgramProcessRequestDirect() Failed with status=0x1d : "
                         "statusType=0x9: Program Inference error\"; known causes: surfaces of "
                         "unequal size"),
              std::string::npos)
        << first;
    standin.faults("");
    const auto device = open_apple_device(options);
    const auto executable = device->compile(difference());
    evaluate(*executable, 2);
    standin.faults("evaluate_refused=1");
    const std::string later = error_text([&] { evaluate(*executable, 1); });
    EXPECT_NE(later.find("the program worked 2 times before, so the process is probably poisoned"),
              std::string::npos)
        << later;
    EXPECT_EQ(device->engine_evaluations(), 2);
}

TEST_F(FaultTest, ExceptionsAreErrors) {
    EXPECT_NE(run("compile_exception=3").find("ends with an Objective-C exception"),
              std::string::npos);
    options.canary = false;
    EXPECT_NE(run("evaluate_exception=1")
                  .find("an evaluation by route in-memory ends with an "
                        "Objective-C exception"),
              std::string::npos);
}

TEST_F(FaultTest, HangsEndAndTheProcessKnows) {
    options.canary = false;
    options.evaluate_seconds = 0.2;
    standin.faults("evaluate_hang=2");
    const auto device = open_apple_device(options);
    const auto executable = device->compile(difference());
    evaluate(*executable, 1);
    const std::string error = error_text([&] { evaluate(*executable, 1); });
    EXPECT_NE(error.find("an evaluation by route in-memory has not returned after 0.2 s; the "
                         "compiler's service or the driver hangs (Apple M4 (StandIn1,1)"),
              std::string::npos)
        << error;
    for (const auto& later : {error_text([&] { evaluate(*executable, 1); }),
                              error_text([&] { device->compile(difference()); })}) {
        EXPECT_NE(later.find("an earlier call of the system never returned"), std::string::npos);
    }
}

TEST_F(FaultTest, HangingCompilesEnd) {
    options.canary = false;
    options.compile_seconds = 0.2;
    EXPECT_NE(run("compile_hang=1").find("compile or load by route in-memory has not returned"),
              std::string::npos);
}

TEST_F(FaultTest, HangingUnloadsEnd) {
    options.canary = false;
    options.evaluate_seconds = 0.2;
    const auto device = open_apple_device(options);
    auto executable = device->compile(difference());
    evaluate(*executable, 1);
    standin.faults("unload_hang");
    executable.reset();
    EXPECT_NE(error_text([&] {
                  device->compile(difference());
              }).find("an earlier call of the system never returned"),
              std::string::npos);
}

TEST_F(FaultTest, ChangesOfTheInterfaceAreNamedBeforeAnythingRuns) {
    EXPECT_NE(run("missing_class=_ANERequest").find("the class is missing"), std::string::npos);
    EXPECT_NE(run("changed_selector=loadWithQoS:options:error:").find("is encoded as"),
              std::string::npos);
    EXPECT_EQ(standin.count("compiles"), 0);
    EXPECT_NE(run("nil_descriptor")
                  .find("making the model fails by route in-memory: no error was "
                        "given; the framework gives no reason"),
              std::string::npos);
}

TEST_F(FaultTest, TheNextRouteIsTriedAndThatIsSaid) {
    options.routes = {"in-memory", "client"};
    standin.faults("missing_class=_ANEInMemoryModel");
    const auto device = open_apple_device(options);
    EXPECT_EQ(device->name(), "apple:client (stand-in)");
    ASSERT_EQ(device->remarks().size(), 1U);
    EXPECT_NE(device->remarks()[0].find("route in-memory: the system's private interface"),
              std::string::npos);
    evaluate(*device->compile(difference()), 2);
    standin.faults("missing_class=_ANEInMemoryModel,missing_class=_ANEClient");
    const std::string error = error_text([&] { open_apple_device(options); });
    EXPECT_NE(error.find("no route to the engine works:\n  in-memory: "), std::string::npos);
    EXPECT_NE(error.find("\n  client: "), std::string::npos);
    options.routes = {"e5rt"};
    EXPECT_NE(error_text([&] { open_apple_device(options); }).find("there is no route 'e5rt'"),
              std::string::npos);
}

TEST_F(FaultTest, KnownAnswersFindSilentFailuresWhenTheDeviceIsOpened) {
    for (const auto& [fault, words] :
         {std::pair{"zeros", "output 'b0' is all zeros"},
          {"stale_outputs", "leaves output 'b0' unwritten"},
          {"stale_inputs", "output 'b0' is that of the evaluation before: inputs are stale"},
          {"exchanged_inputs", "the inputs of a program are exchanged"},
          {"exchanged_outputs", "the outputs of a program are exchanged"},
          {"nan", "output 'b0' holds NaN after evaluation 1"}}) {
        const std::string error = run(fault);
        EXPECT_NE(error.find(words), std::string::npos) << fault << ": " << error;
        standin.faults("");
    }
}

TEST_F(FaultTest, CanariesFindThemWhenTheyBeginWithAProgram) {
    // The device's own programs take four evaluations.
    for (const auto& [fault, words] :
         {std::pair{"zeros=5", "output 'b0' is all zeros"},
          {"stale_outputs=5", "leaves output 'b0' unwritten"},
          {"exchanged_inputs=5", "inputs 'a0' and 'a1' are exchanged"},
          {"exchanged_outputs=5", "outputs 'b0' and 'b1' are exchanged"},
          {"nan=5", "holds NaN after evaluation 1"},
          {"nan=7", "holds NaN after evaluation 3"}}) {
        Standin fresh;  // counts calls from 1
        const std::string error = run(fault);
        EXPECT_NE(error.find(words), std::string::npos) << fault << ": " << error;
        standin.faults("");
    }
}

TEST_F(FaultTest, ChildrenTakeTheHarm) {
    // The child of a test is a script that ends as told.
    const auto child = [&](const std::string& script) {
        const auto path = kept.path() / "child.sh";
        std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
        options.trial_command = {path.string(), "first"};
    };
    options.trial = Trial::first;
    options.trial_seconds = 0.5;
    child("exit 0");
    EXPECT_EQ(run(""), "nothing was thrown");
    child("echo \"[device.apple] no engine\" >&2; exit 1");
    EXPECT_EQ(run(""),
              "[device.apple] the device's own check: tried in a child process: [device.apple] no "
              "engine\n");
    child("kill -SEGV $$");
    EXPECT_NE(run("").find("was killed by signal 11; here it would end this process"),
              std::string::npos);
    child("exec sleep 100");
    EXPECT_NE(run("").find("was not done after 0.5 s and was killed"), std::string::npos);
    EXPECT_EQ(standin.count("compiles"), 3) << "nothing was compiled here after a failed trial";
    options.trial = Trial::every;
    options.trial_seconds = 20;
    child(
        "[ $1 = first ] && [ $2 = in-memory ] || exit 3; [ -z \"$3\" ] || [ -f \"$3/model.mil\" ]");
    EXPECT_EQ(run(""), "nothing was thrown");
    child("[ -z \"$3\" ]");
    EXPECT_NE(run("").find("main ("), std::string::npos) << run("");
}

TEST_F(FaultTest, AVirtualMachineIsRefusedBeforeAnythingElse) {
    const std::string error = run("virtual_machine,missing_class=_ANERequest");
    EXPECT_NE(error.find("is a virtual machine"), std::string::npos) << error;
}

TEST_F(FaultTest, AnUnknownChipIsTakenForTheMostRestrictive) {
    standin.faults("brand=Apple M9");
    const auto device = open_apple_device(options);
    EXPECT_EQ(device->profile().chip, "m1");
    ASSERT_EQ(device->remarks().size(), 1U);
    EXPECT_NE(device->remarks()[0].find("a chip without a profile"), std::string::npos);
}

}  // namespace
}  // namespace pome::device::apple
