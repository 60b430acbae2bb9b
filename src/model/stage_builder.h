// What stages are built with; only the files of this room include it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/stage.h"

namespace pome::model {

using mil::Builder;
using mil::Type;
using mil::Value;

/// The pieces that every stage starts from.
class StageBuilder {
  public:
    StageBuilder(std::string name, const Form& form) : form_(form) {
        stage_.name = std::move(name);
    }

    Builder& ops() { return builder_; }

    /// An input of `channels` values a position, seen as a matrix [1, 1, channels, S].
    Value input(std::int64_t channels, const std::string& name = "x") {
        const Value x = builder_.input(name, Type::tensor(form_.dtype, activations(channels)));
        return builder_.reshape(x, {1, 1, channels, form_.sequence});
    }

    /// A weight [rows, columns], for multiply().
    Value weight(const std::string& name, std::int64_t rows, std::int64_t columns) {
        if (form_.transposed_weights) {
            std::swap(rows, columns);
        }
        const Value w = builder_.input(name, Type::tensor(form_.dtype, {1, rows, 1, columns}));
        stage_.weights.push_back(name);
        return builder_.reshape(w, {1, 1, rows, columns});
    }

    /// A weight times a matrix.
    Value multiply(const Value& weight, const Value& x) {
        return builder_.matmul(weight, x, form_.transposed_weights);
    }

    Value table(const std::string& name, const Shape& shape, const std::vector<double>& values) {
        return builder_.constant(
            stage_.files.store("@model_path/weights/" + name + ".bin", form_.dtype, shape, values),
            name);
    }

    /// Makes y, a matrix [1, 1, channels, S], an output.
    void output(const Value& y, const std::string& name) {
        builder_.output(builder_.rename(builder_.reshape(y, activations(y.shape()[2])), name));
    }

    /// Ends the stage.
    Stage take() {
        stage_.function = builder_.take();
        return std::move(stage_);
    }

    /// Ends the stage with the output y.
    Stage finish(const Value& y) {
        output(y, "y");
        return take();
    }

  private:
    /// The surface of so many channels: a single position lies in one row, which devices that pad
    /// rows store without waste.
    Shape activations(std::int64_t channels) const {
        return form_.sequence == 1 ? Shape{1, 1, 1, channels}
                                   : Shape{1, channels, 1, form_.sequence};
    }

    const Form& form_;
    Builder builder_;
    Stage stage_;
};

/// [1, kv_heads, size, S] -> [1, heads, size, S]: every key/value head repeated for its group of
/// query heads.
inline Value repeat_heads(Builder& b, const Value& x, const ModelConfig& config) {
    if (config.heads == config.kv_heads) {
        return x;
    }
    std::vector<Value> repeated;
    for (std::int64_t head = 0; head < config.kv_heads; ++head) {
        const Value one = b.slice(x, {0, head, 0, 0}, {1, 1, x.shape()[2], x.shape()[3]});
        for (std::int64_t i = 0; i < config.heads / config.kv_heads; ++i) {
            repeated.push_back(one);
        }
    }
    return b.concat(repeated, 1);
}

}  // namespace pome::model
