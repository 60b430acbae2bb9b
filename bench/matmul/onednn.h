#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pome::bench {

/// fp32 products of a batch: a [jobs, m, k], b [jobs, k, n] and y [jobs, m, n] in row-major order,
/// a and b with their last two axes exchanged in memory where they lie by columns.
struct FloatProducts {
    std::int64_t jobs, m, k, n;
    const float* a;
    bool a_by_columns;
    const float* b;
    bool b_by_columns;
    float* y;
};

/// A contender; the memory of `products` must outlive it.
struct FloatContender {
    std::string name;
    std::function<void()> multiply;
};

/// oneDNN's product by so many threads, once as the operands lie and once with b packed before, as
/// constant weights would be. Empty where the build has no oneDNN (Debian: libdnnl-dev).
std::vector<FloatContender> onednn(const FloatProducts& products, int threads);

}  // namespace pome::bench
