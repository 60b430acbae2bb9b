#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/fp16.h"
#include "base/numerics.h"
#include "base/shape.h"
#include "kernels/elementwise.h"

namespace pome::device::emulator {

/// Which element of an operand meets element i of the result: (i / group) % count. Whole operands
/// have group 1 and as many elements as the result; a number has count 1.
struct Access {
    std::int64_t group = 1;
    std::int64_t count = 1;

    /// Of an operand broadcast to `result` by NumPy's rules. False where its own axes are not
    /// neighbours, so that no such rule exists.
    static bool of(const Shape& operand, const Shape& result, Access& access);

    std::int64_t index(std::int64_t i) const {
        if (group == 1 && i < count) {  // most of them: divisions take long
            return i;
        }
        return count == 1 ? 0 : i / group % count;
    }
    bool is_whole(std::int64_t elements) const { return group == 1 && count == elements; }
    /// Whether the elements from i on, up to end_of_run(i), are one element.
    bool is_constant() const { return group > 1 || count == 1; }
    /// The first element after i at which the operand's elements stop following each other (or
    /// being one).
    std::int64_t end_of_run(std::int64_t i, std::int64_t elements) const;
};

/// An elementwise step as a part of a chain: out[i] = f(x[x_access.index(i)],
/// y[y_access.index(i)]).
struct ElementwiseForm {
    /// count elements; an operand that is constant is read at its first element only. out may be x
    /// or y. y is nullptr for functions of one operand.
    using Function =
        std::function<void(const fp16* x, bool x_is_constant, const fp16* y, bool y_is_constant,
                           fp16* out, std::int64_t count, const Numerics::Elementwise& rules)>;
    int x = -1, y = -1, result = -1;  ///< slots; y < 0: one operand
    Access x_access, y_access;
    std::int64_t elements = 0;
    Function function;
    bool is_square = false;  ///< it is the product of x, whole, and x
    /// What the function is, where it is one of these.
    std::optional<kernels::Binary> op = std::nullopt;
};

struct Run;

/// One elementwise step of a chain: where it finds its operands and leaves its result.
struct Link {
    /// A slot, a buffer of the block, or (result only) what the chain's reader gave.
    struct Place {
        int slot = -1;
        int buffer = -1;
        Access access;
    };
    ElementwiseForm::Function function;
    Place x, y, result;
    bool has_y = false;
};

/// Tells the processor which elements of memory the next block will touch, a part of them before
/// each step of a block: steps that compute in the caches leave memory idle meanwhile, and it takes
/// them as long again to wait for it.
class Ahead {
  public:
    /// For a loop over `elements`, of whose block [begin, end) a slot's elements [n begin, n end)
    /// are; n is the slot's elements / `elements`.
    explicit Ahead(std::int64_t elements) : elements_(elements) {}

    /// Adds a place if it is a slot that is read or written front to back.
    void add(const Link::Place& place, std::int64_t elements_of_result);
    /// Part `part` of `parts` of the block [begin, end).
    void touch(const Run& run, std::int64_t begin, std::int64_t end, std::size_t part,
               std::size_t parts) const;

  private:
    struct Stream {
        int slot;
        std::int64_t step;  ///< its elements for each of the loop's
    };
    std::int64_t elements_;
    std::vector<Stream> streams_;
};

/// Elementwise steps that are evaluated block by block. The last one's result goes to its slot or,
/// for a stream, to whoever reads it.
class Chain {
  public:
    Chain(std::vector<Link> links, int buffers, std::int64_t elements);

    std::int64_t elements() const { return elements_; }
    /// Evaluates the elements [begin, end); a stream's last values go to `to`. `buffers` is memory
    /// of one thread that is kept between calls. `next` is where the next call will begin.
    void evaluate(Run& run, std::int64_t begin, std::int64_t end, std::vector<fp16>& buffers,
                  fp16* to, std::int64_t next) const;

  private:
    std::vector<Link> links_;
    Ahead ahead_;
    int buffers_;
    std::int64_t elements_;
};

}  // namespace pome::device::emulator
