#pragma once

#include <cstdint>
#include <vector>

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::kernels {

/// A few rows on their way through a norm, as floats between its steps, where each step of its own
/// would make halves of them. Every result equals in every bit what reduction.h and elementwise.h
/// give; rows that the vectors' way does not have (an infinity, other rules, another processor)
/// take theirs.
///
///     rows.sum(x, ...);                    // m = sums of x
///     rows.subtract_and_sum_squares(...);  // x - m stays; v = sums of its squares
///     rows.multiply(...);                  // y = (x - m) r
///
/// or sum_squares() and multiply(). What is subtracted and multiplied by is up to the caller; the
/// class does not ask how it comes from the sums.
class WideRows {
  public:
    /// Up to `rows` rows of `count` elements each.
    WideRows(std::int64_t rows, std::int64_t count);

    /// sums[row] = the sum of each of `rows` rows of x, contiguous, or their mean; x is kept in
    /// mind and must stay as it is until the last multiply().
    void sum(const fp16* x, std::int64_t rows, bool is_mean, fp16* sums, const Numerics& numerics);
    /// The same of the squares, each rounded as the engine's product.
    void sum_squares(const fp16* x, std::int64_t rows, bool is_mean, fp16* sums,
                     const Numerics& numerics);
    /// Takes subtrahends[row] from every element; sums[row] = the sum of the squares of what is
    /// left.
    void subtract_and_sum_squares(const fp16* subtrahends, bool is_mean, fp16* sums,
                                  const Numerics& numerics);
    /// y = each row times factors[row]. y [rows, count] may be x if it is the last use.
    void multiply(const fp16* factors, fp16* y, const Numerics& numerics) const;

  private:
    /// Where a row is.
    enum class Place : std::uint8_t { source, floats, halves };

    void keep(bool squares, const fp16* x, std::int64_t rows, bool is_mean, fp16* sums,
              const Numerics& numerics);
    bool goes_by_vectors(const Numerics& numerics) const;
    float* floats_of(std::int64_t row) { return floats_.data() + row * padded_; }
    const float* floats_of(std::int64_t row) const { return floats_.data() + row * padded_; }
    /// A row that is in no floats.
    const fp16* halves_of(std::int64_t row) const;
    /// The difference of a row of the source, as halves.
    void subtract_halves(std::int64_t row, const fp16* subtrahends, const Numerics& numerics);

    std::int64_t count_, padded_;
    const fp16* source_ = nullptr;
    std::vector<Place> places_;  ///< of the rows there are
    std::vector<float> floats_;  ///< rows of padded_, tiles' elements apart (row_tiles-inl.h)
    std::vector<fp16> halves_;   ///< rows of count_, once there are any
};

}  // namespace pome::kernels
