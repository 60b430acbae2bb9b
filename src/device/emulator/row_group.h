#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/fp16.h"
#include "base/numerics.h"
#include "device/emulator/chain.h"

namespace pome::device::emulator {

class Step;

/// A step that makes something of each row of x [rows, count], as a part of a row group.
struct RowForm {
    /// Some rows, contiguous, in x as in the result.
    using Function = std::function<void(const fp16* x, fp16* result, std::int64_t rows,
                                        const Numerics& numerics)>;
    int x = -1, result = -1;  ///< slots
    std::int64_t rows = 0, count = 0;
    bool keeps_columns = false;  ///< the result is [rows, count], otherwise [rows]
    Function function;
    /// What the function sums, where it is a sum or a mean.
    struct Sum {
        bool is_mean = false, of_squares = false;
    };
    std::optional<Sum> sum;
};

/// Steps that follow each other and work row by row on tensors of the same rows: sums and softmax
/// of rows, elementwise steps on [rows, count] or on one value a row. They run for a few rows at a
/// time, so that what one gives the next stays in the processor's caches: a norm reads its tensor
/// from memory once. The arithmetic is each step's own, or of norms that of kernels/wide_rows.h,
/// which gives the same bits.
class RowGroup {
  public:
    /// How many of the steps from the first on make a group; 0 if fewer than two do.
    static std::size_t length(const std::vector<const Step*>& steps);

    /// The steps joined. Slots that `stays_inside` need no memory; the others are added to
    /// `touched`.
    static std::unique_ptr<Step> join(const std::vector<const Step*>& steps,
                                      const std::function<bool(int slot)>& stays_inside,
                                      std::vector<int>& touched);
};

}  // namespace pome::device::emulator
