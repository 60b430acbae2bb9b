#include "train/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <map>

#include "support/test_data.h"
#include "train/dynamic_pipeline.h"
#include "train/small_run.h"

namespace pome::train {
namespace {

struct TraceEvent {
    std::string name, category;
    int track = 0;
    double begin = 0.0, end = 0.0;
};

std::vector<TraceEvent> read_trace(const std::filesystem::path& file) {
    const auto trace = nlohmann::json::parse(read_text(file));
    std::vector<TraceEvent> events;
    for (const auto& event : trace.at("traceEvents")) {
        if (event.at("ph") == "X") {
            const double begin = event.at("ts").get<double>();
            events.push_back({event.at("name").get<std::string>(),
                              event.at("cat").get<std::string>(), event.at("tid").get<int>(), begin,
                              begin + event.at("dur").get<double>()});
            EXPECT_EQ(event.at("pid"), 1);
            EXPECT_GE(begin, 0.0);
        } else {
            EXPECT_EQ(event.at("ph"), "M");
            EXPECT_EQ(event.at("name"), "thread_name");
        }
    }
    return events;
}

std::vector<TraceEvent> traced_run(const std::filesystem::path& work, const std::string& name,
                                   Config config) {
    ThreadPool pool(2);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const std::atomic<bool> stop{false};
    config.run.steps = 5;
    const auto trainer = Trainer::create(config, work / name, *device, pool);
    const auto file = work / (name + ".json");
    trainer->trace(file, 3);
    trainer->run([](const Report&) {}, stop);
    return read_trace(file);
}

TEST(Timeline, RecordsOnlyWhileItIsOn) {
    Timeline timeline;
    double milliseconds = 0.0;
    { const Span span(timeline, Timeline::Track::step, "host", "before", -1, &milliseconds); }
    EXPECT_TRUE(timeline.empty());
    timeline.switch_on();
    { const Span span(timeline, Timeline::Track::compiler, "compile", "a \"name\"", 3); }
    timeline.switch_off();
    { const Span span(timeline, Timeline::Track::step, "host", "after", -1, &milliseconds); }
    EXPECT_GT(milliseconds, 0.0);
    const auto trace = nlohmann::json::parse(timeline.json());
    const auto& last = trace.at("traceEvents").back();
    EXPECT_EQ(last.at("name"), "a \"name\", block 3");
    EXPECT_EQ(last.at("cat"), "compile");
    EXPECT_EQ(trace.at("traceEvents").size(), 4U);  // three names of threads, one span
}

TEST(Timeline, ATracedRunHasEveryPartOfItsUpdates) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    Config config = small_config(work.path());
    config.engine.pipeline = "static-extras";
    config.engine.overlap = true;
    const auto events = traced_run(work.path(), "run", config);
    std::map<std::string, int> count;
    std::map<int, std::vector<TraceEvent>> tracks;
    for (const auto& event : events) {
        ++count[event.name];
        tracks[event.track].push_back(event);
    }
    EXPECT_EQ(count["update 1"], 1);
    EXPECT_EQ(count["update 3"], 1);
    EXPECT_EQ(count["update 4"], 0);
    // Two sequences an update.
    for (const char* name :
         {"attention forward, block 0", "feed_forward backward, block 3", "norm_backward, block 4",
          "store x, block 2", "embedding", "classifier weight gradient", "loss", "softmax",
          "attention weight gradients, block 0"}) {
        EXPECT_EQ(count[name], 6) << name;
    }
    EXPECT_EQ(count["optimizer"], 3);
    ASSERT_EQ(tracks.size(), 3U);
    for (const auto& event : tracks[1]) {
        EXPECT_EQ(event.category, "host");
        EXPECT_NE(event.name.find("weight gradient"), std::string::npos);
    }
    for (const auto& event : tracks[2]) {
        EXPECT_EQ(event.category, "compile");
    }
    // On one thread, one thing at a time or one inside another.
    for (auto& [track, own] : tracks) {
        std::sort(own.begin(), own.end(), [](const auto& a, const auto& b) {
            return a.begin < b.begin || (a.begin == b.begin && a.end > b.end);
        });
        std::vector<double> open;
        for (const auto& event : own) {
            constexpr double clock_tick = 0.01;  // microseconds
            while (!open.empty() && open.back() <= event.begin + clock_tick) {
                open.pop_back();
            }
            if (!open.empty()) {
                EXPECT_LE(event.end, open.back() + clock_tick) << event.name;
            }
            open.push_back(event.end);
        }
    }
}

/// The same products in the same order: not a bit changes.
TEST(Overlap, ChangesNoLoss) {
    const TemporaryDirectory work;
    prepare_data(work.path());
    for (const char* pipeline : {"dynamic", "static"}) {
        Config config = small_config(work.path());
        config.run.steps = 12;
        config.engine.pipeline = pipeline;
        config.engine.compile_limit = 0;
        std::vector<std::vector<std::string>> found;
        for (const bool overlap : {false, true}) {
            config.engine.overlap = overlap;
            const auto run = work.path() / (pipeline + std::to_string(overlap));
            ThreadPool pool(2);
            const auto device = device::emulator::make_emulator("m4", {}, pool);
            const std::atomic<bool> stop{false};
            Trainer::create(config, run, *device, pool)->run([](const Report&) {}, stop);
            found.push_back(losses(run));
        }
        ASSERT_EQ(found[0].size(), 12U);
        EXPECT_EQ(found[0], found[1]) << pipeline;
    }
}

/// Work that the caller's next action lets go on: run by the caller it would wait for ever.
TEST(Overlap, TheCallerGoesOnMeanwhile) {
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const auto architecture = model::architecture(small_config("/").model);
    model::Form form;
    form.sequence = 32;
    DynamicPipeline pipeline(architecture, *device, pool, form, {});
    pipeline.overlap_weight_gradients(pool.threads());
    std::promise<void> next;
    bool went_on = false;
    const auto number = pipeline.add_weight_gradient("products", pool, [&](ThreadPool& own) {
        EXPECT_NE(&own, &pool);
        EXPECT_EQ(own.threads(), pool.threads());
        went_on = next.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready;
    });
    next.set_value();
    pipeline.wait_for_weight_gradients(number);
    EXPECT_TRUE(went_on);
}

TEST(Overlap, AnErrorOfTheWorkReachesTheCaller) {
    Timeline timeline;
    HostWork work(1, timeline);
    std::vector<int> order;
    work.add("first", [&](ThreadPool&) { order.push_back(1); });
    const auto failing = work.add("second", [&](ThreadPool&) {
        order.push_back(2);
        fail(Code::invalid_argument, "test", "no");
    });
    work.add("third", [&](ThreadPool&) { order.push_back(3); });
    EXPECT_EQ(error_text([&] { work.wait(failing); }), "[test] no");
    work.wait_for_all();
    EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

}  // namespace
}  // namespace pome::train
