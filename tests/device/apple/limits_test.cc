// Calls that never return, and children that do not.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "device/apple/child_trial.h"
#include "device/apple/timed_worker.h"
#include "support/test_data.h"

namespace pome::device::apple {
namespace {

using std::chrono::duration;

TEST(TimedWorker, DoesWorkAndPassesOnWhatItThrows) {
    TimedWorker worker;
    int done = 0;
    for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(worker.run(duration<double>(10), [&] { ++done; }));
    }
    EXPECT_EQ(done, 100);
    EXPECT_EQ(error_text([&] {
                  worker.run(duration<double>(10), [] { throw std::runtime_error("no"); });
              }),
              "no");
    EXPECT_TRUE(worker.run(duration<double>(10), [&] { ++done; }));
    EXPECT_FALSE(worker.is_stuck());
}

TEST(TimedWorker, LeavesBehindWhatHangs) {
    const auto release = std::make_shared<std::atomic<bool>>(false);
    const auto finished = std::make_shared<std::atomic<bool>>(false);
    {
        TimedWorker worker;
        EXPECT_FALSE(worker.run(duration<double>(0.05), [release, finished] {
            while (!*release) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            *finished = true;
        }));
        EXPECT_TRUE(worker.is_stuck());
        EXPECT_FALSE(worker.run(duration<double>(10), [] {}));
    }
    *release = true;
    while (!*finished) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

TEST(RunChild, TellsHowItEnds) {
    const auto failing = run_child({"/bin/sh", "-c", "echo out; echo said >&2; exit 7"}, 30);
    EXPECT_EQ(failing.kind, ChildResult::Kind::exited);
    EXPECT_EQ(failing.status, 7);
    EXPECT_EQ(failing.output, "said\n");
    const auto killed = run_child({"/bin/sh", "-c", "kill -SEGV $$"}, 30);
    EXPECT_EQ(killed.kind, ChildResult::Kind::killed);
    EXPECT_EQ(killed.status, SIGSEGV);
    const auto slow = run_child({"/bin/sh", "-c", "echo begun >&2; exec sleep 100"}, 0.3);
    EXPECT_EQ(slow.kind, ChildResult::Kind::time_over);
    EXPECT_EQ(slow.output, "begun\n");
    const auto closing = run_child({"/bin/sh", "-c", "exec 2>&-; exec sleep 100"}, 0.3);
    EXPECT_EQ(closing.kind, ChildResult::Kind::time_over);
    const auto talking = run_child({"/bin/sh", "-c", "head -c 1000000 /dev/zero >&2"}, 30);
    EXPECT_EQ(talking.status, 0);
    EXPECT_EQ(talking.output.size(), 64U << 10);
    EXPECT_NE(error_text([] { run_child({"/nowhere/program"}, 1); }).find("cannot start"),
              std::string::npos);
    EXPECT_NE(error_text([] { run_child({}, 1); }), "nothing was thrown");
}

}  // namespace
}  // namespace pome::device::apple
