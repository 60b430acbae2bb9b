#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "device/legalize/legalize.h"
#include "mil/builder.h"
#include "mil/schema.h"

namespace pome::device::legalizing {

/// What the rewrites of one legalize() share.
struct Work {
    const Profile& profile;
    mil::WeightFiles& weights;
    std::vector<Change>& changes;
    std::vector<Refusal>& refusals;
    Boundary& boundary;

    void refuse(std::string_view rule, const mil::Operation& operation, std::string reason) const;
};

/// A function written anew, operation by operation: most are kept as they are, some are replaced by
/// operations made with a Builder, whose results take the old names. Positions in the text are
/// kept; new operations have that of the one they replace.
class Emission {
  public:
    explicit Emission(const mil::Function& from, mil::WeightFiles& weights);

    /// What is known of a value of the old function that was defined so far.
    const mil::Known* known(std::string_view name) const;
    mil::Lookup lookup() const {
        return [this](std::string_view name) { return known(name); };
    }
    /// The operation that defines a value of the function as it is written; nullptr for inputs.
    const mil::Operation* producer(std::string_view name) const;
    bool is_output(std::string_view name) const { return outputs_.contains(name); }

    // Making operations.
    mil::Builder& ops() { return builder_; }
    mil::Value value(const std::string& name);  ///< a handle to an old value
    /// The operand of an argument that has one; nullopt when the argument is not given.
    std::optional<mil::Value> operand(const mil::Operation& operation, std::string_view argument);
    std::vector<mil::Value> operands(const mil::Operation& operation, std::string_view argument);
    /// The same operation with some arguments given anew, and without those of `dropped`. Literals
    /// become named constants.
    std::vector<mil::Value> again(const mil::Operation& operation,
                                  const std::map<std::string, mil::Value, std::less<>>& changed,
                                  const std::set<std::string, std::less<>>& dropped = {});
    /// A constant of these elements: where `like` lies in a weight file, in a file of its own.
    mil::Value constant_like(const mil::Literal& like, mil::Literal literal,
                             const std::string& name);

    // Writing the function.
    void parameter(const mil::NamedType& parameter);  ///< kept as it is
    void parameter_instead(const std::vector<mil::NamedType>& parameters);
    /// A value of the old function that the new one has in another form, perhaps in parts.
    void declare(const mil::NamedType& value) { define(value); }
    /// From here on `old` is this new value, which is flushed.
    void alias(const mil::NamedType& old, const mil::Value& value, mil::Position position);
    void keep(const mil::Operation& operation);
    /// New values under the old results' names; their types must be the same.
    void replace(const mil::Operation& operation, const std::vector<mil::Value>& results);
    /// The operation's results are gone (they live on in parts).
    void drop(const mil::Operation& operation);
    /// Everything made so far becomes part of the function.
    void flush(mil::Position position);
    /// The function with these outputs (by default the old ones).
    mil::Function take(std::optional<std::vector<std::string>> outputs = std::nullopt);

    /// A name that neither function has.
    std::string fresh(std::string_view hint);

  private:
    void define(const mil::NamedType& value, const mil::Literal* constant = nullptr);

    const mil::Function& from_;
    mil::WeightFiles& weights_;
    mil::Builder builder_;
    mil::Function function_;
    std::size_t flushed_ = 0;
    std::map<std::string, mil::Known, std::less<>> known_;
    std::map<std::string, std::size_t, std::less<>> producers_;  ///< index in function_.operations
    std::map<std::string, mil::Value, std::less<>> handles_;
    std::map<std::string, std::string, std::less<>> aliases_;  ///< old name to the value it equals
    std::set<std::string, std::less<>> names_, outputs_;
};

/// Elements [begin, begin + count) along an axis of a literal that holds its bytes.
mil::Literal cut(const mil::Literal& literal, int axis, std::int64_t begin, std::int64_t count);

/// Whether the elements of a literal are at hand.
bool is_readable(const mil::Literal& literal, const mil::WeightFiles& weights);

/// The largest size that an axis of a value of this rank may have; 0: any.
std::int64_t axis_limit(const Limits& limits, int rank, int axis);

/// `function` without constants and new operations that nothing uses. Operations that `original`
/// has are kept.
mil::Function without_dead(mil::Function function, const mil::Function& original);

}  // namespace pome::device::legalizing
