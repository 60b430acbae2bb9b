// A causal attention block as a real engine computed it (captured by others, chip not named): 768
// channels, 12 heads, 64 positions. Replayed with the scalar models alone.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/file.h"
#include "reference/chip/elementwise.h"
#include "reference/chip/multiply_accumulate.h"
#include "reference/chip/softmax.h"
#include "support/test_data.h"

namespace pome::reference::chip {
namespace {

constexpr std::size_t channels = 768, positions = 64, heads = 12, head_size = 64;

std::vector<float> read_floats(const std::filesystem::path& path) {
    const auto bytes = read_file(path);
    std::vector<float> result(bytes.size() / sizeof(float));
    std::memcpy(result.data(), bytes.data(), result.size() * sizeof(float));
    return result;
}

/// The one tensor of a blob: it starts at byte 128.
std::vector<fp16> read_weights(const std::filesystem::path& path) {
    const auto bytes = read_file(path);
    std::vector<fp16> result((bytes.size() - 128) / sizeof(fp16));
    std::memcpy(result.data(), bytes.data() + 128, result.size() * sizeof(fp16));
    return result;
}

/// Element (r, c) is data[r * columns + c].
struct Matrix {
    std::vector<fp16> data;
    std::size_t rows, columns;

    Matrix(std::vector<fp16> values, std::size_t count)
        : data(std::move(values)), rows(data.size() / count), columns(count) {}

    std::span<const fp16> row(std::size_t r) const { return {data.data() + r * columns, columns}; }

    Matrix transposed() const {
        std::vector<fp16> result;
        for (std::size_t c = 0; c < columns; ++c) {
            for (std::size_t r = 0; r < rows; ++r) {
                result.push_back(data[r * columns + c]);
            }
        }
        return {std::move(result), rows};
    }

    Matrix head(std::size_t h) const {
        const auto begin = data.begin() + static_cast<std::ptrdiff_t>(h * head_size * columns);
        return {{begin, begin + static_cast<std::ptrdiff_t>(head_size * columns)}, columns};
    }
};

/// a b^T: the rows of both are contiguous, as the model wants them.
Matrix product(const Matrix& a, const Matrix& b) {
    std::vector<fp16> result;
    for (std::size_t r = 0; r < a.rows; ++r) {
        for (std::size_t c = 0; c < b.rows; ++c) {
            result.push_back(multiply_accumulate(a.row(r), b.row(c), 0.0F, {}));
        }
    }
    return {std::move(result), b.rows};
}

/// softmax(q k^T / 8 + mask) v of one head; q, k, v and the result are [head_size, positions].
Matrix attend(const Matrix& q, const Matrix& k, const Matrix& v, const Matrix& mask) {
    const Numerics numerics;
    const fp16 eighth{0x3000};
    Matrix scores = product(q.transposed(), k.transposed());
    for (std::size_t i = 0; i < scores.data.size(); ++i) {
        const fp16 scaled = mul(scores.data[i], eighth, numerics.elementwise);
        scores.data[i] = add(scaled, mask.data[i], numerics.elementwise);
    }
    for (std::size_t r = 0; r < positions; ++r) {
        const std::span<fp16> row(scores.data.data() + r * positions, positions);
        softmax(row, row, numerics);
    }
    return product(v, scores);
}

/// How many channels of each position equal the capture.
std::vector<int> equal_channels(const std::filesystem::path& folder) {
    const auto blob = [&](const std::string& name, std::size_t columns) {
        return Matrix(read_weights(folder / ("full_fused_" + name + ".bin")), columns);
    };
    std::vector<fp16> input;
    for (const float value : read_floats(folder / "full_fused_input_seq64_f32le.bin")) {
        input.push_back(to_fp16(value, Rounding::nearest_even));
    }
    const Matrix x = Matrix(std::move(input), positions).transposed();
    const Matrix mask = blob("mask", positions);
    const Matrix q = product(blob("wq", channels), x), k = product(blob("wk", channels), x),
                 v = product(blob("wv", channels), x);
    std::vector<fp16> attended;
    for (std::size_t h = 0; h < heads; ++h) {
        const Matrix part = attend(q.head(h), k.head(h), v.head(h), mask);
        attended.insert(attended.end(), part.data.begin(), part.data.end());
    }
    const Matrix y = product(blob("wo", channels), Matrix(attended, positions).transposed());

    const auto expected = read_floats(folder / "full_fused_out_seq64_f32le.bin");
    std::vector<int> equal(positions);
    for (std::size_t i = 0; i < expected.size(); ++i) {
        equal[i % positions] += to_float(y.data[i]) == expected[i] ? 1 : 0;
    }
    return equal;
}

TEST(HardwareAttention, EqualsTheCaptureInEveryOutput) {
    POME_REQUIRE_TEST_DATA(folder, "hardware/attention_s64");
    const std::vector<int> equal = equal_channels(folder);
    for (std::size_t position = 0; position < positions; ++position) {
        EXPECT_EQ(equal[position], 768) << "position " << position;
    }
}

}  // namespace
}  // namespace pome::reference::chip
