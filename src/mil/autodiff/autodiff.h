#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mil/builder.h"

namespace pome::mil::autodiff {

/// Gradients that one rule returns: argument name -> gradient of that argument (same shape as it).
/// For a tuple argument the key is "values.0", "values.1", ... Arguments that are absent have no
/// gradient.
using Gradients = std::map<std::string, Value, std::less<>>;

/// What a rule may use: the operation, handles to its forward values in the backward function, and
/// the gradients of its results.
class Context {
  public:
    virtual ~Context() = default;
    virtual const Operation& operation() const = 0;
    /// A forward value in the backward function: an argument ("x", "values.0") or a result
    /// ("result", "result.1"). Asking makes it a saved or recomputed value; ask only for what the
    /// gradient needs.
    virtual Value forward(std::string_view which) = 0;
    /// Its type, without asking for it.
    virtual Type type(std::string_view which) const = 0;
    /// The gradient of result `index`; nullopt when nothing depends on it.
    virtual std::optional<Value> gradient(int index = 0) const = 0;
    /// Constant arguments, defaults included, as in mil::Arguments.
    virtual const Arguments& arguments() const = 0;
    /// Whether the caller wants the gradient of this argument; skip the work otherwise.
    virtual bool wants(std::string_view which) const = 0;
};

/// One op's backward rule. `backward` emits ops into the builder.
struct Rule {
    std::string_view op;
    Gradients (*backward)(Builder&, Context&);
};

/// The rule of an op; nullptr when it has none.
const Rule* find_rule(std::string_view op);
/// Whether an op has a gradient: a rule, or simpler ops that have one
/// (mil/passes/decompose.h).
bool has_gradient(std::string_view op);

/// A weight gradient left to the host: gradient(parameter) = left * right^T, contracted over the S
/// positions. left's elements are, row-major, a matrix [M, S], right's [N, S]; the parameter is [M,
/// N], or [N, M] when `transposed`. `left` names an output or an input ("d_y") of the backward
/// function; `right` a saved value or a parameter of the forward function.
struct HostGradient {
    std::string parameter;
    std::string left;
    std::string right;
    bool transposed = false;
};

/// Which forward values that it needs the backward function computes again instead of taking them
/// as saved ones: none (but views), those that cheap ops give from what is there anyway, or all,
/// from the parameters.
enum class Recompute : std::uint8_t { nothing, cheap, everything };

struct Options {
    std::vector<std::string> with_respect_to;  ///< parameters whose gradients are wanted
    /// Parameters (subset of with_respect_to) used only as an operand of matmul whose gradient the
    /// host computes.
    std::set<std::string, std::less<>> host_gradients;
    Recompute recompute = Recompute::cheap;
    /// Values that are taken for constants: no gradient flows through them. Right where the outputs
    /// do not depend on them, as on a scale that cancels.
    std::set<std::string, std::less<>> stop_gradients = {};
};

/// A stage cut in two. `forward` computes the original outputs and the saved values. `backward`
/// takes "d_<output>" for every output and those saved values and original parameters that it needs
/// (find them by name); it returns "d_<parameter>" for each wanted parameter without host gradient,
/// and the operands of host gradients that it computes.
struct Differentiated {
    Function forward;
    Function backward;
    std::vector<std::string> saved;  ///< names, equal in both functions
    std::vector<HostGradient> host_gradients;
};

/// Reverse mode over MIL. Ops without a rule that are built from simpler ones are written out
/// first, in the forward function too. Throws Error{unsupported} naming the op that has no rule and
/// its line.
Differentiated differentiate(const Function& function, const Options& options);

}  // namespace pome::mil::autodiff
