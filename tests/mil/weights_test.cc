#include "mil/weights.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "mil/corpus.h"
#include "mil/text.h"

namespace pome::mil {
namespace {

Program naming(const std::string& path) {
    return read(
        "program(1.3){func m<ios18>(){tensor<fp16, [2]> y = const()[val = tensor<fp16, [2]>("
        "BLOBFILE(path = string(\"" +
        path + "\"), offset = uint64(64)))];}->(y);}");
}

/// A directory with a weight file of {1, 2} at `inside`.
struct Directory {
    explicit Directory(const std::filesystem::path& inside) {
        WeightFiles made;
        literal = made.store("@model_path/w.bin", DType::fp16, {2}, {1, 2});
        std::filesystem::create_directories((root.path() / inside).parent_path());
        write_file_atomic(root.path() / inside, *made.files().at("@model_path/w.bin"));
    }
    TemporaryDirectory root;
    Literal literal;
};

std::vector<double> loaded(const Program& program, const std::filesystem::path& directory) {
    const auto weights = WeightFiles::load(program, directory);
    const Literal& blob = program.functions.at(0).operations.at(0).attributes.at(0).value;
    return Literal{blob.type, weights.resolve(blob)}.numbers();
}

TEST(Weights, StoredTensorsResolveToTheirElements) {
    WeightFiles weights;
    for (const DType dtype : {DType::fp16, DType::fp32, DType::int8, DType::uint4, DType::int4}) {
        const auto blob = weights.store("@model_path/weights/w.bin", dtype, {3}, {1, 2, 7});
        EXPECT_TRUE(blob.is_blob());
        EXPECT_EQ(weights.resolve(blob),
                  std::get<Literal::Bytes>(Literal::tensor(dtype, {3}, {1, 2, 7}).payload));
    }
    EXPECT_EQ(weights.files().size(), 1U);
    const Literal plain = Literal::integers({1, 2});
    EXPECT_EQ(weights.resolve(plain), std::get<Literal::Bytes>(plain.payload));
}

TEST(Weights, LoadFromTheModelsDirectoryOrItsWeightsFolder) {
    const Directory model("weights/w.bin");
    const Program program = naming("@model_path/weights/w.bin");
    EXPECT_EQ(loaded(program, model.root.path()), (std::vector<double>{1, 2}));
    EXPECT_EQ(loaded(program, model.root.path() / "weights"), (std::vector<double>{1, 2}));
    const Directory flat("w.bin");
    EXPECT_EQ(loaded(naming("@model_path/w.bin"), flat.root.path()), (std::vector<double>{1, 2}));
}

TEST(Weights, BlobsInContainersAndArgumentsAreLoadedToo) {
    const Directory model("a.bin");
    const auto program = read(
        "program(1.3){func m<ios18>(){fp16 y = f(x = (tensor<fp16, [2]>(BLOBFILE(path = "
        "string(\"@model_path/a.bin\"), offset = uint64(64)))))[v = list<tensor<fp16, [2]>, "
        "1>([BLOBFILE("
        "path = string(\"@model_path/./a.bin\"), offset = uint64(64))])];}->(y);}");
    EXPECT_EQ(WeightFiles::load(program, model.root.path()).files().size(), 2U);
}

TEST(Weights, MissingFilesAreNamedWithWhatIsThere) {
    const Directory model("other/w.bin");
    const std::string root = model.root.path().string();
    EXPECT_EQ(refusal([&] { WeightFiles::load(naming("@model_path/weights/w.bin"), root); }),
              "[mil.weights] the program's weights '@model_path/weights/w.bin' are missing: '" +
                  root +
                  "' has no weights/w.bin and no w.bin; it holds other/. Name the directory that "
                  "stands for @model_path, or its weights folder");
    EXPECT_EQ(refusal([&] { WeightFiles::load(naming("@model_path/x.bin"), root + "/other"); }),
              "[mil.weights] the program's weights '@model_path/x.bin' are missing: '" + root +
                  "/other' has no x.bin; it holds w.bin. Name the directory that stands for "
                  "@model_path, or its weights folder");
    EXPECT_EQ(refusal([&] { WeightFiles::load(naming("@model_path/x.bin"), root + "/none"); }),
              "[mil.weights] the program's weights '@model_path/x.bin': '" + root +
                  "/none' is not a directory");
}

TEST(Weights, PathsStayBelowTheModel) {
    const TemporaryDirectory directory;
    for (const std::string path :
         {"@model_path/../secret", "@model_path/weights/../../secret", "/etc/passwd",
          "weights/w.bin", "@model_path//etc/passwd", "@model_path/", "@model_path/weights/", "",
          "@model_path", "@model_path/w/.."}) {
        const std::string words = "[mil.weights] weight path '" + path +
                                  "' must begin with '@model_path/' and stay below it";
        EXPECT_EQ(refusal([&] { WeightFiles::load(naming(path), directory.path()); }), words);
        EXPECT_EQ(refusal([&] { WeightFiles().add(path, {}); }), words);
        EXPECT_EQ(refusal([&] { WeightFiles().store(path, DType::fp16, {}, {1}); }), words);
    }
    EXPECT_NE(refusal([&] { WeightFiles().add(std::string("@model_path/a\0b", 15), {}); }),
              "accepted");
}

TEST(Weights, RecordsThatDoNotFitAreRefused) {
    WeightFiles weights;
    const Literal blob = weights.store("@model_path/w.bin", DType::fp16, {2}, {1, 2});
    const auto resolve = [&](Type type, const Blob& where) {
        return refusal([&] { weights.resolve(Literal::blob(std::move(type), where)); });
    };
    EXPECT_EQ(resolve(blob.type, {"@model_path/w.bin", 64}), "accepted");
    EXPECT_EQ(resolve(blob.type, {"@model_path/v.bin", 64}),
              "[mil.weights] the weight file '@model_path/v.bin' was not given; name its directory "
              "with --weights");
    EXPECT_NE(resolve(blob.type, {"@model_path/w.bin", 128}), "accepted");
    EXPECT_NE(resolve(blob.type, {"@model_path/w.bin", ~std::uint64_t{0}}), "accepted");
    EXPECT_NE(resolve(Type::tensor(DType::fp16, {3}), {"@model_path/w.bin", 64}), "accepted");
    EXPECT_NE(resolve(Type::tensor(DType::fp32, {1}), {"@model_path/w.bin", 64}), "accepted");
    EXPECT_NE(resolve(Type::tensor(DType::fp16, {Shape::unknown}), {"@model_path/w.bin", 64}),
              "accepted");
    EXPECT_EQ(refusal([&] { weights.resolve(Literal::text("a")); }),
              "[mil.weights] string has no elements");
}

}  // namespace
}  // namespace pome::mil
