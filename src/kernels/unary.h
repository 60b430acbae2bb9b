#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/fp16.h"
#include "kernels/lines.h"

namespace pome::kernels {

/// A function of one fp16 value as a table of all 65,536 results: whatever makes it is what it
/// equals. Where a form of lines (lines.h) gives the same results, it is computed instead of looked
/// up.
class UnaryTable {
  public:
    explicit UnaryTable(const std::function<fp16(fp16)>& function);

    fp16 operator()(fp16 x) const { return results_[x.bits]; }
    /// out[i] = f(x[i]) for i < count. out may be x.
    void apply(const fp16* x, fp16* out, std::int64_t count) const;

    /// The forms that were found.
    const std::optional<Segments>& segments() const { return segments_; }
    const std::optional<Exponential>& exponential() const { return exponential_; }

  private:
    Results results() const { return Results(results_.data(), 65536); }

    std::vector<fp16> results_;
    std::optional<Segments> segments_;
    std::optional<Exponential> exponential_;
};

}  // namespace pome::kernels
