#include "formats/ane_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "formats/weight_blob.h"

namespace pome::formats {
namespace {

using testing::HasSubstr;

AneModel small_model() {
    return {"program(1.3) {}",
            "cross_entropy",
            {{"w1", DType::fp16, {2, 3}, true, {0.5F, -1.0F, 2.0F, 0.0F, 0.25F, 65504.0F}},
             {"mask", DType::fp32, {2}, false, {1e-30F, 3.0F}},
             {"b", DType::fp16, {}, true, {1.0F}}}};
}

std::string refusal(std::span<const std::byte> bytes) {
    try {
        parse_ane_model(bytes, "f.ane");
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Code::malformed_file);
        return error.text();
    }
    return "read";
}

/// A file whose table of contents is this text, followed by one fp16 weight of two elements.
std::string refusal_of_table(const std::string& text) {
    BlobWriter writer;
    writer.add(DType::uint8, std::as_bytes(std::span(text)));
    writer.add(DType::fp16, std::vector<std::byte>(4));
    return refusal(writer.take());
}

TEST(AneModel, ComesBackAsItWasWritten) {
    const AneModel model = small_model();
    const auto bytes = ane_model_bytes(model);
    EXPECT_TRUE(is_ane_model(bytes));
    const AneModel read = parse_ane_model(bytes, "f.ane");
    EXPECT_EQ(read.program, model.program);
    EXPECT_EQ(read.loss, model.loss);
    ASSERT_EQ(read.weights.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(read.weights[i].name, model.weights[i].name);
        EXPECT_EQ(read.weights[i].dtype, model.weights[i].dtype);
        EXPECT_EQ(read.weights[i].shape, model.weights[i].shape);
        EXPECT_EQ(read.weights[i].trained, model.weights[i].trained);
        EXPECT_EQ(read.weights[i].values, model.weights[i].values);
    }
    EXPECT_EQ(ane_model_bytes(read), bytes);
}

TEST(AneModel, IsAWeightBlobThatAnyReaderReads) {
    const auto bytes = ane_model_bytes(small_model());
    const auto records = list_blob_records(bytes, "f.ane");
    ASSERT_EQ(records.size(), 4U);
    EXPECT_EQ(records[0].dtype, DType::uint8);
    EXPECT_EQ(records[1].dtype, DType::fp16);
    EXPECT_EQ(records[1].bytes, 12U);
}

TEST(AneModel, EveryTruncationIsRefused) {
    const auto bytes = ane_model_bytes(small_model());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_NE(refusal(std::span(bytes).first(size)), "read") << size;
    }
    auto longer = bytes;
    longer.resize(bytes.size() + 64);
    EXPECT_THAT(refusal(longer), HasSubstr("64 bytes follow the last weight"));
}

TEST(AneModel, BadTablesAreRefusedByName) {
    const std::string start =
        R"({"format":"pome.model","version":1,"loss":"cross_entropy","program":"p","weights":)";
    const auto weight = [&](const std::string& w) {
        return refusal_of_table(start + "[" + w + "]}");
    };
    EXPECT_EQ(weight(R"({"name":"w","dtype":"fp16","shape":[2],"trained":true})"), "read");
    EXPECT_THAT(refusal_of_table("{}"), HasSubstr("'format' is missing or no text"));
    EXPECT_THAT(refusal_of_table("[]"), HasSubstr("f.ane"));
    EXPECT_THAT(refusal_of_table(R"({"format":"pome.model","version":2})"),
                HasSubstr("'version' is not 1; a newer program may have written it"));
    EXPECT_THAT(
        refusal_of_table(R"({"format":"pome.model","version":1,"program":"p","loss":"l1"})"),
        HasSubstr("'loss' is neither"));
    EXPECT_THAT(refusal_of_table(start + "3}"), HasSubstr("'weights' is missing or no list"));
    EXPECT_THAT(weight("1"), HasSubstr("a weight is no object"));
    EXPECT_THAT(weight(R"({"name":"../w","dtype":"fp16","shape":[2],"trained":true})"),
                HasSubstr("a weight's name is not"));
    EXPECT_THAT(weight(R"({"name":"w","dtype":"int8","shape":[2],"trained":true})"),
                HasSubstr("weight 'w' is neither fp16 nor fp32"));
    EXPECT_THAT(weight(R"({"name":"w","dtype":"fp16","shape":[-2],"trained":true})"),
                HasSubstr("a size of weight 'w'"));
    EXPECT_THAT(
        weight(
            R"({"name":"w","dtype":"fp16","shape":[4294967296,4294967296,4294967296],"trained":true})"),
        HasSubstr("more than 2^62 elements"));
    EXPECT_THAT(weight(R"({"name":"w","dtype":"fp16","shape":[3],"trained":true})"),
                HasSubstr("the record has 4 bytes, 3 elements of fp16 have 6"));
    EXPECT_THAT(weight(R"({"name":"w","dtype":"fp16","shape":[2],"trained":1})"),
                HasSubstr("'trained' of weight 'w'"));
    const std::string two = R"({"name":"w","dtype":"fp16","shape":[2],"trained":true})";
    EXPECT_THAT(weight(two + "," + two), HasSubstr("two weights are named 'w'"));
}

TEST(AneModel, APlainBlobIsExplained) {
    BlobWriter writer;
    writer.add(DType::fp16, std::vector<std::byte>(4));
    const auto bytes = writer.take();
    EXPECT_FALSE(is_ane_model(bytes));
    EXPECT_THAT(refusal(bytes),
                HasSubstr("the first record holds fp16, not the table of contents"));
}

TEST(AneModel, WhatCannotBeReadAgainIsNotWritten) {
    const auto refused = [](auto change) {
        AneModel model = small_model();
        change(model);
        EXPECT_THROW(ane_model_bytes(model), Error);
    };
    refused([](AneModel& m) { m.loss = "l1"; });
    refused([](AneModel& m) { m.weights[0].name = "w/1"; });
    refused([](AneModel& m) { m.weights[1].name = "w1"; });
    refused([](AneModel& m) { m.weights[0].values.pop_back(); });
    refused([](AneModel& m) { m.weights[0].dtype = DType::int8; });
}

}  // namespace
}  // namespace pome::formats
