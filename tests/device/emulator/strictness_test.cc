// Silent failures through the emulator: what comes out of it when it acts as the chip.
#include <gtest/gtest.h>

#include <cstring>

#include "device/emulator/emulator.h"
#include "mil/builder.h"
#include "support/forged_bytes.h"
#include "support/test_data.h"

namespace pome::device::emulator {
namespace {

using mil::Builder;
using mil::Type;

/// The first `count` elements of y, or the error; x is filled with `x`, w with ones.
std::string outcome(const mil::Package& package, const std::string& chip, Strictness strictness,
                    double x, std::int64_t count = 1) {
    ThreadPool pool(1);
    std::vector<float> values;
    const std::string error = error_text([&] {
        const auto device = make_emulator(chip, {.strictness = strictness}, pool);
        const auto executable = device->compile(package);
        std::map<std::string, Surface> held;
        Bindings bindings;
        for (const auto& input : executable->inputs()) {
            Surface& surface = held[input.name] = Surface(input.type);
            std::fill_n(surface.halves(), surface.elements(),
                        to_fp16(input.name == "x" ? x : 1.0, Rounding::nearest_even));
            bindings.inputs[input.name] = &surface;
        }
        Surface y(executable->outputs()[0].type);
        bindings.outputs["y"] = &y;
        executable->evaluate(bindings);
        for (std::int64_t i = 0; i < count; ++i) {
            values.push_back(to_float(y.halves()[i]));
        }
    });
    return error == "nothing was thrown" ? fmt::format("{}", fmt::join(values, " ")) : error;
}

TEST(Strictness, ScalarFactorAfterRounding) {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 64, 1, 32}));
    b.output(b.rename(b.scale(b.unary("floor", x), 0.5), "y"));
    const mil::Package package{mil::make_program(b.take()), {}};
    EXPECT_EQ(outcome(package, "m5", Strictness::as_hardware, 11.3), "11");
    EXPECT_EQ(
        outcome(package, "m5", Strictness::strict, 11.3),
        "[device.compile] emulator:m5 refuses the program: mul by one number right after "
        "floor: the chip leaves the mul out (%y, rule rounding_scale); multiply by a constant "
        "of the full shape");
}

TEST(Strictness, RuntimeConvWeights) {
    Builder b;
    const auto w = b.input("w", Type::tensor(DType::fp16, {32, 32, 1, 1}));
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 32, 1, 32}));
    b.output(b.rename(b.conv(x, w, {}), "y"));
    const mil::Package package{mil::make_program(b.take()), {}};
    EXPECT_EQ(outcome(package, "m1/e5rt", Strictness::strict, 2.0), "64");
    EXPECT_EQ(outcome(package, "m3/e5rt", Strictness::as_hardware, 2.0), "64");
    // By the raw routes the weight's rows of 2 bytes fail before its values matter.
    EXPECT_NE(outcome(package, "m3", Strictness::as_hardware, 2.0).find("status=0x1d"),
              std::string::npos);
    EXPECT_NE(outcome(package, "m3", Strictness::strict, 2.0).find("rule row_bytes"),
              std::string::npos);
}

TEST(Strictness, RowsAndInnerSizes) {
    Builder b;
    const auto x = b.input("x", Type::tensor(DType::fp16, {1, 48, 1, 64}));
    const auto seen = b.reshape(x, {1, 1, 48, 64});
    b.output(b.rename(b.matmul(seen, seen, true, false), "y"));
    const mil::Package package{mil::make_program(b.take()), {}};
    EXPECT_EQ(outcome(package, "m1", Strictness::as_hardware, 1.0), "0")
        << "48 is no multiple of 32";
    EXPECT_EQ(outcome(package, "m4", Strictness::as_hardware, 1.0), "48");
    EXPECT_EQ(outcome(package, "m4", Strictness::strict, 1.0), "48");
    EXPECT_NE(outcome(package, "m1", Strictness::strict, 1.0).find("rule matmul_inner_multiple"),
              std::string::npos);
}

/// y = w x with w from a weight file: 32 x 32 of 1, 2, 3, ... in the order of the elements mod 8.
struct Baked {
    mil::Package package;
    std::vector<std::byte> file;

    explicit Baked(std::uint64_t offset = 64) {
        std::vector<double> weights;
        for (int i = 0; i < 32 * 32; ++i) {
            weights.push_back(i % 8 + 1);
        }
        Builder b;
        auto literal = package.weights.store("@model_path/weights/w.bin", DType::fp16,
                                             {32, 32, 1, 1}, weights);
        std::get<mil::Blob>(literal.payload).offset = offset;
        const auto x = b.input("x", Type::tensor(DType::fp16, {1, 32, 1, 32}));
        b.output(b.rename(b.conv(x, b.constant(std::move(literal), "W"), {}), "y"));
        package.program = mil::make_program(b.take());
        file = *package.weights.files().begin()->second;
    }
    const mil::Package& with(std::vector<std::byte> bytes) {
        package.weights.add("@model_path/weights/w.bin", std::move(bytes));
        return package;
    }
};

TEST(WeightFileFailures, AnOffsetThatNamesTheDataIsReadAsARecord) {
    Baked good, wrong(128);
    EXPECT_EQ(outcome(good.package, "m4", Strictness::strict, 1.0, 3), "144 144 144");
    // 64 bytes, one row of weights, further on; the last row is not there and zero.
    EXPECT_EQ(outcome(wrong.package, "m4", Strictness::as_hardware, 1.0, 1), "144");
    {
        ThreadPool pool(1);
        const auto device = make_emulator("m4", {.strictness = Strictness::as_hardware}, pool);
        const auto executable = device->compile(wrong.package);
        Surface x(executable->inputs()[0].type), y(executable->outputs()[0].type);
        std::fill_n(x.halves(), x.elements(), fp16{0x3C00});
        executable->evaluate({{{"x", &x}}, {{"y", &y}}});
        EXPECT_EQ(to_float(y.halves()[30 * 32]), 144.0F);
        EXPECT_EQ(to_float(y.halves()[31 * 32]), 0.0F);
    }
    EXPECT_EQ(outcome(wrong.package, "m4", Strictness::strict, 1.0),
              "[formats.weight_blob] @model_path/weights/w.bin: Invalid sentinel in "
              "blob_metadata: 0x40003c00, not 0xdeadbeef; BLOBFILE's offset names the record, at "
              "64, not its data (at byte 128)");
}

TEST(WeightFileFailures, TheBenchmarksSizeAndOffset) {
    Baked blob;
    // Size 0x80000 whatever the tensor, data offset 0: byte 74 is 8 and nothing else.
    auto bytes = test::with<std::uint64_t>(blob.file, 72, 0x80000);
    bytes = test::with<std::uint64_t>(bytes, 80, 0);
    blob.with(bytes);
    EXPECT_NE(
        outcome(blob.package, "m4", Strictness::strict, 1.0).find("data offset 0 lies before"),
        std::string::npos);
    const std::string size =
        "[formats.weight_blob] @model_path/weights/w.bin: the record has 524288 bytes, "
        "1024 elements of fp16 have 2048 (at byte 72)";
    EXPECT_EQ(outcome(blob.package, "m4+macos15", Strictness::as_hardware, 1.0), size);
    EXPECT_EQ(outcome(blob.package, "m4", Strictness::as_hardware, 1.0), size);
    EXPECT_EQ(outcome(blob.package, "m4+macos26", Strictness::as_hardware, 1.0), "144");
    // Where 0 is the file's start, the header and the record are the first 64 weights.
    const auto from_start =
        outcome(blob.package, "m4+macos26+blob-zero-file-start", Strictness::as_hardware, 1.0);
    EXPECT_NE(from_start, "144");
    EXPECT_EQ(from_start.find('['), std::string::npos) << from_start;
    // The right size compiles on macOS 15 too.
    blob.with(test::with<std::uint64_t>(blob.file, 80, 0));
    EXPECT_EQ(outcome(blob.package, "m4+macos15", Strictness::as_hardware, 1.0), "144");
}

TEST(WeightFileFailures, TheWrongDtype) {
    Baked blob;
    blob.with(test::with<std::uint32_t>(blob.file, 68, 4));  // int8
    EXPECT_EQ(outcome(blob.package, "m4", Strictness::as_hardware, 1.0), "144");
    EXPECT_EQ(outcome(blob.package, "m4", Strictness::strict, 1.0),
              "[formats.weight_blob] @model_path/weights/w.bin: Metadata data type does not "
              "match requested type.: the record says int8, the program fp16 (at byte 68)");
}

TEST(WeightFileFailures, AFileWithoutARecordIsRefusedByBoth) {
    Baked blob;
    std::vector<std::byte> headerless(64 + 2048);
    blob.with(headerless);
    for (const Strictness strictness : {Strictness::strict, Strictness::as_hardware}) {
        EXPECT_EQ(outcome(blob.package, "m1+terse-m1", strictness, 1.0),
                  "[formats.weight_blob] @model_path/weights/w.bin: Storage Reader expects "
                  "file format version 2., found 0; 64-byte header: the container needs 128 bytes "
                  "before the data (at byte 4)");
    }
    blob.with(test::with<std::uint32_t>(blob.file, 64, 0xEFBEADDE));
    EXPECT_NE(outcome(blob.package, "m4", Strictness::strict, 1.0).find("the bytes are reversed"),
              std::string::npos);
}

}  // namespace
}  // namespace pome::device::emulator
