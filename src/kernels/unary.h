#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/fp16.h"

namespace pome::kernels {

/// A function of one fp16 value as a table of all 65,536 results: whatever makes it is what it
/// equals.
class UnaryTable {
  public:
    explicit UnaryTable(const std::function<fp16(fp16)>& function);

    fp16 operator()(fp16 x) const { return results_[x.bits]; }
    /// out[i] = f(x[i]) for i < count. out may be x.
    void apply(const fp16* x, fp16* out, std::int64_t count) const;

  private:
    std::vector<fp16> results_;
};

}  // namespace pome::kernels
