#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/file.h"
#include "formats/checkpoint.h"
#include "formats/llama2c_model.h"
#include "formats/npy.h"
#include "formats/safetensors.h"
#include "formats/token_shard.h"
#include "formats/tokenizer.h"
#include "formats/weight_blob.h"
#include "support/test_data.h"

namespace pome::formats {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    const auto view = std::as_bytes(std::span(text));
    return {view.begin(), view.end()};
}

template <typename T>
void put(std::vector<std::byte>& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Weight blobs.

TEST(WeightBlob, WritesTheDocumentedLayoutAndReadsItBack) {
    BlobWriter writer;
    const std::vector<std::byte> first(64 * 64 * 2, std::byte{1}), second(64 * 2, std::byte{2});
    EXPECT_EQ(writer.add(DType::fp16, first), 64U);
    EXPECT_EQ(writer.add(DType::fp16, second), 8320U);  // the offsets that compiled models have
    const auto file = writer.take();
    EXPECT_EQ(read_blob(file, "w", 64, DType::fp16, 64 * 64), first);
    EXPECT_EQ(read_blob(file, "w", 8320, DType::fp16, 64), second);
    EXPECT_EQ(list_blob_records(file, "w").size(), 2U);
    EXPECT_EQ(file[64], std::byte{0xEF});
    BlobWriter one;
    one.add(DType::fp16, std::vector<std::byte>(16 * 16 * 2));
    EXPECT_EQ(one.take().size(), 640U);
}

TEST(WeightBlob, PacksSubByteTypes) {
    for (const DType dtype :
         {DType::uint1, DType::uint2, DType::uint3, DType::uint4, DType::uint6, DType::int4}) {
        std::vector<std::byte> values;
        for (int i = 0; i < 37; ++i) {
            const int limit = 1 << bits(dtype);
            values.push_back(static_cast<std::byte>(dtype == DType::int4 ? i % 16 - 8 : i % limit));
        }
        BlobWriter writer;
        writer.add(dtype, values);
        EXPECT_EQ(read_blob(writer.take(), "w", 64, dtype, 37), values) << name(dtype);
    }
}

TEST(WeightBlob, MalformedFilesAreNamedWithTheLikelyCause) {
    BlobWriter writer;
    writer.add(DType::fp16, std::vector<std::byte>(128));
    const auto good = writer.take();
    const auto text = [](const std::vector<std::byte>& file, std::int64_t elements = 64) {
        return error_text([&] { read_blob(file, "w.bin", 64, DType::fp16, elements); });
    };
    auto bad = good;
    put(bad, 64, std::uint32_t{0xEFBEADDE});
    EXPECT_EQ(text(bad),
              "[formats.weight_blob] w.bin: Invalid sentinel in blob_metadata: 0xefbeadde, not "
              "0xdeadbeef; the bytes are reversed (at byte 64)");
    bad = good;
    put(bad, 4, std::uint32_t{1});
    EXPECT_EQ(text(bad),
              "[formats.weight_blob] w.bin: Storage Reader expects file format version 2., found "
              "1; is this a weight blob? (at byte 4)");
    bad = good;
    put(bad, 72, ~std::uint64_t{0});
    EXPECT_EQ(text(bad),
              "[formats.weight_blob] w.bin: 18446744073709551615 bytes of data at 128 do not lie "
              "in a file of 256; truncated? (at byte 72)");
    bad = good;
    bad.resize(200);
    EXPECT_EQ(text(bad),
              "[formats.weight_blob] w.bin: 128 bytes of data at 128 do not lie in a file of 200; "
              "truncated? (at byte 72)");
    bad.resize(100);
    EXPECT_EQ(
        text(bad),
        "[formats.weight_blob] w.bin: no room for a record of 64 bytes in a file of 100; 64-byte "
        "header: the container needs 128 bytes before the data (at byte 64)");
    EXPECT_EQ(text(good, 65),
              "[formats.weight_blob] w.bin: the record has 128 bytes, 65 elements of fp16 have 130 "
              "(at byte 72)");
}

// llama2.c models.

std::vector<std::byte> tiny_model(std::vector<std::int32_t> header = {4, 6, 1, 2, 1, 8, 3}) {
    ByteWriter out;
    for (const std::int32_t value : header) {
        out.put(value);
    }
    const int floats = 8 * 4 + 4 + 16 + 8 + 8 + 16 + 4 + 24 + 24 + 24 + 4 + 3 * 2;
    for (int i = 0; i < floats; ++i) {
        out.put(static_cast<float>(i));
    }
    return out.take();
}

TEST(Llama2c, ReadsAndWritesTheSameFile) {
    const auto file = tiny_model();
    const auto model = parse_llama2c(file, "m");
    EXPECT_EQ(model.tensors.at("layers.0.attention.wk.weight").shape, (Shape{2, 4}));
    EXPECT_EQ(model.tensors.at("embedding.weight").values[5], 5.0F);
    const TemporaryDirectory work;
    write_llama2c(work.path() / "m.bin", model);
    const auto again = read_llama2c(work.path() / "m.bin");
    EXPECT_EQ(again.tensors.at("norm.weight").values, model.tensors.at("norm.weight").values);
    EXPECT_EQ(again.tensors.size(), model.tensors.size());
}

TEST(Llama2c, BothVersionsOfARealModelHoldTheSameTensors) {
    POME_REQUIRE_TEST_DATA(folder, "llama2c");
    const auto first = read_llama2c(folder / "stories260K.bin"),
               second = read_llama2c(folder / "stories260K_v1.bin");
    ASSERT_EQ(first.tensors.size(), second.tensors.size());
    for (const auto& [name, tensor] : first.tensors) {
        EXPECT_EQ(tensor.values, second.tensors.at(name).values) << name;
    }
}

TEST(Llama2c, BadFilesAreRefusedInTheseWords) {
    const auto text = [](const std::vector<std::byte>& file) {
        return error_text([&] { parse_llama2c(file, "m"); });
    };
    auto bad = tiny_model();
    bad.resize(bad.size() - 4);
    EXPECT_EQ(text(bad),
              "[formats.llama2c] m: 704 bytes, a model of these sizes has 708; truncated, or not a "
              "llama2.c model (at byte 0)");
    bad = tiny_model();
    bad.resize(bad.size() + 4);
    EXPECT_EQ(text(bad),
              "[formats.llama2c] m: 712 bytes, a model of these sizes has 708; truncated, or not a "
              "llama2.c model (at byte 0)");
    EXPECT_EQ(text(tiny_model({4, -6, 1, 2, 1, 8, 3})),
              "[formats.llama2c] m: hidden_dim is -6; is this a llama2.c model? (at byte 0)");
    EXPECT_EQ(text(tiny_model({4, 6, 1, 3, 1, 8, 3})),
              "[formats.llama2c] m: dim 4 is no multiple of n_heads 3 (at byte 0)");
    bad = tiny_model();
    put(bad, 28 + 4 * 33, std::numeric_limits<float>::quiet_NaN());
    EXPECT_EQ(text(bad),
              "[formats.llama2c] m: layers.0.attention_norm.weight[1] is nan: weights must be "
              "finite (at byte 160)");
    EXPECT_EQ(
        text(bytes_of("ak")),
        "[formats.llama2c] m: 4 bytes wanted, but the file ends at byte 2; truncated? (at byte 0)");
}

// Safetensors.

std::vector<std::byte> safetensors(const std::string& header, std::size_t data) {
    ByteWriter out;
    out.put<std::uint64_t>(header.size());
    out.put_bytes(std::as_bytes(std::span(header)));
    auto bytes = out.take();
    bytes.resize(bytes.size() + data);
    return bytes;
}

TEST(Safetensors, RoundTrips) {
    const TemporaryDirectory work;
    const std::vector<float> a{1, 2, 3, 4, 5, 6}, b{7};
    const std::vector<TensorView> tensors{{"a", DType::fp32, {2, 3}, std::as_bytes(std::span(a))},
                                          {"b", DType::fp32, {}, std::as_bytes(std::span(b))}};
    write_safetensors(work.path() / "t.safetensors", tensors, {{"model", "x"}});
    const SafetensorsFile file(work.path() / "t.safetensors");
    EXPECT_EQ(file.metadata().at("model"), "x");
    EXPECT_EQ(file.tensors().at("a").shape, (Shape{2, 3}));
    EXPECT_EQ(std::memcmp(file.tensors().at("a").bytes.data(), a.data(), 24), 0);
}

TEST(Safetensors, ForgedHeadersAreRefusedInTheseWords) {
    const auto text = [](const std::string& header, std::size_t data) {
        return error_text([&] { parse_safetensors(safetensors(header, data), "t", nullptr); });
    };
    EXPECT_EQ(
        text(
            R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
            12),
        "[formats.safetensors] t: tensor 'b': its bytes start at 4, they overlap those before, "
        "which end at 8 (at byte 8)");
    EXPECT_EQ(text(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
              "[formats.safetensors] t: tensor 'a': its bytes start at 4, the ones before end at 0 "
              "(at byte 8)");
    EXPECT_EQ(text(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8),
              "[formats.safetensors] t: tensor 'a': shape has a size that is negative or no "
              "integer (at byte 8)");
    EXPECT_EQ(
        text(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8),
        "[formats.safetensors] t: tensor 'a': shape has more than 2^62 bytes (at byte 8)");
    EXPECT_EQ(text(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4),
              "[formats.safetensors] t: tensor 'a': bytes 0 to 8 do not lie in the 4 bytes of "
              "data; truncated? (at byte 8)");
    EXPECT_EQ(text(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
              "[formats.safetensors] t: tensor 'a': 8 bytes, fp32 [3] has 12 (at byte 8)");
    EXPECT_EQ(text(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9),
              "[formats.safetensors] t: the tensors end at byte 70, the file at 71 (at byte 70)");
    EXPECT_EQ(text("[]", 0), "[formats.safetensors] t: the header is no JSON object (at byte 8)");
    std::vector<std::byte> huge(8, std::byte{0xFF});
    EXPECT_EQ(error_text([&] { parse_safetensors(huge, "t", nullptr); }),
              "[formats.safetensors] t: the header has 18446744073709551615 bytes, the file 8; "
              "truncated, or not a safetensors file (at byte 0)");
}

// Tokens and tokenizers.

TEST(Tokens, BothWidthsRoundTripAndBadOnesAreNamed) {
    const TemporaryDirectory work;
    const std::vector<std::int32_t> ids{1, 5, 511, 7}, large{1, 151935, 70000};
    write_tokens(work.path() / "a.bin", ids, 512);
    write_tokens(work.path() / "b.bin", large, 151936);
    EXPECT_EQ(std::filesystem::file_size(work.path() / "a.bin"), 8U);
    const TokenShard a(work.path() / "a.bin"), b(work.path() / "b.bin");
    EXPECT_EQ(a[2], 511);
    EXPECT_EQ(b[1], 151935);
    const std::string path = (work.path() / "a.bin").string();
    EXPECT_EQ(error_text([&] { a.check_vocabulary(511); }),
              "[formats.tokens] " + path +
                  ": token 2 has id 511, the vocabulary has 511; prepare the data with the model's "
                  "tokenizer");
    write_file_atomic(work.path() / "a.bin", std::string_view("123"));
    EXPECT_EQ(error_text([&] { TokenShard(work.path() / "a.bin"); }),
              "[formats.tokens] " + path +
                  ": 3 bytes is no whole number of uint16 ids; truncated? (at byte 3)");
    write_file_atomic(work.path() / "a.bin", std::string_view(""));
    EXPECT_EQ(error_text([&] { TokenShard(work.path() / "a.bin"); }),
              "[formats.tokens] " + path +
                  ": the file is empty; make token files with `pome data prepare` (at byte 0)");
    auto cut = read_file(work.path() / "b.bin");
    cut.resize(cut.size() - 4);
    write_file_atomic(work.path() / "b.bin", cut);
    EXPECT_EQ(error_text([&] { TokenShard(work.path() / "b.bin"); }),
              "[formats.tokens] " + (work.path() / "b.bin").string() +
                  ": 3 ids of 32 bits do not fill 8 bytes; truncated? (at byte 16)");
}

TEST(Tokenizer, EncodesRealTextAsItsAuthorsDid) {
    POME_REQUIRE_TEST_DATA(folder, "llama2c");
    const auto tokenizer = Tokenizer::read(folder / "tok512.bin");
    EXPECT_EQ(tokenizer.vocabulary(), 512);
    const TokenShard shard(folder.parent_path() / "text" / "tinystories_2M_tok512.bin");
    std::string text = read_text(folder.parent_path() / "text" / "tinystories_2M.txt");
    text = text.substr(0, text.find("<|endoftext|>"));
    text = text.substr(text.find_first_not_of(" \n"));
    text = text.substr(0, text.find_last_not_of(" \n") + 1);
    const auto ids = tokenizer.encode(text, true, false);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ASSERT_EQ(ids[i], shard[static_cast<std::int64_t>(i)]) << "token " << i;
    }
    EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(Tokenizer, SentencePieceAndLlama2cAgree) {
    POME_REQUIRE_TEST_DATA(folder, "llama2c");
    const auto binary = Tokenizer::read(folder / "tokenizer.bin"),
               model = Tokenizer::read(folder / "tokenizer.model");
    ASSERT_EQ(binary.vocabulary(), model.vocabulary());
    for (const char* text : {"Once upon a time, there was a little girl.",
                             "caf\xC3\xA9 \xF0\x9F\x98\x80 x=1;\n  tab", "\xFF\xFE"}) {
        EXPECT_EQ(binary.encode(text, true, true), model.encode(text, true, true)) << text;
        EXPECT_EQ(binary.decode(binary.encode(text, true, false)), text);
    }
}

TEST(Tokenizer, BadFilesAreRefusedInTheseWords) {
    EXPECT_EQ(error_text([] { Tokenizer::parse_llama2c(bytes_of("garbage!"), "t"); }),
              "[formats.tokenizer] t: longest token of 1651663207 bytes; is this a tokenizer.bin "
              "of llama2.c? (at byte 0)");
    ByteWriter out;
    out.put<std::uint32_t>(5);
    out.put(1.0F);
    out.put<std::int32_t>(100);
    EXPECT_EQ(error_text([&] { Tokenizer::parse_llama2c(out.bytes(), "t"); }),
              "[formats.tokenizer] t: 100 bytes wanted, but the file ends at byte 12; truncated? "
              "(at byte 12)");
    std::vector<Tokenizer::Piece> pieces(300, {"x", 0.0F});
    EXPECT_EQ(error_text([&] { Tokenizer(pieces).expect_vocabulary(512, "t.bin"); }),
              "[formats.tokenizer] t.bin: 300 tokens, the model has a vocabulary of 512; use the "
              "tokenizer that the model was trained with");
    EXPECT_EQ(error_text([&] { Tokenizer(pieces).decode(1, 300); }),
              "[formats.tokenizer] token id 300 is outside the vocabulary of 300");
}

// Arrays.

TEST(Npy, RoundTripsAndNamesWhatIsWrong) {
    const TemporaryDirectory work;
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 3}}) {
        Array array{
            DType::fp16, shape,
            std::vector<std::byte>(static_cast<std::size_t>(shape.elements()) * 2, std::byte{7})};
        write_npy(work.path() / "a.npy", array);
        const auto again = read_npy(work.path() / "a.npy");
        EXPECT_EQ(again.shape, shape);
        EXPECT_EQ(again.bytes, array.bytes);
    }
    auto file = read_file(work.path() / "a.npy");
    file.resize(file.size() - 1);
    EXPECT_EQ(
        error_text([&] { parse_npy(file, "a"); }),
        "[formats.npy] a: 11 bytes of data, shape [2,3] of fp16 has 12; truncated? (at byte 128)");
    EXPECT_EQ(error_text([&] { parse_npy(bytes_of("PK\x03\x04 zip"), "a"); }),
              "[formats.npy] a: this is no .npy file; write one with numpy.save (at byte 0)");
}

// Checkpoints.

TEST(Checkpoint, IsBelievedAsAWholeOrNotAtAll) {
    const TemporaryDirectory work;
    const std::vector<float> w{1, 2, 3, 4};
    const std::vector<TensorView> model{{"w", DType::fp32, {4}, std::as_bytes(std::span(w))}};
    const auto path = work.path() / "checkpoints" / "step_1";
    write_checkpoint(path, model, model, {{"step", 1}}, {});
    write_checkpoint(path, model, model, {{"step", 2}}, {});  // replaced
    EXPECT_EQ(Checkpoint(path).state().at("step"), 2);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path.parent_path()), {}), 1);

    auto bytes = read_file(path / "model.safetensors");
    bytes.back() ^= std::byte{1};
    write_file_atomic(path / "model.safetensors", bytes);
    EXPECT_NE(error_text([&] { Checkpoint{path}; }).find("damaged, or from another checkpoint"),
              std::string::npos);
    write_file_atomic(path / "state.json", std::string_view("{"));
    EXPECT_EQ(error_text([&] { Checkpoint{path}; }),
              "[formats.checkpoint] " + (path / "state.json").string() +
                  ": this is no JSON text; truncated? (at byte 1)");
    std::filesystem::create_directory(path.parent_path() / ".tmp-step_9-abc");
    sweep_temporary_checkpoints(path.parent_path());
    EXPECT_FALSE(std::filesystem::exists(path.parent_path() / ".tmp-step_9-abc"));
}

TEST(Checkpoint, AnUnwritableFolderIsNamed) {
    EXPECT_EQ(error_text([] { write_checkpoint("/proc/nothing/step_1", {}, {}, {}, {}); }),
              "[formats.checkpoint] /proc/nothing: cannot create: No such file or directory");
}

}  // namespace
}  // namespace pome::formats
