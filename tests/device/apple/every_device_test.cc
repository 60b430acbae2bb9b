// What every device promises, on each of three: one that computes nothing, the emulator, and the
// engine over the stand-in.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "base/file.h"
#include "base/fp16.h"
#include "base/random.h"
#include "device/apple/apple_device.h"
#include "device/apple/standin_control.h"
#include "device/emulator/emulator.h"
#include "device/lint/lint_case.h"
#include "device/null_device.h"
#include "mil/builder.h"
#include "support/test_data.h"

namespace pome::device::apple {
namespace {

class EveryDevice : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (is("apple") && !standin_.is_there()) {
            if (const auto here = survey(""); !here.is_available()) {
                GTEST_SKIP() << here.reason;
            }
        }
    }
    void TearDown() override {
        if (is("apple") && standin_.is_there()) {
            for (const char* what : {"violations", "objects", "surfaces", "loaded", "requests"}) {
                EXPECT_EQ(standin_.count(what), 0) << what;
            }
        }
    }
    static bool is(std::string_view name) { return GetParam() == name; }
    static bool computes() { return !is("null"); }
    std::unique_ptr<Device> open(const std::string& route = "in-memory", bool canary = false) {
        if (is("null")) {
            return make_null_device("m4/" + route);
        }
        if (is("emulator")) {
            return emulator::make_emulator("m4/" + route, {}, pool_);
        }
        Options options;
        options.runtime = standin_.path();
        options.routes = {route};
        options.canary = canary;
        return open_apple_device(options);
    }
    Standin standin_{is("apple") ? standin_path : ""};
    ThreadPool pool_{1};
};

mil::Type plane(std::int64_t channels, std::int64_t columns = 32) {
    return mil::Type::tensor(DType::fp16, {1, channels, 1, columns});
}

mil::Package package(mil::Builder& b) {
    return {mil::make_program(b.take()), {}};
}

/// b0 = factor * a0.
mil::Package scaled(double factor, std::int64_t channels = 64) {
    mil::Builder b;
    b.output(b.rename(b.scale(b.input("a0", plane(channels)), factor), "b0"));
    return package(b);
}

void fill(Surface& surface, float value) {
    std::fill_n(surface.halves(), surface.elements(), to_fp16(value, Rounding::nearest_even));
}

float first(const Surface& surface) {
    return to_float(surface.halves()[0]);
}

TEST_P(EveryDevice, RefusesWithReasons) {
    const auto device = open();
    EXPECT_TRUE(error_text([&] {
                    device->compile({mil::read(unary("relu", "1, 64, 1, 33", "1, 64, 1, 33")), {}});
                })
                    .starts_with("[device.compile] " + device->name() +
                                 " refuses the program: input fp16 [1,64,1,33] has rows of 66 "
                                 "bytes"));
    EXPECT_EQ(error_text([&] { device->compile(scaled(2), "other"); }),
              "[device.compile] the program has no function 'other'");
    EXPECT_EQ(device->compiles(), 0);
}

TEST_P(EveryDevice, ChecksBindings) {
    const auto device = open();
    const auto executable = device->compile(scaled(2));
    Surface a(plane(64)), b(plane(64)), wrong(plane(32));
    EXPECT_EQ(error_text([&] {
                  executable->evaluate({{}, {{"b0", &b}}});
              }),
              "[device.evaluate] input 'a0' (fp16 [1,64,1,32]) has no surface; bind one");
    EXPECT_EQ(error_text([&] {
                  executable->evaluate({{{"a0", &wrong}}, {{"b0", &b}}});
              }),
              "[device.evaluate] input 'a0' is fp16 [1,64,1,32], the surface bound to it holds "
              "fp16 [1,32,1,32]");
    EXPECT_EQ(error_text([&] {
                  executable->evaluate({{{"a0", &a}}, {{"b0", &a}}});
              }),
              "[device.evaluate] output 'b0' is bound to the surface of input 'a0'");
    Surface small(plane(64), 4096);
    executable->evaluate({{{"a0", &small}}, {{"b0", &b}}});
    EXPECT_EQ(executable->evaluations(), 1);
}

TEST_P(EveryDevice, CountsWhatAProcessMayCompileAndHold) {
    const auto in_memory = open();
    const auto program = scaled(2);
    for (int i = 0; i < 119; ++i) {
        in_memory->compile(program);
    }
    EXPECT_NE(error_text([&] {
                  in_memory->compile(program);
              }).find("the process has compiled 119 programs, the route in-memory allows 119"),
              std::string::npos);
    const auto client = open("client");
    std::vector<std::unique_ptr<Executable>> held;
    for (int i = 0; i < 128; ++i) {
        held.push_back(client->compile(program));
    }
    EXPECT_NE(error_text([&] { client->compile(program); }).find("128 programs are loaded"),
              std::string::npos);
    held.pop_back();
    EXPECT_NO_THROW(client->compile(program));
}

TEST_P(EveryDevice, ComputesTheSameBits) {
    if (!computes()) {
        GTEST_SKIP() << "it computes nothing";
    }
    mil::Builder b;
    mil::Package made;
    Random random(7);
    std::vector<double> weight(64 * 64);
    for (double& w : weight) {
        w = random.normal() * 0.1;
    }
    const auto x = b.input("a0", plane(64)), y = b.input("a1", plane(64));
    const auto w = b.constant(
        made.weights.store("@model_path/weights/w.bin", DType::fp16, {64, 64, 1, 1}, weight), "W");
    const auto h = b.conv(x, w, {});
    b.output(b.rename(b.mul(b.unary("sigmoid", h), y), "b0"));
    b.output(b.rename(b.add(h, y), "b1"));
    made.program = mil::make_program(b.take());
    const auto device = open();
    ThreadPool pool(1);
    const auto exact = emulator::make_emulator(device->profile(), {}, pool);
    const auto mine = device->compile(made), theirs = exact->compile(made);
    Surface a0(plane(64)), a1(plane(64));
    Surface got[2] = {Surface(plane(64)), Surface(plane(64))},
            wanted[2] = {Surface(plane(64)), Surface(plane(64))};
    for (int round = 0; round < 3; ++round) {
        for (std::int64_t i = 0; i < a0.elements(); ++i) {
            a0.halves()[i] = to_fp16(random.normal(), Rounding::nearest_even);
            a1.halves()[i] = to_fp16(random.normal(), Rounding::nearest_even);
        }
        mine->evaluate({{{"a0", &a0}, {"a1", &a1}}, {{"b0", &got[0]}, {"b1", &got[1]}}});
        theirs->evaluate({{{"a0", &a0}, {"a1", &a1}}, {{"b0", &wanted[0]}, {"b1", &wanted[1]}}});
        for (int i = 0; i < 2; ++i) {
            EXPECT_TRUE(std::ranges::equal(std::as_const(got[i]).bytes(),
                                           std::as_const(wanted[i]).bytes()));
        }
    }
}

TEST_P(EveryDevice, SurfacesPassFromProgramToProgramAndGrow) {
    const auto device = open();
    // Two inputs of different size must have one allocation: that of b0 grows after it was written.
    const auto twice = device->compile(scaled(2));
    mil::Builder b;
    const auto small = b.input("a0", plane(64)), large = b.input("a1", plane(512));
    b.output(b.rename(b.scale(small, 3), "b0"));
    b.output(b.rename(b.scale(large, 5), "b1"));
    const auto both = device->compile(package(b));
    Surface x(plane(64)), y(plane(64)), z(plane(64)), big(plane(512)), big_out(plane(512));
    for (int round = 1; round < 4; ++round) {
        fill(x, static_cast<float>(round));
        fill(big, static_cast<float>(10 * round));
        twice->evaluate({{{"a0", &x}}, {{"b0", &y}}});
        both->evaluate({{{"a0", &y}, {"a1", &big}}, {{"b0", &z}, {"b1", &big_out}}});
        if (computes()) {
            EXPECT_EQ(first(y), 2.0F * static_cast<float>(round));
            EXPECT_EQ(first(z), 6.0F * static_cast<float>(round));
            EXPECT_EQ(first(big_out), 50.0F * static_cast<float>(round));
        }
        std::swap(x, z);  // values stay with their surfaces, whoever holds them
    }
}

TEST_P(EveryDevice, SurfacesComeAndGo) {
    const auto device = open();
    const auto executable = device->compile(scaled(2));
    Surface kept(plane(64));
    fill(kept, 3);
    for (int i = 0; i < 50; ++i) {
        Surface out(plane(64)), in(plane(64));
        fill(in, static_cast<float>(i));
        executable->evaluate({{{"a0", i % 2 == 0 ? &in : &kept}}, {{"b0", &out}}});
        if (computes()) {
            EXPECT_EQ(first(out), i % 2 == 0 ? 2.0F * static_cast<float>(i) : 6.0F);
        }
    }
    if (is("apple")) {
        Surface out(plane(64));
        executable->evaluate({{{"a0", &kept}}, {{"b0", &out}}});
        if (standin_.is_there()) {
            EXPECT_EQ(standin_.count("requests"), 1) << "those of surfaces that are gone are gone";
            EXPECT_EQ(standin_.count("surfaces"), 2);
        }
    }
}

TEST_P(EveryDevice, CompilesWhileItEvaluates) {
    const auto device = open();
    const auto executable = device->compile(scaled(2));
    std::thread compiler([&] {
        for (int i = 0; i < 20; ++i) {
            device->compile(scaled(i + 3));
        }
    });
    Surface x(plane(64)), y(plane(64));
    for (int i = 0; i < 200; ++i) {
        fill(x, static_cast<float>(i));
        executable->evaluate({{{"a0", &x}}, {{"b0", &y}}});
        EXPECT_EQ(first(y), computes() ? 2.0F * static_cast<float>(i) : 0.0F);
    }
    compiler.join();
    EXPECT_EQ(device->compiles(), 21);
}

TEST_P(EveryDevice, TwoThreadsEvaluateWithOneWeight) {
    if (is("emulator")) {
        GTEST_SKIP() << "executables of one pool take turns";
    }
    const auto device = open();
    mil::Builder b;
    const auto a0 = b.input("a0", plane(64)), a1 = b.input("a1", plane(64));
    b.output(b.rename(b.add(a0, a1), "b0"));
    const auto made = package(b);
    Surface weight(plane(64));
    fill(weight, 7);
    const auto work = [&](float start) {
        const auto executable = device->compile(made);
        Surface x(plane(64)), y(plane(64));
        for (int i = 0; i < 100; ++i) {
            fill(x, start + static_cast<float>(i));
            executable->evaluate({{{"a0", &x}, {"a1", &weight}}, {{"b0", &y}}});
            EXPECT_EQ(first(y), computes() ? start + static_cast<float>(i) + 7.0F : 0.0F);
            EXPECT_EQ(first(std::as_const(weight)), 7.0F);
        }
    };
    // Where the weight lies is settled before threads share it.
    work(0);
    std::thread other(work, 100.0F);
    work(500);
    other.join();
}

TEST_P(EveryDevice, RunsAFunctionOfAnyName) {
    mil::Builder b("other");
    b.output(b.rename(b.scale(b.input("a0", plane(64)), 4), "b0"));
    mil::Package both = scaled(2);
    both.program.functions.push_back(b.take());
    const auto device = open();
    const auto executable = device->compile(both, "other");
    Surface x(plane(64)), y(plane(64));
    fill(x, 2);
    executable->evaluate({{{"a0", &x}}, {{"b0", &y}}});
    EXPECT_EQ(first(y), computes() ? 8.0F : 0.0F);
}

INSTANTIATE_TEST_SUITE_P(Devices, EveryDevice, testing::Values("null", "emulator", "apple"),
                         [](const auto& parameter) { return std::string(parameter.param); });

// --- soak ---

// Sanitizers hold back what was freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool keeps_freed_memory = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool keeps_freed_memory = true;
#else
constexpr bool keeps_freed_memory = false;
#endif
#else
constexpr bool keeps_freed_memory = false;
#endif

long resident_kilobytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) {
            return std::atol(line.c_str() + 6);
        }
    }
    return 0;
}

std::size_t open_files() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                      std::filesystem::directory_iterator()));
}

/// The environment variable TMPDIR for a scope.
class TemporaryPlace {
  public:
    explicit TemporaryPlace(const std::filesystem::path& path) {
        if (const char* before = std::getenv("TMPDIR")) {
            before_ = before;
        }
        ::setenv("TMPDIR", path.c_str(), 1);
    }
    ~TemporaryPlace() {
        if (before_) {
            ::setenv("TMPDIR", before_->c_str(), 1);
        } else {
            ::unsetenv("TMPDIR");
        }
    }
    TemporaryPlace(const TemporaryPlace&) = delete;
    TemporaryPlace& operator=(const TemporaryPlace&) = delete;

  private:
    std::optional<std::string> before_;
};

/// Evaluates and compiles over the stand-in; what is in use at the end is what was in use after the
/// first tenth.
void soak(int evaluations, int compiles) {
    const Standin standin;
    if (!standin.is_there()) {
        GTEST_SKIP() << "the stand-in is written for Linux";
    }
    const TemporaryDirectory temporary;
    const TemporaryPlace place(temporary.path());
    {
        Options options;
        options.runtime = standin.path();
        options.routes = {"client"};  // no budget
        const auto device = open_apple_device(options);
        const auto kept = device->compile(scaled(2));
        Surface x(plane(64)), y(plane(64));
        struct Use {
            long kilobytes, objects, surfaces;
            std::size_t files, entries;
        };
        const auto use = [&] {
            return Use{resident_kilobytes(), standin.count("objects"), standin.count("surfaces"),
                       open_files(),
                       static_cast<std::size_t>(std::distance(
                           std::filesystem::recursive_directory_iterator(temporary.path()),
                           std::filesystem::recursive_directory_iterator()))};
        };
        std::optional<Use> early;
        for (int i = 0; i < evaluations; ++i) {
            fill(x, static_cast<float>(i % 512));
            kept->evaluate({{{"a0", &x}}, {{"b0", &y}}});
            ASSERT_EQ(first(y), 2.0F * static_cast<float>(i % 512));
            if (i % (evaluations / compiles) == 0) {
                const auto made = device->compile(scaled(1.0 + i % 8));
                Surface in(plane(64)), out(plane(64));
                fill(in, 1);
                made->evaluate({{{"a0", &in}}, {{"b0", &out}}});
                ASSERT_EQ(first(out), 1.0F + static_cast<float>(i % 8));
            }
            if (i == evaluations / 10) {
                early = use();
            }
        }
        const Use late = use();
        EXPECT_EQ(late.objects, early->objects);
        EXPECT_EQ(late.surfaces, early->surfaces);
        EXPECT_EQ(late.files, early->files);
        EXPECT_EQ(late.entries, early->entries);
        if (!keeps_freed_memory) {
            EXPECT_LT(late.kilobytes - early->kilobytes, 1024) << "KiB more than after a tenth";
        }
    }
    for (const char* what : {"violations", "objects", "surfaces", "loaded", "requests"}) {
        EXPECT_EQ(standin.count(what), 0) << what;
    }
    EXPECT_TRUE(std::filesystem::is_empty(temporary.path()));
}

TEST(Soak, NothingGrowsInTenThousandEvaluationsAndFiveHundredCompiles) {
    soak(10000, 500);
}

}  // namespace
}  // namespace pome::device::apple
