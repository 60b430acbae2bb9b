#pragma once

#include <map>
#include <string>
#include <vector>

#include "device/legalize/boundary.h"
#include "device/legalize/rules.h"

namespace pome::device::legalizing {

/// Why a function cannot be split.
struct Unsplittable {
    std::string reason;
};

using Sizes = std::vector<std::int64_t>;

/// `size` in as few parts of at most `limit` as are equal; if that takes twice as many as needed,
/// unequal ones of a multiple of 32.
Sizes chunks(std::int64_t size, std::int64_t limit);

/// Rewrites a function so that no value has an axis beyond the chip's limit.
///
/// A value that is too wide exists only as parts along one axis. Operations on it are done part by
/// part, until a result is small enough (then the parts are joined) or leaves the program (then it
/// has several outputs). One file a family of operations: split_products.cc, split_moves.cc,
/// split_folds.cc.
class Splitter {
  public:
    /// `weights` takes the cut constants.
    Splitter(const mil::Function& from, const Work& work, mil::WeightFiles& weights);

    /// Throws Unsplittable.
    mil::Function run();

    std::vector<Change> changes;
    Boundary boundary;

  private:
    struct Parts {
        int axis = 0;
        Sizes sizes;
        std::vector<mil::Value> values;
    };
    using Changed = std::map<std::string, mil::Value, std::less<>>;

    const Limits& limits() const { return work_.profile.limits; }
    [[noreturn]] void stop(std::string reason) const { throw Unsplittable{std::move(reason)}; }

    void take(const mil::NamedType& parameter);
    std::vector<std::string> take_outputs();
    static void add_part(BoundaryChange& change, const BoundaryPart& whole,
                         const mil::NamedType& value, int axis, std::int64_t at, std::int64_t size);
    bool take(const mil::Operation& operation);
    /// An operation that cannot be looked into must not meet a value in parts.
    void refuse_parts_of(const mil::Operation& operation) const;
    /// The axis of a type that is too wide; -1 when there is none.
    int wide_axis(const mil::Type& type) const;
    Sizes chunks_of(const mil::Type& type, int axis) const;
    void note(std::string what, Equality equality);
    /// The parts of a named argument; nullptr when its value is whole.
    const Parts* parts_of(std::string_view argument) const;
    bool has_parts() const;
    /// Parts of an argument's operand along an axis.
    std::vector<mil::Value> cut_operand(std::string_view argument, int axis, const Sizes& sizes);
    /// Makes the results, given in parts: one value where it is small enough.
    void finish(int axis, const Sizes& sizes, std::vector<mil::Value> values,
                const std::string& what);
    std::string in_parts(const Sizes& sizes, std::string_view unit) const;

    // split_products.cc: each returns whether it did anything.
    bool take_matmul(int wide);
    bool take_conv(int wide);
    bool take_linear(int wide);
    /// The terms that one sum may have: what the product takes, and its operands' axes.
    std::int64_t inner_limit(std::int64_t most, std::string_view x, int x_axis, std::string_view y,
                             int y_axis) const;
    /// The sum of partial results, in their order.
    mil::Value sum(const std::vector<mil::Value>& partial);
    /// A conv or linear as the sum of those of the parts of x (along x_axis) and of the weight's
    /// inputs; the bias joins the first.
    void sum_over_inputs(int x_axis, const Sizes& sizes, std::string_view unit);
    /// A conv or linear as those of the parts of the weight's outputs, which lie along `axis`.
    void join_outputs(int axis, std::string_view unit);

    // split_moves.cc
    /// Values joined along the axis that is too wide are its parts.
    void take_concat();
    /// The operands of `values` that are whole, in their places.
    std::vector<mil::Value> whole_values();
    void take_transpose(int wide);
    /// reshape, expand_dims, squeeze: an axis with as many elements before it as one of x's, and of
    /// its size, is that axis.
    void take_view(int wide);

    // split_folds.cc
    void take_reduction();
    void take_softmax(int wide);
    void take_pointwise(int wide);

    const mil::Function& from_;
    const Work& work_;
    mil::WeightFiles& weights_;
    Emission emission_;
    const mil::Operation* operation_ = nullptr;
    const mil::Arguments* in_ = nullptr;
    std::map<std::string, Parts, std::less<>> parts_;
};

}  // namespace pome::device::legalizing
