// What every device does around its arithmetic: refusals, budgets, silent failures. The device here
// computes nothing: it fills outputs with ones.
#include "device/device.h"

#include <gtest/gtest.h>

#include "device/lint/lint_case.h"
#include "device/reference_device.h"
#include "mil/builder.h"
#include "mil/text.h"
#include "support/test_data.h"

namespace pome::device {
namespace {

class Ones final : public Executable {
  public:
    explicit Ones(const mil::Function& function)
        : Executable(function.parameters, output_types(function)) {}

  private:
    void run(const Bindings& bindings) override {
        for (const auto& [name, surface] : bindings.outputs) {
            std::fill_n(surface->halves(), surface->elements(), fp16{0x3C00});
        }
    }
};

class FakeDevice final : public Device {
  public:
    explicit FakeDevice(const std::string& profile, Strictness strictness = Strictness::strict,
                        std::shared_ptr<Process> process = nullptr)
        : Device(std::move(process)), profile_(find_profile(profile)), strictness_(strictness) {}
    std::string name() const override { return "emulator:" + profile_.name; }
    const Profile& profile() const override { return profile_; }
    Strictness strictness() const override { return strictness_; }

  private:
    std::unique_ptr<Executable> build(const mil::Package& package,
                                      std::string_view function) override {
        return std::make_unique<Ones>(*package.program.find_function(function));
    }
    Profile profile_;
    Strictness strictness_;
};

mil::Package package(const std::string& text) {
    return {mil::read(text), {}};
}

std::string relu(const std::string& shape) {
    return unary("relu", shape, shape);
}

/// Surfaces for all inputs and outputs of a program.
class Surfaces {
  public:
    explicit Surfaces(const Executable& executable) {
        for (const auto& input : executable.inputs()) {
            bindings.inputs[input.name] = &(held_["in " + input.name] = Surface(input.type));
        }
        for (const auto& output : executable.outputs()) {
            bindings.outputs[output.name] = &(held_["out " + output.name] = Surface(output.type));
        }
    }
    float first(const std::string& output) const {
        return to_float(bindings.outputs.find(output)->second->halves()[0]);
    }
    Bindings bindings;

  private:
    std::map<std::string, Surface> held_;
};

/// The error of one evaluation, or the first element of y.
std::string evaluate(Device& device, const std::string& text) {
    const auto executable = device.compile(package(text));
    Surfaces surfaces(*executable);
    const std::string error = error_text([&] { executable->evaluate(surfaces.bindings); });
    return error == "nothing was thrown" ? fmt::format("{}", surfaces.first("y")) : error;
}

constexpr const char* status_0x1d =
    "[device.evaluate] ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: "
    "Program Inference error (com.apple.appleneuralengine Code=8): ";

TEST(DeviceStrictness, StrictRefusesWhatTheChipGetsSilentlyWrong) {
    FakeDevice m4("m4");
    EXPECT_EQ(
        error_text([&] { m4.compile(package(relu("1, 64, 1, 33"))); }),
        "[device.compile] emulator:m4 refuses the program: input fp16 [1,64,1,33] has rows of "
        "66 bytes, no multiple of 64 (line 3, %x, rule row_bytes); pad its last axis to 64 "
        "elements (and 1 more)");
    EXPECT_EQ(m4.compiles(), 0);
    EXPECT_EQ(evaluate(m4, relu("1, 64, 1, 32")), "1");
    EXPECT_EQ(m4.compiles(), 1);
    // A warning is no refusal.
    EXPECT_EQ(evaluate(m4, relu("1, 1, 1, 32")), "1");
}

TEST(DeviceStrictness, AsHardwareDoesWhatTheChipDoes) {
    FakeDevice m4("m4", Strictness::as_hardware);
    EXPECT_EQ(
        evaluate(m4, relu("1, 64, 1, 16")),
        std::string(status_0x1d) +
            "input fp16 [1,64,1,16] has rows of 32 bytes, no multiple of 64 (line 3, %x, rule "
            "row_bytes); pad its last axis to 32 elements");
    EXPECT_EQ(evaluate(m4, relu("1, 64, 1, 33")), "0") << "success and zeros";
    const std::string unordered =
        program(value("1, 64, 1, 32", "b") + ", " + value("1, 64, 1, 32", "a"),
                value("1, 64, 1, 32", "y") + " = add(x = a, y = b);");
    EXPECT_EQ(evaluate(m4, unordered), "0") << "bound in the order of names";
    EXPECT_EQ(
        error_text([&] { m4.compile(package(unary("gelu", "1, 64, 1, 32", "1, 64, 1, 32"))); }),
        "[device.compile] emulator:m4 refuses the program: gelu: _ANECompiler : "
        "ANECCompile() FAILED (line 4, %y, rule gelu); write it with tanh or sigmoid")
        << "what does not compile does not compile";
    FakeDevice e5rt("m4/e5rt", Strictness::as_hardware);
    EXPECT_EQ(evaluate(e5rt, relu("1, 64, 1, 16")), "1");
    EXPECT_EQ(evaluate(e5rt, unordered), "1");
}

TEST(DeviceStrictness, TileOnTheM3PoisonsItsProcess) {
    const std::string tile = program(
        value("1, 64, 1, 32"),
        value("1, 64, 1, 64", "y") + " = tile(x = x, reps = " + integers({1, 1, 1, 2}) + ");");
    const auto process = std::make_shared<Process>();
    FakeDevice first("m3", Strictness::as_hardware, process),
        second("m4", Strictness::as_hardware, process), other("m3", Strictness::as_hardware);
    const std::string good = relu("1, 64, 1, 32");
    EXPECT_EQ(evaluate(second, good), "1");
    EXPECT_EQ(evaluate(first, tile),
              std::string(status_0x1d) +
                  "tile by the route in-memory: its evaluation fails with status=0x1d, and so does "
                  "every later one of the process (line 4, %y, rule tile); concatenate the value "
                  "with itself, or let an op broadcast it");
    for (FakeDevice* device : {&first, &second}) {
        EXPECT_EQ(evaluate(*device, good),
                  std::string(status_0x1d) +
                      "the process is poisoned by an earlier evaluation; start it again");
    }
    EXPECT_EQ(evaluate(other, good), "1") << "another process";
    FakeDevice m4("m4", Strictness::as_hardware), strict("m3");
    EXPECT_EQ(evaluate(m4, tile), "1");
    EXPECT_TRUE(error_text([&] { strict.compile(package(tile)); })
                    .starts_with("[device.compile] emulator:m3 refuses the program: tile by the "
                                 "route in-memory"));
}

TEST(DeviceBudget, TheInMemoryRouteCompiles119Programs) {
    for (const Strictness strictness : {Strictness::strict, Strictness::as_hardware}) {
        for (const char* which : {"m1", "m2", "m3", "m4", "m5", "m6"}) {
            const std::string chip = which;
            FakeDevice device(chip, strictness);
            mil::Builder b;
            b.output(b.rename(
                b.unary("relu", b.input("x", mil::Type::tensor(DType::fp16, {1, 64, 1, 32}))),
                "y"));
            const mil::Package made{mil::make_program(b.take()), {}};
            for (int i = 0; i < 119; ++i) {
                EXPECT_NO_THROW(device.compile(made));
            }
            EXPECT_EQ(error_text([&] { device.compile(made); }),
                      "[device.compile] emulator:" + chip +
                          ": _ANECompiler : ANECCompile() FAILED err=(): the process has compiled "
                          "119 programs, the route in-memory allows 119 (limits.compile_budget); "
                          "save, start again and resume, or give weights as inputs so that "
                          "programs can stay");
            EXPECT_EQ(device.compiles(), 119);
        }
    }
    for (const char* free : {"m4/client", "m4/e5rt", "m4+budget-reclaimed"}) {
        FakeDevice device(free);
        for (int i = 0; i < 125; ++i) {
            EXPECT_NO_THROW(device.compile(package(relu("1, 64, 1, 32")))) << free;
        }
    }
}

TEST(DeviceBudget, AProcessHolds128Programs) {
    for (const auto& [name, route, words] :
         {std::tuple{"m4/client", "client", "GetANEFModel: must re-compile"},
          {"m1/e5rt", "e5rt",
           "ANE model load has failed, GetANEFModel: must re-compile. Must re-compile the E5 "
           "bundle"}}) {
        FakeDevice device(name);
        const mil::Package made = package(mil::write(mil::read(relu("1, 64, 1, 32"))));
        std::vector<std::unique_ptr<Executable>> held;
        for (int i = 0; i < 128; ++i) {
            held.push_back(device.compile(made));
        }
        EXPECT_EQ(
            error_text([&] { device.compile(made); }),
            fmt::format("[device.compile] emulator:{}: {}: 128 programs are loaded, the route "
                        "{} holds 128 (limits.loaded_programs); release some",
                        name, words, route));
        held.pop_back();
        EXPECT_NO_THROW(device.compile(made));
    }
}

TEST(DeviceBudget, DevicesOfOneProcessCountTogetherByRoute) {
    const auto process = std::make_shared<Process>();
    FakeDevice first("m4", Strictness::strict, process), second("m5", Strictness::strict, process),
        client("m4/client", Strictness::strict, process), alone("m4");
    const mil::Package made = package(relu("1, 64, 1, 32"));
    for (int i = 0; i < 60; ++i) {
        first.compile(made);
        if (i < 59) {
            second.compile(made);
        }
    }
    EXPECT_EQ(process->compiles("in-memory"), 119);
    EXPECT_EQ(process->loaded("in-memory"), 0);
    EXPECT_NE(error_text([&] { second.compile(made); }).find("has compiled 119"),
              std::string::npos);
    EXPECT_NO_THROW(client.compile(made));
    EXPECT_NO_THROW(alone.compile(made));
}

TEST(DeviceSurfaces, AllocationsKeepTheRules) {
    const std::string sum = program(value("1, 64, 1, 32", "a") + ", " + value("1, 64, 1, 32", "b"),
                                    value("1, 64, 1, 32", "y") + " = add(x = a, y = b);");
    const auto run = [&](const std::string& chip, Strictness strictness, std::size_t a,
                         std::size_t b) {
        FakeDevice device(chip, strictness);
        const auto executable = device.compile(package(sum));
        const mil::Type type = executable->inputs()[0].type;
        Surface first(type, a), second(type, b), y(type);
        return error_text([&] {
            executable->evaluate({{{"a", &first}, {"b", &second}}, {{"y", &y}}});
        });
    };
    const std::string unequal =
        "input 'a' is allocated with 4096 bytes, another input with 8192 (rule equal_sizes); give "
        "all the largest size";
    for (const char* chip : {"m1", "m4", "m6", "m4/client"}) {
        const std::string name = std::string(chip).starts_with("m1") ? "m1+terse-m1" : chip;
        EXPECT_EQ(run(name, Strictness::strict, 0, 0), "nothing was thrown");
        EXPECT_EQ(run(name, Strictness::strict, 8192, 8192), "nothing was thrown");
        EXPECT_EQ(run(name, Strictness::strict, 0, 8192), "nothing was thrown");
        EXPECT_EQ(run(name, Strictness::strict, 4096, 8192), "[device.evaluate] " + unequal);
        EXPECT_EQ(run(name, Strictness::as_hardware, 4096, 8192), status_0x1d + unequal);
    }
    EXPECT_EQ(run("m4/e5rt", Strictness::strict, 4096, 8192), "nothing was thrown");
    EXPECT_EQ(run("m4+minimum-49152", Strictness::strict, 49152, 49152), "nothing was thrown");
    EXPECT_EQ(run("m4+minimum-49152", Strictness::strict, 49151, 49152),
              "[device.evaluate] input 'a' is allocated with 49151 bytes, a surface has 49152 at "
              "least (rule minimum_bytes)");
    EXPECT_EQ(error_text([] {
                  Surface(mil::Type::tensor(DType::fp16, {1, 64, 1, 32}), 4095);
              }),
              "[device.surface] fp16 [1,64,1,32] has 4096 bytes, an allocation of 4095 does not "
              "hold them");
}

TEST(Executable, TakesAndGivesFloatsWhateverTheSurfacesHold) {
    const auto reference = make_reference_device();
    const auto doubled = [&](const std::string& dtype) {
        const std::string type = "tensor<" + dtype + ", [1, 2, 1, 2]>";
        return reference->compile(
            {mil::read("program(1.3)\n{\nfunc main<ios18>(" + type + " x) {\n" + type +
                           " y = add(x = x, y = x);\n} -> (y);\n}\n",
                       "t.mil"),
             {}});
    };
    const std::vector<float> x{1.0F, -2.5F, 0.1F, 1e-3F};
    EXPECT_EQ(doubled("fp32")->apply(x), (std::vector<float>{2.0F, -5.0F, 0.2F, 2e-3F}));
    std::vector<float> rounded;
    for (const float value : x) {
        rounded.push_back(2.0F * to_float(to_fp16(value, Rounding::nearest_even)));
    }
    EXPECT_EQ(doubled("fp16")->apply(x), rounded);
    EXPECT_EQ(error_text([&] { doubled("fp16")->apply(std::vector<float>(5)); }),
              "[device.apply] input 'x' is fp16 [1,2,1,2]: 4 elements, 5 were given");
    EXPECT_EQ(error_text([&] { doubled("int32")->apply(x); }),
              "[device.apply] 'x' is int32 [1,2,1,2], not fp16 or fp32; use evaluate()");
}

}  // namespace
}  // namespace pome::device
