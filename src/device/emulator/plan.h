#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fp16.h"
#include "base/large_memory.h"
#include "base/thread_pool.h"
#include "device/device.h"
#include "device/emulator/chain.h"
#include "device/emulator/emulator.h"
#include "device/emulator/row_group.h"
#include "kernels/matmul.h"
#include "kernels/softmax.h"
#include "kernels/unary.h"
#include "mil/schema.h"

namespace pome::device::emulator {

/// Functions of one fp16 value as tables of all 65,536 results, made once a device.
struct Tables {
    std::map<std::string, std::shared_ptr<const kernels::UnaryTable>> unary;
    std::shared_ptr<const kernels::SoftmaxTables> softmax;
};

/// What an evaluation works with.
struct Run {
    std::vector<fp16*> slots;  ///< where each slot lies in this evaluation
    const Numerics& numerics;
    ThreadPool& pool;
    kernels::MatmulScratch& matmul_scratch;
    kernels::MatmulStatistics& statistics;
    std::int64_t* vanished = nullptr;  ///< gains dropped products, where they are counted
};

/// One operation, prepared: shapes, strides and tables are fixed when the program is compiled.
class Step {
  public:
    virtual ~Step() = default;
    virtual void run(Run& run) const = 0;
    /// How the step reads and writes element by element; nullptr when it does not.
    virtual const ElementwiseForm* elementwise() const { return nullptr; }
    /// How it works row by row; nullptr when it does not.
    virtual const RowForm* rows() const { return nullptr; }
    /// The slot that the step reads only once and in blocks of its own choice, so that a chain may
    /// compute it block by block instead; -1: none.
    virtual int streamed() const { return -1; }
    /// Takes the chain whose last value is that slot's.
    virtual void read_from(std::shared_ptr<const Chain> /*chain*/) {}
    /// From now on reads the slot x, whose squares the streamed slot would hold; false where it
    /// cannot.
    virtual bool read_squares_of(int /*x*/) { return false; }
};

/// A step of plain loops, for ops that are rare: `loop(Run&)`.
template <typename Loop>
class LoopStep final : public Step {
  public:
    explicit LoopStep(Loop loop) : loop_(std::move(loop)) {}
    void run(Run& run) const override { loop_(run); }

  private:
    Loop loop_;
};

/// A value's place. Values that are the same elements in the same order (reshape, cast) share a
/// slot.
struct Place {
    int slot = -1;
    Shape shape;
};

/// Makes the steps of a function and lays its values out in memory.
class Plan {
  public:
    /// Throws Error{compile_failed} naming the operation that the emulator cannot evaluate.
    Plan(const mil::Package& package, const mil::Function& function, const Profile& profile,
         Tables& tables, Counting counting = Counting::products);

    // For the makers of steps (one family of ops a file).
    const Numerics& numerics() const { return numerics_; }
    const Capabilities& capabilities() const { return capabilities_; }
    const mil::WeightFiles& weights() const { return package_->weights; }
    /// Where an argument lies; constants and literals get a slot of their own on first use.
    Place operand(const mil::Arguments& arguments, std::string_view name);
    std::vector<Place> operands(const mil::Arguments& arguments, std::string_view name);
    /// A slot for a result, all of it written by the step.
    Place result(const mil::Operation& operation, std::size_t index = 0);
    /// Where a result of this function that has a slot lies.
    Place place(const std::string& value) const { return places_.at(value); }
    /// A slot of constants.
    int constants(std::vector<fp16> values);
    /// The elements of an argument that is known when the program is compiled: a literal, a const
    /// or what was folded from them.
    std::optional<reference::Tensor> elements(const mil::Arguments& arguments,
                                              std::string_view name) const;
    /// Gives the results as constants, rounded to fp16 as the host rounds.
    void fold(const mil::Operation& operation, std::vector<reference::Tensor> results);
    /// What made an argument; nullptr for inputs, literals and consts.
    const mil::Operation* producer(const mil::Arguments& arguments, std::string_view name) const;
    /// The arguments of an operation of this function that came before.
    mil::Arguments arguments_of(const mil::Operation& operation) const;
    /// The arguments of an operation whose tensors of these names are `replaced`.
    mil::Arguments arguments_with(const mil::Operation& operation,
                                  const std::map<std::string, mil::Known>& replaced) const;
    /// Adds a step of plain loops; operands, results and scratch were asked for before.
    template <typename Loop>
    void add_loop(Loop loop) {
        add(std::make_unique<LoopStep<Loop>>(std::move(loop)));
    }
    /// Memory that only this operation's steps use.
    int scratch(std::int64_t elements);
    /// The next added step reads or writes this slot (operand, result and scratch say so by
    /// themselves).
    void touch(int slot) { touched_.push_back(slot); }
    /// The result is `source` under another shape.
    void alias(const mil::Operation& operation, const Place& source);
    void add(std::unique_ptr<Step> step) {
        steps_.push_back({std::move(step), std::move(touched_)});
        touched_.clear();
    }
    /// The table of a unary function, made by `make` if the device does not have it yet.
    template <typename Function>
    std::shared_ptr<const kernels::UnaryTable> table(const std::string& key, Function make) {
        auto& slot = tables_.unary[key];
        if (!slot) {
            slot = std::make_shared<kernels::UnaryTable>(make);
        }
        return slot;
    }
    /// The functions inside softmax.
    std::shared_ptr<const kernels::SoftmaxTables> softmax_tables();
    [[noreturn]] static void refuse(const mil::Operation& operation, const std::string& reason);

    /// Evaluates with these surfaces.
    void evaluate(const Bindings& bindings, ThreadPool& pool, kernels::MatmulScratch& scratch,
                  kernels::MatmulStatistics& statistics);

    /// Of the evaluations so far: operations for which something was counted.
    std::vector<OperationCounts> counts() const;

    std::int64_t arena_elements() const { return static_cast<std::int64_t>(arena_.size()); }
    /// Of the arena, the constants and the surfaces that are bound; without the packing of
    /// products.
    std::int64_t bytes() const;

  private:
    enum class Kind : std::uint8_t { arena, input, output, constant };
    struct Slot {
        std::int64_t elements = 0;
        Kind kind = Kind::arena;
        std::string boundary;    ///< name of the input or output
        std::size_t offset = 0;  ///< in the arena
        std::vector<fp16> constant;
        std::size_t first = 0, last = 0;  ///< steps that touch it
    };
    struct Scheduled {
        std::unique_ptr<Step> step;
        std::vector<int> touched;
    };
    /// An input or output that is not fp16 or that cannot lie in its surface: converted or copied.
    struct Transfer {
        std::string name;
        int slot = -1;
        std::int64_t bytes = 0;  ///< of the surface
    };

    /// One operation with steps of its own: what it counted, and the values that counting looks at.
    struct Counted {
        OperationCounts counts;
        std::size_t end = 0;  ///< one past its last step
        std::vector<Place> operands;
        Place result;
    };

    int make_slot(std::int64_t elements);
    void count_from(const mil::Operation& operation);
    void count_operands(Counted& counted, const Run& run) const;
    void count_result(Counted& counted, const Run& run, std::int64_t saturated) const;
    int constant_slot(const mil::Literal& literal);
    Place place_of(const mil::Operand& operand, const mil::Type& type,
                   const mil::Operation& operation);
    void add_inputs(const mil::Function& function);
    void add_operation(const mil::Operation& operation);
    void add_outputs(const mil::Function& function);
    void lay_out();
    /// Gives slots their offsets in this order, each the first place where those that live at the
    /// same time do not lie; returns the end of the last, in elements.
    std::size_t place(const std::vector<std::size_t>& order);
    /// Joins elementwise steps that follow each other, and steps that work row by row (chain.cc).
    void fuse();
    /// The steps that touch each slot.
    std::vector<std::vector<std::size_t>> users() const;
    /// Slots of converted or copied inputs and outputs.
    std::set<int> transferred() const;
    /// Lets steps take along what nothing else reads: sums the squares of what they sum, sums of
    /// two the product with a number that they add to.
    void take_operands();
    /// The slot that the only reader of what `form` gives reads from now on instead, computing that
    /// by itself; -1: it does not.
    int take_square(const ElementwiseForm& form, Scheduled& reader) const;
    int take_product(const ElementwiseForm& form, Scheduled& reader) const;

    mil::Lookup lookup() const;

    const mil::Package* package_;
    Numerics numerics_;
    Capabilities capabilities_;
    Tables& tables_;
    std::map<std::string, mil::Known, std::less<>> known_;
    std::map<std::string, Place, std::less<>> places_;
    std::map<std::string, const mil::Operation*, std::less<>> producers_;
    std::list<reference::Tensor> folded_;  ///< known_ points to them
    std::map<const mil::Literal*, int> constant_slots_;
    std::vector<Slot> slots_;
    std::vector<Scheduled> steps_;
    Counting counting_;
    std::vector<Counted> counted_;
    std::vector<int> touched_;
    std::vector<Transfer> loads_;
    std::vector<Transfer> stores_;
    LargeVector<fp16> arena_;
};

/// Makes the steps of one operation.
using Maker = void (*)(Plan& plan, const mil::Operation& operation,
                       const mil::Arguments& arguments);

/// The makers, by op name: one table from all families (steps_*.cc).
const std::map<std::string_view, Maker>& makers();

// One list a family.
using Makers = std::vector<std::pair<std::string_view, Maker>>;
Makers product_makers();       // conv, linear, matmul
Makers elementwise_makers();   // add, mul, ..., sigmoid, pow, ...
Makers activation_makers();    // elu, prelu, softplus, ...
Makers compare_makers();       // equal, less, ..., select, logical_not
Makers reduction_makers();     // reduce_*, softmax
Makers norm_makers();          // local_response_norm
Makers pooling_makers();       // max_pool, avg_pool, l2_pool
Makers layout_makers();        // reshape, transpose, slice_by_size, concat, ...
Makers rearranging_makers();   // reverse, depth_to_space, slice_by_index, ...: by a map of places
Makers indexing_makers();      // gather, topk, reduce_argmax, ...
Makers resize_makers();        // resize_*, upsample_*
Makers sampling_makers();      // resample, affine, crop_resize
Makers quantization_makers();  // quantize, dequantize, constexpr_*
Makers filling_makers();       // fill, fill_like, range_1d

}  // namespace pome::device::emulator
