#pragma once

#include "base/thread_pool.h"
#include "model/architecture.h"
#include "train/parameters.h"

namespace pome::cli::bench {

/// Bytes that the host of a dynamic training step of `batch` sequences, one after another, reads
/// and writes at least, by what for: each
/// array once in, once out, whatever a kernel does with it inside. Matrix products are counted
/// apart.
struct HostBytes {
    double surfaces = 0.0;   ///< fp32 to fp16 and back: x, y, dy, dx of each block; 6 an element
    double operands = 0.0;   ///< of weight gradients, looked at for infinities; 2 an element
    double norms = 0.0;      ///< forward x in, y out (8); backward x, dy, dx in, dx out (16)
    double residuals = 0.0;  ///< two streams in, one out; 12 an element
    double embedding = 0.0;  ///< rows in, stream out (8); gradient in, rows in and out (12)
    double loss = 0.0;       ///< logits in, their gradient out; 8 an element
    double gradients = 0.0;  ///< set to zero (4), read for their norm (4)
    double optimizer = 0.0;  ///< AdamW: gradient, weight, two moments in, three out; 28 a parameter
    double staging = 0.0;    ///< the blocks' weights, fp32 to fp16; 6 an element
    double total() const {
        return surfaces + operands + norms + residuals + embedding + loss + gradients + optimizer +
               staging;
    }
};
HostBytes host_bytes(const model::Architecture& architecture, std::int64_t sequence,
                     std::int64_t batch);

/// FLOP of the host's matrix products: weight gradients and the classifier's three.
double host_product_flops(const model::Architecture& architecture, std::int64_t sequence);

/// Milliseconds, the median of five, that those products take on random data: the same calls on the
/// same shapes, each weight gradient into its own memory, so that none finds it in a cache.
double host_products_ms(const model::Architecture& architecture, std::int64_t sequence,
                        train::ParameterSet& gradients, ThreadPool& pool);

/// Bytes read and written a second, 10^9, by all threads copying far more than the caches hold.
double copy_gbs(ThreadPool& pool);

}  // namespace pome::cli::bench
