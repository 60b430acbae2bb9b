#include "model/classifier.h"

#include <cmath>

#include "base/error.h"

namespace pome::model {
namespace {

using mil::Builder;
using mil::Type;
using mil::Value;

class ClassifierBuilder {
  public:
    explicit ClassifierBuilder(DType dtype) : dtype_(dtype) {}
    Builder& ops() { return builder_; }
    Value input(std::int64_t pixels, std::int64_t pictures) {
        return builder_.input("x", Type::tensor(dtype_, {1, pixels, 1, pictures}));
    }
    /// Seen as [1, 1, rows, columns].
    Value weight(const std::string& name, std::int64_t rows, std::int64_t columns,
                 double deviation) {
        constexpr std::int64_t line = 32;  // engines want rows of 64 bytes
        const std::int64_t wide = (columns + line - 1) / line * line;
        const Shape surface{1, rows, 1, wide};
        classifier_.weights.push_back({name, rows, columns, surface, deviation});
        const Value whole = builder_.reshape(builder_.input(name, Type::tensor(dtype_, surface)),
                                             {1, 1, rows, wide});
        return wide == columns ? whole : builder_.slice(whole, {0, 0, 0, 0}, {1, 1, rows, columns});
    }
    /// y is [1, 1, classes, N].
    Classifier finish(const Value& y) {
        builder_.output(
            builder_.rename(builder_.reshape(y, {1, y.shape()[2], 1, y.shape()[3]}), "y"));
        classifier_.function = builder_.take();
        return std::move(classifier_);
    }

  private:
    DType dtype_;
    Builder builder_;
    Classifier classifier_;
};

double deviation(std::int64_t inputs) {
    return std::sqrt(2.0 / static_cast<double>(inputs));
}

}  // namespace

Classifier mlp_classifier(std::int64_t pixels, std::int64_t hidden, std::int64_t classes,
                          std::int64_t pictures, DType dtype) {
    ClassifierBuilder c(dtype);
    Builder& b = c.ops();
    const Value x = b.reshape(c.input(pixels, pictures), {1, 1, pixels, pictures});
    const Value w1 = c.weight("w1", hidden, pixels, deviation(pixels));
    const Value b1 = c.weight("b1", hidden, 1, 0.0);
    const Value w2 = c.weight("w2", classes, hidden, deviation(hidden));
    const Value b2 = c.weight("b2", classes, 1, 0.0);
    const Value h = b.unary("relu", b.add(b.matmul(w1, x), b1));
    return c.finish(b.add(b.matmul(w2, h), b2));
}

Classifier conv_classifier(std::int64_t side, std::int64_t channels, std::int64_t classes,
                           std::int64_t pictures, DType dtype) {
    constexpr std::int64_t taps = 5;
    const std::int64_t out = side - taps + 1, half = out / 2;
    if (out < 2 || out % 2 != 0) {
        fail(Code::invalid_argument, "model.classifier", "pictures of {} x {}: {} - 4 is not even",
             side, side, side);
    }
    ClassifierBuilder c(dtype);
    Builder& b = c.ops();
    const Value columns_of_pictures =
        b.reshape(c.input(side * side, pictures), {1, 1, side * side, pictures});
    const Value x =
        b.reshape(b.transpose(columns_of_pictures, {0, 1, 3, 2}), {pictures, 1, side, side});
    const Value kernel = c.weight("kernel", channels, taps * taps, deviation(taps * taps));
    const Value bias = c.weight("kernel_bias", channels, 1, 0.0);
    const Value w =
        c.weight("w", classes, channels * half * half, deviation(channels * half * half));
    const Value wb = c.weight("b", classes, 1, 0.0);
    std::vector<Value> patches;
    for (std::int64_t row = 0; row < taps; ++row) {
        for (std::int64_t column = 0; column < taps; ++column) {
            patches.push_back(b.slice(x, {0, 0, row, column}, {pictures, 1, out, out}));
        }
    }
    const Value columns = b.reshape(b.concat(patches, 1), {pictures, 1, taps * taps, out * out});
    const Value h = b.unary("relu", b.add(b.matmul(kernel, columns), bias));
    const auto mean = [&](const Value& value, std::int64_t axis) {
        return b.scale(b.reduce_sum(value, {axis}, false), 0.5);
    };
    const Value rows = mean(b.reshape(h, {pictures * channels, half, 2, out}), 2);
    const Value pooled = mean(b.reshape(rows, {pictures * channels, half, half, 2}), 3);
    const Value flat = b.reshape(pooled, {1, 1, pictures, channels * half * half});
    return c.finish(b.add(b.matmul(w, flat, false, true), wb));
}

}  // namespace pome::model
