#pragma once

#include <string>
#include <vector>

#include "mil/builder.h"

namespace pome::device::emulator {

/// Pieces of MIL that published programs are made of. Constants are places in weight files: nothing
/// here has data, the programs are counted and never evaluated.
class ProgramPieces {
  public:
    using Value = mil::Value;

    mil::Builder& ops() { return builder_; }

    Value input(const std::string& name, const Shape& shape, DType dtype = DType::fp16);
    /// A constant with a place of its own, or with that of others of the same `place`.
    Value constant(const Shape& shape, const std::string& place = "");
    /// x [N, C, H, W] by a constant kernel [outputs, C, kernel, kernel], same size.
    Value conv(const Value& x, std::int64_t outputs, std::int64_t kernel = 1,
               const std::string& place = "");
    /// Channels [begin, begin + size) of [1, C, 1, S].
    Value channels(const Value& x, std::int64_t begin, std::int64_t size);
    /// Positions [begin, begin + size) of [1, C, 1, S], as a matrix [1, 1, C, size].
    Value columns(const Value& x, std::int64_t begin, std::int64_t size);
    /// x / sqrt(mean over channels x^2) * constant.
    Value rms_norm(const Value& x);
    /// [1, heads * size, 1, S] -> [1, heads, S, size].
    Value split_heads(const Value& x, std::int64_t heads);
    /// [1, heads, S, size] -> [1, heads * size, 1, S].
    Value join_heads(const Value& x);
    /// softmax(scale q k^T + mask) of [1, heads, S, size].
    Value probabilities(const Value& q, const Value& k);
    Value softmax_gradient(const Value& p, const Value& dp);
    /// Ends the function with one output.
    mil::Function finish(const Value& y);

  private:
    mil::Builder builder_;
    int places_ = 0;
};

}  // namespace pome::device::emulator
