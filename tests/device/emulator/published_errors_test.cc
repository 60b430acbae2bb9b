// Relative errors that ANEForge published for real engines, recomputed from its seeded arrays.
// Equal digits mean equal arithmetic: fp32 sums, other roundings, direct instead of Winograd
// convolutions all miss them in the second to fourth digit.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "device/emulator/emulator.h"
#include "mil/builder.h"
#include "support/numpy_random.h"

namespace pome::device::emulator {
namespace {

std::vector<float> normals(test::NumpyRandom& random, std::int64_t count, double divisor) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
        value = static_cast<float>(random.normal()) / static_cast<float>(divisor);
    }
    return values;
}

void store(const float* values, device::Surface& surface) {
    for (std::int64_t i = 0; i < surface.elements(); ++i) {
        surface.halves()[i] = to_fp16(values[i], Rounding::nearest_even);
    }
}

/// |y - expected| / |expected| over all elements.
class RelativeError {
  public:
    void add(fp16 y, double expected) {
        const double difference = static_cast<double>(to_float(y)) - expected;
        error_ += difference * difference;
        size_ += expected * expected;
    }
    double value() const { return std::sqrt(error_ / size_); }

  private:
    double error_ = 0.0, size_ = 0.0;
};

/// y = x W^T over the first `rows` rows of x [batch, inner]; W is [outputs, inner].
double product_error(const std::string& chip, std::int64_t batch, std::int64_t rows,
                     std::int64_t inner, std::int64_t outputs) {
    test::NumpyRandom random(0);
    const double divisor = std::sqrt(static_cast<double>(inner));
    const auto x = normals(random, batch * inner, divisor);
    const auto w = normals(random, outputs * inner, divisor);

    mil::Builder b;
    const auto left = b.input("x", mil::Type::tensor(DType::fp16, {1, 1, rows, inner}));
    const auto right = b.input("w", mil::Type::tensor(DType::fp16, {1, 1, outputs, inner}));
    b.output(b.rename(b.matmul(left, right, false, true), "y"));
    ThreadPool pool;
    const auto device = make_emulator(chip, {}, pool);
    const auto executable = device->compile({mil::make_program(b.take()), {}});
    device::Surface xs(left.type), ws(right.type), ys(executable->outputs()[0].type);
    store(x.data(), xs);
    store(w.data(), ws);
    executable->evaluate({{{"x", &xs}, {"w", &ws}}, {{"y", &ys}}});

    std::vector<RelativeError> parts(static_cast<std::size_t>(rows));
    std::vector<double> expected(static_cast<std::size_t>(rows * outputs));
    pool.for_ranges(outputs, 16, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t o = begin; o < end; ++o) {
            const float* weight = w.data() + o * inner;
            for (std::int64_t r = 0; r < rows; ++r) {
                const float* input = x.data() + r * inner;
                double sums[8] = {};  // independent chains
                for (std::int64_t k = 0; k < inner; ++k) {
                    sums[k % 8] += static_cast<double>(input[k]) * static_cast<double>(weight[k]);
                }
                double sum = 0.0;
                for (const double part : sums) {
                    sum += part;
                }
                expected[static_cast<std::size_t>(r * outputs + o)] = sum;
            }
        }
    });
    RelativeError error;
    for (std::int64_t i = 0; i < rows * outputs; ++i) {
        error.add(ys.halves()[i], expected[static_cast<std::size_t>(i)]);
    }
    return error.value();
}

/// 12 digits: what the fp64 sums of two programs may differ by is far below.
void expect_digits(double computed, double published) {
    EXPECT_NEAR(computed / published, 1.0, 1e-12);
}

TEST(PublishedErrors, Gemm512And1024OnEveryChipMeasured) {
    for (const char* chip : {"m1", "m2max", "m4", "m5", "m6"}) {
        SCOPED_TRACE(chip);
        expect_digits(product_error(chip, 512, 256, 512, 512), .00257800397023792);
        expect_digits(product_error(chip, 1024, 256, 1024, 1024), .005528352999597525);
    }
}

TEST(PublishedErrors, Gemm2048) {
    expect_digits(product_error("m4", 2048, 256, 2048, 2048), .012131920427695623);
}

TEST(PublishedErrors, Gemm4096) {
    expect_digits(product_error("m4", 4096, 256, 4096, 4096), .027237621125542212);
}

TEST(PublishedErrors, RectangularProducts) {
    for (const char* chip : {"m1max", "m5pro"}) {
        SCOPED_TRACE(chip);
        expect_digits(product_error(chip, 64, 64, 256, 256), .0012522854527169441);
        expect_digits(product_error(chip, 128, 128, 1024, 1024), .0055214934910669);
    }
    expect_digits(product_error("m1max", 256, 256, 4096, 4096), .0272754901497151);
}

TEST(PublishedErrors, TheChipsMeasuredMultiplyAlike) {
    for (const char* chip : {"m1", "m1max", "m2max", "m5", "m5pro", "m6"}) {
        EXPECT_EQ(find_profile(chip).numerics.multiply_accumulate,
                  find_profile("m4").numerics.multiply_accumulate)
            << chip;
    }
}

/// 3 x 3, stride 1, pad 1, 64 x 64 map, He-scaled weights; the error of image 0.
double convolution_error(const std::string& chip, std::int64_t channels, std::int64_t batch) {
    constexpr std::int64_t side = 64, positions = side * side;
    test::NumpyRandom random(1);
    const auto x = normals(random, batch * channels * positions, 1.0);
    std::vector<double> w(static_cast<std::size_t>(channels * channels * 9));
    const double scale = std::sqrt(2.0 / (9.0 * static_cast<double>(channels)));
    for (double& value : w) {
        value = static_cast<double>(static_cast<float>(random.normal())) * scale;
    }

    mil::Builder b;
    const auto input = b.input("x", mil::Type::tensor(DType::fp16, {1, channels, side, side}));
    const auto weight = b.input("w", mil::Type::tensor(DType::fp16, {channels, channels, 3, 3}));
    mil::Builder::Conv form;
    form.pad = {1, 1, 1, 1};
    b.output(b.rename(b.conv(input, weight, form), "y"));
    ThreadPool pool;
    const auto device = make_emulator(chip, {}, pool);
    const auto executable = device->compile({mil::make_program(b.take()), {}});
    device::Surface xs(input.type), ws(weight.type), ys(executable->outputs()[0].type);
    store(x.data(), xs);  // image 0
    for (std::int64_t i = 0; i < ws.elements(); ++i) {
        ws.halves()[i] = to_fp16(w[static_cast<std::size_t>(i)], Rounding::nearest_even);
    }
    executable->evaluate({{{"x", &xs}, {"w", &ws}}, {{"y", &ys}}});

    std::vector<double> expected(static_cast<std::size_t>(channels * positions), 0.0);
    pool.for_ranges(channels, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t o = begin; o < end; ++o) {
            double* out = expected.data() + o * positions;
            for (std::int64_t c = 0; c < channels; ++c) {
                const float* plane = x.data() + c * positions;
                for (std::int64_t tap = 0; tap < 9; ++tap) {
                    const double g = w[static_cast<std::size_t>((o * channels + c) * 9 + tap)];
                    const std::int64_t dy = tap / 3 - 1, dx = tap % 3 - 1;
                    const std::int64_t first = std::max<std::int64_t>(0, -dx),
                                       last = std::min(side, side - dx);
                    for (std::int64_t row = 0; row < side; ++row) {
                        if (row + dy < 0 || row + dy >= side) {
                            continue;
                        }
                        const float* from = plane + (row + dy) * side + dx;
                        double* to = out + row * side;
                        for (std::int64_t i = first; i < last; ++i) {
                            to[i] += g * static_cast<double>(from[i]);
                        }
                    }
                }
            }
        }
    });
    RelativeError error;
    for (std::int64_t i = 0; i < channels * positions; ++i) {
        error.add(ys.halves()[i], expected[static_cast<std::size_t>(i)]);
    }
    return error.value();
}

TEST(PublishedErrors, ConvolutionsOfM1AndM2AreDirect) {
    expect_digits(convolution_error("m1", 64, 8), .0003671660721200675);
    expect_digits(convolution_error("m2max", 128, 8), .00037520404231831825);
}

TEST(PublishedErrors, ConvolutionsOfM5AndM6AreWinogradAlongTheWidth) {
    for (const char* chip : {"m5", "m6"}) {
        SCOPED_TRACE(chip);
        expect_digits(convolution_error(chip, 64, 8), .0005162338465671337);
        expect_digits(convolution_error(chip, 128, 8), .0005214500415248461);
    }
}

TEST(LongPublishedErrors, ConvolutionOf256ChannelsOnM2) {
    expect_digits(convolution_error("m2max", 256, 4), .00039007837442013344);
}

}  // namespace
}  // namespace pome::device::emulator
