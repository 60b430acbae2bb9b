#include "formats/checkpoint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/forged_bytes.h"
#include "support/full_disk.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;
using Names = std::vector<std::string>;
using Path = std::filesystem::path;
using nlohmann::json;

/// Writes a checkpoint whose tensors hold `fill`.
void write(const Path& directory, int fill, std::size_t size = 100,
           const json& state = {{"step", 7}}) {
    const Bytes data(size, static_cast<std::byte>(fill));
    const auto length = static_cast<std::int64_t>(size);
    const TensorView weight{"w", DType::uint8, {length}, data};
    const TensorView moment{"m.w", DType::uint8, {length}, data};
    write_checkpoint(directory, {&weight, 1}, {&moment, 1}, state, {{"format", "pome"}});
}

int fill_of(const Path& directory) {
    const Checkpoint checkpoint(directory);
    return static_cast<int>(checkpoint.model().tensors().find("w")->second.bytes[0]);
}

Names names_in(const Path& folder) {
    Names names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
}

void expect_refused(Code code, const std::string& text, const Path& directory) {
    test::expect_error(code, text, [&] { Checkpoint{directory}; });
}

void flip_bit(const Path& file, std::size_t at) {
    Bytes bytes = read_file(file);
    bytes.at(at) ^= std::byte{1};
    write_file_atomic(file, bytes);
}

json sealed_model(const Path& directory) {
    return Checkpoint(directory).state()["files"]["model.safetensors"];
}

TEST(Checkpoint, HoldsTensorsMetadataAndState) {
    const TemporaryDirectory work;
    const auto path = work.path() / "runs" / "step_1";  // the folder is made
    write(path, 5, 100, {{"step", 7}, {"random", {1, 2, 3, 18446744073709551615U}}});
    EXPECT_EQ(names_in(path), (Names{"model.safetensors", "optimizer.safetensors", "state.json"}));
    EXPECT_EQ(names_in(work.path() / "runs"), Names{"step_1"});
    Checkpoint first(path);
    const Checkpoint checkpoint(std::move(first));
    EXPECT_EQ(checkpoint.model().tensors().find("w")->second.bytes.size(), 100U);
    EXPECT_EQ(checkpoint.optimizer().tensors().find("m.w")->second.bytes[99], std::byte{5});
    EXPECT_EQ(checkpoint.model().metadata().find("format")->second, "pome");
    EXPECT_EQ(checkpoint.state()["step"], 7);
    EXPECT_EQ(checkpoint.state()["random"][3].get<std::uint64_t>(), 18446744073709551615U);
    EXPECT_EQ(sealed_model(path)["bytes"], std::filesystem::file_size(path / "model.safetensors"));
}

TEST(Checkpoint, IsReplacedWhole) {
    const TemporaryDirectory work;
    const auto path = work.path() / "last";
    for (const int fill : {1, 2, 3}) {
        write(path, fill);
        EXPECT_EQ(fill_of(path), fill);
        EXPECT_EQ(names_in(work.path()), Names{"last"});
    }
    write(work.path() / "last/", 4);
    EXPECT_EQ(fill_of(path), 4) << "a slash at the end changes nothing";
}

TEST(Checkpoint, AFullDiskLeavesTheOldOne) {
    const TemporaryDirectory work;
    const auto path = work.path() / "last";
    write(path, 1);
    {
        const test::FullDisk full(5000);
        try {
            write(path, 2, 10'000);
            ADD_FAILURE() << "it was written";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), Code::io);
            std::string text = error.text();  // with six random letters
            const std::string start = "[base.file] " + work.path().string() + "/.tmp-last-";
            ASSERT_GT(text.size(), start.size() + 6) << text;
            EXPECT_EQ(text.erase(start.size(), 6),
                      start + "/model.safetensors: cannot write: File too large");
        }
    }
    EXPECT_EQ(fill_of(path), 1);
    EXPECT_EQ(names_in(work.path()), Names{"last"}) << "nothing half stays";
}

TEST(Checkpoint, EveryFlippedBitOfTheTensorFilesIsFound) {
    const TemporaryDirectory work;
    const auto path = work.path() / "c";
    write(path, 1, 13);  // no multiple of the eight bytes that the checksum takes at a time
    for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
        const auto file = path / name;
        for (std::size_t at = 0; at < std::filesystem::file_size(file); ++at) {
            flip_bit(file, at);
            EXPECT_THROW(Checkpoint{path}, Error) << name << " byte " << at;
            flip_bit(file, at);
        }
    }
    EXPECT_NO_THROW(Checkpoint{path});
}

TEST(Checkpoint, SaysWhichFileIsDamaged) {
    const TemporaryDirectory work;
    const auto path = work.path() / "c", model = path / "model.safetensors";
    write(path, 1);
    const json sealed = sealed_model(path);
    const auto bytes = sealed["bytes"].get<std::uint64_t>();
    const Bytes whole = read_file(model);
    write_file_atomic(model, std::span(whole).first(whole.size() - 1));
    expect_refused(Code::malformed_file,
                   fmt::format("[formats.checkpoint] {}: {} bytes, state.json says {}; truncated, "
                               "or from another checkpoint",
                               model.string(), bytes - 1, bytes),
                   path);
    const auto other = work.path() / "other";
    write(other, 2);
    write_file_atomic(model, read_file(other / "model.safetensors"));
    expect_refused(
        Code::malformed_file,
        fmt::format("[formats.checkpoint] {}: checksum {}, state.json says {}; damaged, or from "
                    "another checkpoint",
                    model.string(), sealed_model(other)["checksum"].get<std::string>(),
                    sealed["checksum"].get<std::string>()),
        path);
}

TEST(Checkpoint, NamesAMissingFile) {
    const TemporaryDirectory work;
    write(work.path() / "c", 1);
    for (const char* name : {"optimizer.safetensors", "model.safetensors", "state.json"}) {
        const auto file = work.path() / "c" / name;
        std::filesystem::remove(file);
        expect_refused(Code::io,
                       "[base.file] " + file.string() + ": cannot open: No such file or directory",
                       work.path() / "c");
    }
}

TEST(Checkpoint, RefusesABrokenState) {
    const auto refused = [](std::string_view message, std::string_view text) {
        test::expect_error(Code::malformed_file,
                           "[formats.checkpoint] state.json: " + std::string(message),
                           [&] { parse_checkpoint_state(test::as_bytes(text), "state.json"); });
    };
    refused("this is no JSON text; truncated? (at byte 0)", "");
    refused("no JSON object", "[1]");
    refused("this is no JSON text; truncated? (at byte 9)", R"({"step": )");
    refused("the JSON text nests deeper than 64 levels (at byte 0)", std::string(100'000, '['));
    refused("the JSON text has the key 'step' twice in one object (at byte 0)",
            R"({"step":1,"step":2})");
    const auto unlisted = "'files' does not list 'model.safetensors' (at byte 0)";
    refused(unlisted, "{}");
    refused(unlisted, R"({"files":7})");
    const auto incomplete =
        "'files' lists 'model.safetensors' without a whole number of bytes and a checksum (at byte "
        "0)";
    refused(incomplete, R"({"files":{"model.safetensors":"x"}})");
    refused(incomplete, R"({"files":{"model.safetensors":{"bytes":-1,"checksum":""}}})");
    refused(incomplete, R"({"files":{"model.safetensors":{"bytes":1,"checksum":2}}})");
    refused("'files' does not list 'optimizer.safetensors' (at byte 0)",
            R"({"files":{"model.safetensors":{"bytes":1,"checksum":""}}})");
}

TEST(Checkpoint, SealedFilesMustStillBeSafetensors) {
    const TemporaryDirectory work;
    const auto path = work.path() / "c", model = path / "model.safetensors";
    write(path, 1);
    json state = Checkpoint(path).state();
    write_file_atomic(model, std::string_view(""));
    // FNV-1a of nothing is its offset basis.
    state["files"]["model.safetensors"] = {{"bytes", 0}, {"checksum", "cbf29ce484222325"}};
    write_file_atomic(path / "state.json", state.dump());
    expect_refused(Code::malformed_file,
                   "[formats.safetensors] " + model.string() +
                       ": 8 bytes wanted, but the file ends at byte 0; truncated? (at byte 0)",
                   path);
}

TEST(Checkpoint, RefusesAStateThatItCannotKeep) {
    const TemporaryDirectory work;
    const auto path = work.path() / "c";
    const auto message = "[formats.checkpoint] " + path.string() +
                         ": the state must be an object without the key 'files'";
    for (const json& state : {json::array({1}), json{{"files", 1}}, json("text")}) {
        test::expect_error(Code::invalid_argument, message, [&] { write(path, 1, 1, state); });
    }
    test::expect_error(Code::invalid_argument,
                       "[formats.checkpoint] the state has text that is no UTF-8", [&] {
                           write(path, 1, 1, {{"text", "\xFF"}});
                       });
    EXPECT_TRUE(names_in(work.path()).empty());
}

TEST(Checkpoint, SweepingRemovesWhatCrashesLeft) {
    const TemporaryDirectory work;
    const auto folder = work.path();
    write(folder / "last", 1);
    write(folder / "best", 2);
    // One writer died while writing; one before it removed what it had replaced; one between the
    // two renames, when only the replaced checkpoint was left.
    std::filesystem::create_directory(folder / ".tmp-last-AbCdEf");
    write_file_atomic(folder / ".tmp-last-AbCdEf" / "model.safetensors", std::string_view("half"));
    write(folder / ".replaced-last", 3);
    std::filesystem::rename(folder / "best", folder / ".replaced-best");
    sweep_temporary_checkpoints(folder);
    EXPECT_EQ(names_in(folder), (Names{"best", "last"}));
    EXPECT_EQ(fill_of(folder / "last"), 1);
    EXPECT_EQ(fill_of(folder / "best"), 2);
    EXPECT_NO_THROW(sweep_temporary_checkpoints(folder / "missing"));
}

/// What a writer of a checkpoint named "old-x" left half must not be taken for a replaced one.
TEST(Checkpoint, AHalfWrittenOneIsNeverPutBack) {
    const TemporaryDirectory work;
    for (const char* name : {".tmp-old-x-AbCdEf", ".tmp-.replaced-x-AbCdEf"}) {
        std::filesystem::create_directory(work.path() / name);
    }
    sweep_temporary_checkpoints(work.path());
    EXPECT_TRUE(names_in(work.path()).empty());
}

TEST(Checkpoint, IsRemovedWholeAndWhatIsLeftIsSwept) {
    const TemporaryDirectory work;
    write(work.path() / "old", 1);
    write(work.path() / "new", 2);
    // A remover that was killed left a part of another under the name that it goes by then.
    std::filesystem::create_directories(work.path() / ".tmp-old" / "rest");
    remove_checkpoint(work.path() / "old");
    EXPECT_EQ(names_in(work.path()), (Names{"new"}));
    EXPECT_NO_THROW(remove_checkpoint(work.path() / "old"));
}

}  // namespace
}  // namespace pome::formats
