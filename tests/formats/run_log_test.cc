#include "formats/run_log.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/file.h"
#include "support/expect_error.h"
#include "support/full_disk.h"

namespace pome::formats {
namespace {

using nlohmann::json;

TEST(RunLog, EachRecordIsALineAtOnce) {
    const TemporaryDirectory work;
    const auto path = work.path() / "metrics.jsonl";
    RunLog log(path);
    EXPECT_EQ(read_text(path), "");
    log.append({{"step", 1}, {"loss", 2.5}});
    EXPECT_EQ(read_text(path), "{\"loss\":2.5,\"step\":1}\n");
    log.append({{"step", 2}, {"loss", std::numeric_limits<double>::quiet_NaN()}, {"text", "a\nb"}});
    const auto records = read_run_log(path);
    ASSERT_EQ(records.size(), 2U);
    EXPECT_TRUE(records[1]["loss"].is_null());
    EXPECT_EQ(records[1]["text"], "a\nb");
}

TEST(RunLog, OpeningAgainAppends) {
    const TemporaryDirectory work;
    const auto path = work.path() / "metrics.jsonl";
    RunLog(path).append({{"step", 1}});
    RunLog(path).append({{"step", 2}});
    EXPECT_EQ(read_text(path), "{\"step\":1}\n{\"step\":2}\n");
}

TEST(RunLog, ATornLastLineIsNoRecordAndIsRemoved) {
    const TemporaryDirectory work;
    const auto path = work.path() / "metrics.jsonl";
    const std::string zeros(100, '\0');  // what a file system may leave after a crash
    for (const std::string& torn : {std::string("{\"st"), std::string("{\"step\":2}"), zeros}) {
        write_file_atomic(path, "{\"step\":1}\n" + torn);
        EXPECT_EQ(read_run_log(path).size(), 1U);
        RunLog(path).append({{"step", 3}});
        EXPECT_EQ(read_text(path), "{\"step\":1}\n{\"step\":3}\n");
    }
    write_file_atomic(path, std::string_view("{\"only"));
    RunLog(path).append({{"step", 3}});
    EXPECT_EQ(read_text(path), "{\"step\":3}\n");
}

TEST(RunLog, AResumedRunDropsWhatItWillWriteAgain) {
    const TemporaryDirectory work;
    const auto path = work.path() / "metrics.jsonl";
    const std::string kept = "{\"event\": \"start\"}\n{\"step\":1}\n{\"step\":2}\n";
    write_file_atomic(path, kept + "{\"step\":3}\n{\"step\":4}\n{\"step\":5");
    RunLog(path, 3).append({{"step", 3}});
    EXPECT_EQ(read_text(path), kept + "{\"step\":3}\n") << "what stays keeps even its spaces";
    { const RunLog log(path, 100); }
    EXPECT_EQ(read_text(path), kept + "{\"step\":3}\n");
    { const RunLog log(path, 0); }
    EXPECT_EQ(read_text(path), "{\"event\": \"start\"}\n") << "records without a step stay";
    { const RunLog log(work.path() / "new.jsonl", 3); }
    EXPECT_EQ(read_text(work.path() / "new.jsonl"), "");
}

TEST(RunLog, AWholeLineThatIsNoRecordIsNamedAndKept) {
    const TemporaryDirectory work;
    const auto path = work.path() / "metrics.jsonl";
    const auto refused = [&](const std::string& text, const std::string& message) {
        write_file_atomic(path, text);
        const auto whole = "[formats.run_log] " + path.string() + ": " + message;
        test::expect_error(Code::malformed_file, whole, [&] { read_run_log(path); });
        test::expect_error(Code::malformed_file, whole, [&] { RunLog(path, 1); });
        EXPECT_EQ(read_text(path), text);
    };
    refused("{\"step\":1}\nhello\n{}\n", "line 2 is no sound JSON text (at byte 11)");
    refused("\n", "line 1 is no sound JSON text (at byte 0)");
    refused("[1]\n", "line 1 is no JSON object (at byte 0)");
    refused("{}\n{\"a\":1,\"a\":2}\n", "line 2 is no sound JSON text (at byte 3)");
}

TEST(RunLog, RefusesWhatIsNoRecord) {
    const TemporaryDirectory work;
    const auto path = work.path() / "metrics.jsonl";
    RunLog log(path);
    const std::string start = "[formats.run_log] " + path.string();
    test::expect_error(Code::invalid_argument,
                       start + ": a record must be a JSON object, not array",
                       [&] { log.append(json::array()); });
    test::expect_error(Code::invalid_argument, start + ": a record has text that is no UTF-8", [&] {
        log.append({{"a", "\xFF"}});
    });
    EXPECT_EQ(read_text(path), "");
}

TEST(RunLog, AFullDiskLeavesNoHalfRecord) {
    const TemporaryDirectory work;
    const auto path = work.path() / "metrics.jsonl";
    RunLog log(path);
    log.append({{"step", 1}});
    {
        const test::FullDisk full(50);  // part of the next record fits
        test::expect_error(
            Code::io, "[formats.run_log] " + path.string() + ": cannot write: File too large", [&] {
                log.append({{"text", std::string(100, 'x')}});
            });
    }
    EXPECT_EQ(read_text(path), "{\"step\":1}\n");
    log.append({{"step", 2}});
    EXPECT_EQ(read_run_log(path).size(), 2U);
}

TEST(RunLog, AMissingFolderIsNamed) {
    test::expect_error(
        Code::io, "[formats.run_log] /nonexistent/m.jsonl: cannot open: No such file or directory",
        [] { RunLog("/nonexistent/m.jsonl"); });
}

}  // namespace
}  // namespace pome::formats
