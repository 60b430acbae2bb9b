#include "device/emulator/program_pieces.h"

#include <cmath>

namespace pome::device::emulator {

using mil::Literal;
using mil::Type;
using mil::Value;

Value ProgramPieces::input(const std::string& name, const Shape& shape, DType dtype) {
    return builder_.input(name, Type::tensor(dtype, shape));
}

Value ProgramPieces::constant(const Shape& shape, const std::string& place) {
    const std::string file = place.empty() ? fmt::format("w{}", places_++) : place;
    return builder_.constant(Literal::blob(Type::tensor(DType::fp16, shape),
                                           {fmt::format("@model_path/weights/{}.bin", file), 64}),
                             "w");
}

Value ProgramPieces::conv(const Value& x, std::int64_t outputs, std::int64_t kernel,
                          const std::string& place) {
    const std::int64_t pad = kernel / 2;
    return builder_.conv(x, constant({outputs, x.shape()[1], kernel, kernel}, place),
                         {.pad = {pad, pad, pad, pad}});
}

Value ProgramPieces::channels(const Value& x, std::int64_t begin, std::int64_t size) {
    return builder_.slice(x, {0, begin, 0, 0}, {1, size, 1, x.shape()[3]});
}

Value ProgramPieces::columns(const Value& x, std::int64_t begin, std::int64_t size) {
    const std::int64_t rows = x.shape()[1];
    const Value part = builder_.slice(x, {0, 0, 0, begin}, {1, rows, 1, size});
    return builder_.reshape(part, {1, 1, rows, size});
}

Value ProgramPieces::rms_norm(const Value& x) {
    const Value sum = builder_.reduce_sum(builder_.mul(x, x), {1}, true);
    const double share = 1.0 / static_cast<double>(x.shape()[1]);
    const Value mean =
        builder_.add(builder_.scale(sum, share), builder_.number(x.type.dtype, 1e-5));
    return builder_.mul(builder_.mul(x, builder_.pow(mean, -0.5)),
                        constant({1, x.shape()[1], 1, 1}));
}

Value ProgramPieces::split_heads(const Value& x, std::int64_t heads) {
    const std::int64_t size = x.shape()[1] / heads, positions = x.shape()[3];
    return builder_.transpose(builder_.reshape(x, {1, heads, size, positions}), {0, 1, 3, 2});
}

Value ProgramPieces::join_heads(const Value& x) {
    const std::int64_t heads = x.shape()[1], positions = x.shape()[2], size = x.shape()[3];
    return builder_.reshape(builder_.transpose(x, {0, 1, 3, 2}), {1, heads * size, 1, positions});
}

Value ProgramPieces::probabilities(const Value& q, const Value& k) {
    const Value scores = builder_.matmul(q, k, false, true);
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.shape()[3]));
    const Value mask = constant({1, 1, q.shape()[2], k.shape()[2]}, "mask");
    return builder_.softmax(builder_.add(builder_.scale(scores, scale), mask), -1);
}

Value ProgramPieces::softmax_gradient(const Value& p, const Value& dp) {
    const Value sums = builder_.reduce_sum(builder_.mul(p, dp), {-1}, true);
    const double scale = 1.0 / std::sqrt(static_cast<double>(p.shape()[3]));
    return builder_.scale(builder_.mul(p, builder_.sub(dp, sums)), scale);
}

mil::Function ProgramPieces::finish(const Value& y) {
    builder_.output(builder_.rename(y, "y"));
    return builder_.take();
}

}  // namespace pome::device::emulator
