#include "device/conformance/routines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <thread>

#include "base/random.h"
#include "base/thread_pool.h"
#include "device/conformance/numpy_random.h"
#include "device/conformance/program_of.h"
#include "mil/builder.h"
#include "mil/interpreter.h"

namespace pome::device::conformance {
namespace {

/// standard_normal().astype(float32) / float32(divisor).
std::vector<float> normals(NumpyRandom& random, std::int64_t count, double divisor) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
        value = static_cast<float>(random.normal()) / static_cast<float>(divisor);
    }
    return values;
}

void store(const float* values, Surface& surface) {
    for (std::int64_t i = 0; i < surface.elements(); ++i) {
        surface.halves()[i] = to_fp16(values[i], Rounding::nearest_even);
    }
}

/// |y - expected| / |expected|, Frobenius.
double relative_error(const Surface& y, const std::vector<double>& expected) {
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double difference = static_cast<double>(to_float(y.halves()[i])) - expected[i];
        error += difference * difference;
        size += expected[i] * expected[i];
    }
    return std::sqrt(error / size);
}

/// y = x w^T on the device; x [rows, inner], w [outputs, inner].
class Product {
  public:
    Product(Device& device, std::int64_t rows, std::int64_t inner, std::int64_t outputs) {
        mil::Builder b;
        const auto x = b.input("x", mil::Type::tensor(DType::fp16, {1, 1, rows, inner}));
        const auto w = b.input("w", mil::Type::tensor(DType::fp16, {1, 1, outputs, inner}));
        b.output(b.rename(b.matmul(x, w, false, true), "y"));
        executable_ = compile_fitted(device, {mil::make_program(b.take()), {}});
        x_ = Surface(x.type);
        w_ = Surface(w.type);
        y_ = Surface(executable_->outputs().front().type);
    }
    Surface& x() { return x_; }
    Surface& w() { return w_; }
    const Surface& evaluate() {
        executable_->evaluate({{{"x", &x_}, {"w", &w_}}, {{"y", &y_}}});
        return y_;
    }

  private:
    std::unique_ptr<Executable> executable_;
    Surface x_, w_, y_;
};

/// x w^T + bias in double; x [rows, inner], w [outputs, inner], bias empty or [outputs].
std::vector<double> exact_product(std::span<const double> x, std::span<const double> w,
                                  std::span<const double> bias, std::size_t inner) {
    const std::size_t rows = x.size() / inner, outputs = w.size() / inner;
    std::vector<double> result(rows * outputs);
    ThreadPool pool;
    pool.for_ranges(
        static_cast<std::int64_t>(outputs), 16, [&](std::int64_t begin, std::int64_t end, int) {
            for (auto o = static_cast<std::size_t>(begin); o < static_cast<std::size_t>(end); ++o) {
                for (std::size_t r = 0; r < rows; ++r) {
                    double sums[8] = {};  // independent chains
                    for (std::size_t k = 0; k < inner; ++k) {
                        sums[k % 8] += x[r * inner + k] * w[o * inner + k];
                    }
                    double sum = bias.empty() ? 0.0 : bias[o];
                    for (const double part : sums) {
                        sum += part;
                    }
                    result[r * outputs + o] = sum;
                }
            }
        });
    return result;
}

/// arguments: batch, rows that are compared, inner, outputs. x [batch, inner] and w [outputs,
/// inner] from default_rng(0), divided by sqrt(inner).
double product_error(const RoutineCall& call) {
    const auto at = [&](std::size_t i) { return static_cast<std::int64_t>(call.arguments[i]); };
    const std::int64_t batch = at(0), rows = at(1), inner = at(2), outputs = at(3);
    NumpyRandom random(0);
    const double divisor = std::sqrt(static_cast<double>(inner));
    const auto x = normals(random, batch * inner, divisor);
    const auto w = normals(random, outputs * inner, divisor);
    const auto device = call.open();
    Product product(*device, rows, inner, outputs);
    store(x.data(), product.x());
    store(w.data(), product.w());
    const Surface& y = product.evaluate();

    const std::vector<double> left(x.begin(), x.begin() + rows * inner), right(w.begin(), w.end());
    const auto expected = exact_product(left, right, {}, static_cast<std::size_t>(inner));
    return relative_error(y, expected);
}

/// out += g * the plane moved by (dy, dx), zeros outside.
void add_shifted(const float* plane, double g, std::int64_t side, std::int64_t dy, std::int64_t dx,
                 double* out) {
    const std::int64_t first = std::max<std::int64_t>(0, -dx), last = std::min(side, side - dx);
    for (std::int64_t row = std::max<std::int64_t>(0, -dy); row < std::min(side, side - dy);
         ++row) {
        const float* from = plane + (row + dy) * side + dx;
        double* to = out + row * side;
        for (std::int64_t i = first; i < last; ++i) {
            to[i] += g * static_cast<double>(from[i]);
        }
    }
}

/// arguments: channels, batch. 3 x 3, stride 1, pad 1 over 64 x 64; x then w from default_rng(1), w
/// scaled by sqrt(2 / (9 channels)); the error of image 0.
double convolution_error(const RoutineCall& call) {
    constexpr std::int64_t side = 64, positions = side * side;
    const auto channels = static_cast<std::int64_t>(call.arguments[0]),
               batch = static_cast<std::int64_t>(call.arguments[1]);
    NumpyRandom random(1);
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
    const auto device = call.open();
    const auto executable = compile_fitted(*device, {mil::make_program(b.take()), {}});
    Surface xs(input.type), ws(weight.type), ys(executable->outputs().front().type);
    store(x.data(), xs);
    for (std::size_t i = 0; i < w.size(); ++i) {
        ws.halves()[i] = to_fp16(w[i], Rounding::nearest_even);
    }
    executable->evaluate({{{"x", &xs}, {"w", &ws}}, {{"y", &ys}}});

    std::vector<double> expected(static_cast<std::size_t>(channels * positions), 0.0);
    ThreadPool pool;
    pool.for_ranges(channels, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t o = begin; o < end; ++o) {
            for (std::int64_t c = 0; c < channels; ++c) {
                for (std::int64_t tap = 0; tap < 9; ++tap) {
                    add_shifted(x.data() + c * positions,
                                w[static_cast<std::size_t>((o * channels + c) * 9 + tap)], side,
                                tap / 3 - 1, tap % 3 - 1, expected.data() + o * positions);
                }
            }
        }
    });
    return relative_error(ys, expected);
}

/// An attention block of 768 channels and 12 heads without a mask: weights, then biases, then x
/// [positions, 768] from default_rng(5).
struct Attention {
    static constexpr std::size_t channels = 768, heads = 12, head_size = channels / heads;
    std::size_t positions;
    std::vector<double> weights[4], biases[4], x;

    explicit Attention(std::size_t count) : positions(count) {
        NumpyRandom random(5);
        const auto draw = [&](std::vector<double>& values, std::size_t size, const auto& scaled) {
            for (std::size_t i = 0; i < size; ++i) {
                values.push_back(scaled(static_cast<float>(random.normal())));
            }
        };
        const double scale = 1.0 / std::sqrt(static_cast<double>(channels));
        for (auto& weight : weights) {
            draw(weight, channels * channels,
                 [&](float value) { return static_cast<double>(value) * scale; });
        }
        for (auto& bias : biases) {
            draw(bias, channels, [](float value) { return static_cast<double>(value * 0.01F); });
        }
        draw(x, positions * channels, [](float value) { return static_cast<double>(value); });
    }

    /// y [positions, channels] in double.
    std::vector<double> exact() const {
        const auto q = exact_product(x, weights[0], biases[0], channels),
                   k = exact_product(x, weights[1], biases[1], channels),
                   v = exact_product(x, weights[2], biases[2], channels);
        std::vector<double> attended(q.size(), 0.0), row(positions);
        for (std::size_t h = 0; h < channels; h += head_size) {
            for (std::size_t i = 0; i < positions; ++i) {
                double sum = 0.0;  // scores stay below 10: exp needs no maximum taken off
                for (std::size_t j = 0; j < positions; ++j) {
                    double score = 0.0;
                    for (std::size_t c = h; c < h + head_size; ++c) {
                        score += q[i * channels + c] * k[j * channels + c] / 8.0;
                    }
                    row[j] = std::exp(score);
                    sum += row[j];
                }
                for (std::size_t j = 0; j < positions; ++j) {
                    for (std::size_t c = h; c < h + head_size; ++c) {
                        attended[i * channels + c] += row[j] / sum * v[j * channels + c];
                    }
                }
            }
        }
        return exact_product(attended, weights[3], biases[3], channels);
    }

    /// The block as 1 x 1 convolutions of x [1, channels, 1, positions].
    mil::Program program() const {
        const auto width = static_cast<std::int64_t>(channels);
        const auto count = static_cast<std::int64_t>(positions);
        mil::Builder b;
        const auto project = [&](const mil::Value& value, std::size_t i) {
            const auto weight = b.constant(
                mil::Literal::tensor(DType::fp16, {width, width, 1, 1}, weights[i]), "W");
            const auto bias =
                b.constant(mil::Literal::tensor(DType::fp16, {width}, biases[i]), "B");
            return b.call("conv", {{"x", value},
                                   {"weight", weight},
                                   {"bias", bias},
                                   {"strides", b.integers({1, 1})},
                                   {"pad_type", b.text("valid")},
                                   {"pad", b.integers({0, 0, 0, 0})},
                                   {"dilations", b.integers({1, 1})},
                                   {"groups", b.integer(1)}});
        };
        const auto x_value = b.input("x", mil::Type::tensor(DType::fp16, {1, width, 1, count}));
        const Shape split{1, static_cast<std::int64_t>(heads), static_cast<std::int64_t>(head_size),
                          count};
        const auto q = b.reshape(project(x_value, 0), split),
                   k = b.reshape(project(x_value, 1), split),
                   v = b.reshape(project(x_value, 2), split);
        const auto p = b.softmax(b.scale(b.matmul(q, k, true, false), 0.125), -1);
        const auto attended = b.reshape(b.matmul(v, p, false, true), {1, width, 1, count});
        b.output(b.rename(project(attended, 3), "y"));
        return mil::make_program(b.take());
    }
};

/// arguments: positions.
double attention_error(const RoutineCall& call) {
    const Attention block(static_cast<std::size_t>(call.arguments[0]));
    const auto device = call.open();
    const auto executable = compile_fitted(*device, {block.program(), {}});
    Surface x(executable->inputs().front().type), y(executable->outputs().front().type);
    const auto exact = block.exact();
    std::vector<double> expected(exact.size());
    for (std::size_t i = 0; i < block.positions; ++i) {
        for (std::size_t c = 0; c < Attention::channels; ++c) {
            const std::size_t from = i * Attention::channels + c, to = c * block.positions + i;
            x.halves()[to] = to_fp16(block.x[from], Rounding::nearest_even);
            expected[to] = exact[from];
        }
    }
    executable->evaluate({{{executable->inputs().front().name, &x}}, {{"y", &y}}});
    return relative_error(y, expected);
}

/// The number of elements whose bits differ.
double differing(const Surface& a, const std::vector<fp16>& b) {
    double count = 0.0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        count += a.halves()[i].bits != b[i].bits ? 1.0 : 0.0;
    }
    return count;
}

std::vector<fp16> copy_of(const Surface& surface) {
    return {surface.halves(), surface.halves() + surface.elements()};
}

/// arguments: inner. The terms of a product reversed and in odd-even order: elements that change.
double permuted_product(const RoutineCall& call) {
    const auto inner = static_cast<std::int64_t>(call.arguments[0]);
    constexpr std::int64_t rows = 16, outputs = 16;
    NumpyRandom random(0);
    const auto x = normals(random, rows * inner, std::sqrt(static_cast<double>(inner)));
    const auto w = normals(random, outputs * inner, std::sqrt(static_cast<double>(inner)));
    const auto device = call.open();
    Product product(*device, rows, inner, outputs);
    const auto fill = [&](const auto& place) {
        for (std::int64_t k = 0; k < inner; ++k) {
            for (std::int64_t r = 0; r < rows; ++r) {
                product.x().halves()[r * inner + place(k)] =
                    to_fp16(x[static_cast<std::size_t>(r * inner + k)], Rounding::nearest_even);
            }
            for (std::int64_t o = 0; o < outputs; ++o) {
                product.w().halves()[o * inner + place(k)] =
                    to_fp16(w[static_cast<std::size_t>(o * inner + k)], Rounding::nearest_even);
            }
        }
    };
    fill([](std::int64_t k) { return k; });
    const auto first = copy_of(product.evaluate());
    fill([&](std::int64_t k) { return inner - 1 - k; });
    double changed = differing(product.evaluate(), first);
    fill([&](std::int64_t k) { return k % 2 == 0 ? k / 2 : (inner + 1) / 2 + k / 2; });
    changed += differing(product.evaluate(), first);
    return changed;
}

/// arguments: inner. A row alone and inside batches of 2, 8, 32 and 128: elements that change.
double batched_rows(const RoutineCall& call) {
    const auto inner = static_cast<std::int64_t>(call.arguments[0]);
    constexpr std::int64_t outputs = 32;
    NumpyRandom random(0);
    const auto x = normals(random, 128 * inner, 4.0);
    const auto w = normals(random, outputs * inner, 4.0);
    std::vector<fp16> alone;
    double changed = 0.0;
    for (const std::int64_t rows : {1, 2, 8, 32, 128}) {
        const auto device = call.open();
        Product product(*device, rows, inner, outputs);
        // The row under test comes last.
        store(x.data() + (128 - rows) * inner, product.x());
        store(w.data(), product.w());
        const Surface& y = product.evaluate();
        const fp16* last = y.halves() + (rows - 1) * outputs;
        if (alone.empty()) {
            alone.assign(last, last + outputs);
        }
        for (std::size_t i = 0; i < alone.size(); ++i) {
            changed += last[i].bits != alone[i].bits ? 1.0 : 0.0;
        }
    }
    return changed;
}

/// arguments: evaluations. The same product again and again, and by a new device: elements that
/// change.
double repeated(const RoutineCall& call) {
    NumpyRandom random(3);
    const auto x = normals(random, 8 * 64, 1.0), w = normals(random, 8 * 64, 1.0);
    std::vector<fp16> first;
    double changed = 0.0;
    for (int process = 0; process < 2; ++process) {
        const auto device = call.open();
        Product product(*device, 8, 64, 8);
        store(x.data(), product.x());
        store(w.data(), product.w());
        for (int i = 0; i < static_cast<int>(call.arguments[0]); ++i) {
            const Surface& y = product.evaluate();
            if (first.empty()) {
                first = copy_of(y);
            }
            changed += differing(y, first);
        }
    }
    return changed;
}

/// y of `statement` for all of x on the device and in double.
struct Answers {
    std::vector<double> x, device, exact;
};

Answers answers(const RoutineCall& call, std::vector<double> x) {
    const auto count = static_cast<std::int64_t>(x.size());
    const Shape shape{1, 1, 1, count};
    const std::string body =
        fmt::format("tensor<fp16, [1, 1, 1, {}]> y = {};", count, call.statement);
    const std::vector<TextInput> inputs{{"x", shape, DType::fp16, x}};
    const auto device = call.open();
    Answers result;
    result.device = evaluate(*device, inputs, body);
    result.exact = mil::interpret(program_of(inputs, body, device->profile()),
                                  {{"x", reference::Tensor(shape, x)}})
                       .at("y")
                       .data;
    result.x = std::move(x);
    return result;
}

/// The largest absolute error over all fp16 values whose result is finite.
double largest_error(const RoutineCall& call) {
    double largest = 0.0;
    for (std::uint32_t part = 0; part < 8; ++part) {  // rows of 8,192 fit every chip
        std::vector<double> x;
        for (std::uint32_t i = 0; i < 8192; ++i) {
            const fp16 value{static_cast<std::uint16_t>(part * 8192 + i)};
            x.push_back(is_nan(value) ? 0.0 : static_cast<double>(to_float(value)));
        }
        const Answers found = answers(call, std::move(x));
        for (std::size_t i = 0; i < found.x.size(); ++i) {
            if (std::isfinite(found.exact[i]) && std::fabs(found.x[i]) <= 16.0) {
                largest = std::max(largest, std::fabs(found.device[i] - found.exact[i]));
            }
        }
    }
    return largest;
}

/// Relative error (Frobenius) on 8,192 standard normal values, rounded to fp16 first.
double normal_error(const RoutineCall& call) {
    NumpyRandom random(0);
    std::vector<double> x;
    for (int i = 0; i < 8192; ++i) {
        x.push_back(
            static_cast<double>(to_float(to_fp16(random.normal(), Rounding::nearest_even))));
    }
    const Answers found = answers(call, std::move(x));
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < found.x.size(); ++i) {
        error += (found.device[i] - found.exact[i]) * (found.device[i] - found.exact[i]);
        size += found.exact[i] * found.exact[i];
    }
    return std::sqrt(error / size);
}

}  // namespace

Routine find_routine(std::string_view name) {
    static const std::map<std::string_view, Routine> routines{
        {"product_error", product_error},     {"convolution_error", convolution_error},
        {"attention_error", attention_error}, {"permuted_product", permuted_product},
        {"batched_rows", batched_rows},       {"repeated", repeated},
        {"largest_error", largest_error},     {"normal_error", normal_error}};
    const auto found = routines.find(name);
    return found == routines.end() ? nullptr : found->second;
}

}  // namespace pome::device::conformance
