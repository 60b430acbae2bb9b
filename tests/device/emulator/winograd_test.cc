// 3 x 3 convolutions of the M5 against the scalar model, element by element.
#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "device/emulator/emulator.h"
#include "mil/builder.h"
#include "reference/chip/multiply_accumulate.h"
#include "reference/chip/winograd.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

struct Case {
    std::int64_t batch, channels, height, width, outputs, pad_left, pad_right;
};

class WinogradCase : public testing::TestWithParam<Case> {};

TEST_P(WinogradCase, EqualsTheScalarModel) {
    const Case& c = GetParam();
    mil::Builder b;
    const auto x =
        b.input("x", mil::Type::tensor(DType::fp16, {c.batch, c.channels, c.height, c.width}));
    Random random(11);
    std::vector<double> values;
    std::vector<fp16> weights;
    for (std::int64_t i = 0; i < c.outputs * c.channels * 9; ++i) {
        weights.push_back(to_fp16(random.normal(), Rounding::nearest_even));
        values.push_back(static_cast<double>(to_float(weights.back())));
    }
    const auto w =
        b.constant(mil::Literal::tensor(DType::fp16, {c.outputs, c.channels, 3, 3}, values), "w");
    mil::Builder::Conv form;
    form.pad = {1, 1, c.pad_left, c.pad_right};
    const auto y = b.rename(b.conv(x, w, form), "y");
    b.output(y);
    ThreadPool pool(2);
    const auto device = make_emulator("m5/e5rt", {}, pool);
    const auto executable = device->compile({mil::make_program(b.take()), {}});
    device::Surface xs(x.type), ys(y.type);
    for (std::int64_t i = 0; i < xs.elements(); ++i) {
        xs.halves()[i] = to_fp16(random.normal(), Rounding::nearest_even);
    }
    executable->evaluate({{{"x", &xs}}, {{"y", &ys}}});

    const auto rules = find_profile("m5").numerics.multiply_accumulate;
    const std::int64_t out_width = y.shape()[3];
    const auto input = [&](std::int64_t n, std::int64_t channel, std::int64_t row,
                           std::int64_t column) {
        const bool inside = row >= 0 && row < c.height && column >= 0 && column < c.width;
        return inside
                   ? xs.halves()[((n * c.channels + channel) * c.height + row) * c.width + column]
                   : fp16{0};
    };
    for (std::int64_t i = 0; i < y.shape().elements(); ++i) {
        const std::int64_t column = i % out_width, row = i / out_width % c.height,
                           o = i / out_width / c.height % c.outputs,
                           n = i / out_width / c.height / c.outputs;
        const std::int64_t first = column / 2 * 2 - c.pad_left;
        std::vector<fp16> left, right;
        for (std::int64_t channel = 0; channel < c.channels; ++channel) {
            for (std::int64_t k = 0; k < 3; ++k) {
                const fp16* g = weights.data() + ((o * c.channels + channel) * 3 + k) * 3;
                const auto u = chip::winograd_weights({g[0], g[1], g[2]});
                const std::int64_t from = row + k - 1;
                const auto v = chip::winograd_inputs(
                    {input(n, channel, from, first), input(n, channel, from, first + 1),
                     input(n, channel, from, first + 2), input(n, channel, from, first + 3)});
                for (std::size_t part = 0; part < 3; ++part) {
                    const bool odd = column % 2 == 1;
                    const std::size_t at = odd ? part + 1 : part;
                    fp16 value = v[at];
                    value.bits ^= static_cast<std::uint16_t>(odd && part > 0 ? 0x8000U : 0U);
                    left.push_back(u[at]);
                    right.push_back(value);
                }
            }
        }
        ASSERT_EQ(ys.halves()[i].bits, chip::multiply_accumulate(left, right, 0.0F, rules).bits)
            << "element " << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, WinogradCase,
                         testing::Values(Case{1, 1, 5, 8, 1, 1, 1}, Case{2, 3, 4, 7, 5, 1, 1},
                                         Case{1, 4, 6, 9, 2, 0, 0}, Case{1, 2, 3, 4, 3, 1, 2},
                                         Case{1, 17, 8, 16, 6, 1, 1}));

TEST(Winograd, OtherKernelsAndOlderChipsAreDirect) {
    const auto middle = [](const std::string& chip, std::int64_t kernel) {
        mil::Builder b;
        const auto x = b.input("x", mil::Type::tensor(DType::fp16, {1, 1, 1, 4}));
        const auto w = b.input("w", mil::Type::tensor(DType::fp16, {1, 1, kernel, 3}));
        mil::Builder::Conv form;
        form.pad = {kernel / 2, kernel / 2, 1, 1};
        b.output(b.rename(b.conv(x, w, form), "y"));
        ThreadPool pool(1);
        const auto device = make_emulator(chip, {}, pool);
        const auto executable = device->compile({mil::make_program(b.take()), {}});
        device::Surface xs(x.type), ws(w.type), ys(executable->outputs()[0].type);
        const double values[] = {2048, 1, 0, 0};
        for (std::int64_t i = 0; i < 4; ++i) {
            xs.halves()[i] = to_fp16(values[i], Rounding::nearest_even);
        }
        ws.halves()[kernel / 2 * 3 + 1] = to_fp16(1.0, Rounding::nearest_even);  // identity
        executable->evaluate({{{"x", &xs}, {"w", &ws}}, {{"y", &ys}}});
        return to_float(ys.halves()[1]);
    };
    EXPECT_EQ(middle("m4/e5rt", 3), 1.0F);
    EXPECT_EQ(middle("m5/e5rt", 3), 1.5F) << "(2050 - 2047) / 2: the transform rounds 2049 away";
    EXPECT_EQ(middle("m5/e5rt", 1), 1.0F);
    EXPECT_EQ(middle("m5/e5rt+direct-3x3", 3), 1.0F);
}

}  // namespace
}  // namespace pome::device::emulator
