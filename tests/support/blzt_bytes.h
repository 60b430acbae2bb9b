#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/bytes.h"

namespace pome::test {

/// A BLZT checkpoint to be written; the defaults give every size another value.
struct BlztFile {
    std::int32_t version = 2, layers = 2, vocabulary = 10, width = 8, hidden = 12, heads = 4,
                 sequence = 16;
    std::int32_t kv_heads = 4, head_size = 2;  ///< of version 4
    std::int32_t query_width() const { return version == 2 ? width : heads * head_size; }
    std::int32_t kv_width() const { return version == 2 ? width : kv_heads * head_size; }
};

/// What Adam's moments are filled with, so that one taken for a weight is found.
constexpr float moment = -7777.0F;

/// The bytes of a checkpoint, laid out here field by field and not by the reader's own code: a
/// header of 96 bytes; per layer Wq Wk Wv Wo W1 W2 W3 rms_att rms_ffn, then m and v of each; then
/// rms_final, m, v; embedding, m, v. Weights are `next()`, in the file's order.
inline std::vector<std::byte> blzt_bytes(const BlztFile& f, const std::function<float()>& next) {
    ByteWriter out;
    for (const std::int32_t value : {0x424C5A54, f.version, 480, 1000, f.layers, f.vocabulary,
                                     f.width, f.hidden, f.heads, f.sequence}) {
        out.put(value);
    }
    out.put(3e-4F);  // lr
    out.put(2.5F);   // loss
    for (const double milliseconds : {1.0, 2.0, 3.0}) {
        out.put(milliseconds);
    }
    for (const std::int32_t value : {480, 48, 47}) {  // steps, batches, adam_t
        out.put(value);
    }
    const bool four = f.version == 4;
    out.put(four ? f.kv_heads : std::int32_t{0});
    out.put(four ? f.head_size : std::int32_t{0});
    out.put(four ? f.query_width() : std::int32_t{0});
    const auto weights = [&](std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) {
            out.put(next());
        }
    };
    const auto moments = [&](std::int64_t count) {
        for (std::int64_t i = 0; i < 2 * count; ++i) {
            out.put(moment);
        }
    };
    const std::int64_t d = f.width, q = f.query_width(), kv = f.kv_width(), h = f.hidden;
    const std::int64_t layer[] = {q * d, kv * d, kv * d, d * q, h * d, d * h, h * d, d, d};
    for (std::int32_t i = 0; i < f.layers; ++i) {
        for (const std::int64_t count : layer) {
            weights(count);
        }
        for (const std::int64_t count : layer) {
            moments(count);
        }
    }
    for (const std::int64_t count : {d, f.vocabulary * d}) {
        weights(count);
        moments(count);
    }
    return out.take();
}

}  // namespace pome::test
