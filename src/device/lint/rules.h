#pragma once

#include <fmt/format.h>

#include <algorithm>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device/lint.h"
#include "device/lint/view.h"
#include "device/profile.h"

namespace pome::device::linting {

class Lint;

/// One rule. Its numbers are the profile's; what holds for every chip and route alike says here
/// where it was seen.
struct Rule {
    std::string_view id;
    std::string_view meaning;
    std::string_view source;
    void (*function)(Lint& lint) = nullptr;  ///< asked once a function
    void (*operation)(Lint& lint,
                      const mil::Operation& operation) = nullptr;  ///< once an operation
    bool everywhere = false;  ///< holds for devices that are no engine too
};
using Rules = std::vector<Rule>;

// One list a subject. A new rule is a row in one of them.
Rules value_rules();        // values.cc: ranks and sizes of values
Rules boundary_rules();     // boundary.cc: inputs and outputs, their surfaces, weights
Rules product_rules();      // products.cc: conv, matmul, linear, attention
Rules reduction_rules();    // reductions.cc: reductions, norms, softmax, topk
Rules elementwise_rules();  // elementwise.cc
Rules layout_rules();       // layout.cc: slices, concat, pad, tile, transpose, gather, pools
Rules route_rules();        // route.cc: dialect, opset, arguments
Rules op_rules();           // ops.cc: which ops a family lowers

/// One function being looked at; rules report to it.
class Lint {
  public:
    Lint(const mil::Function& function, const Profile& of) : view(function), profile(of) {}

    void run(const Rule& rule);

    /// The chip does `reaction` with `value`, at a line of the text.
    void report(Reaction reaction, int line, std::string_view value, std::string message,
                std::string remedy);
    /// The same for an operation's first result.
    void report(Reaction reaction, const mil::Operation& operation, std::string message,
                std::string remedy) {
        report(reaction, operation.position.line,
               operation.results.empty() ? operation.op : operation.results.front().name,
               std::move(message), std::move(remedy));
    }
    std::vector<Finding> take();

    const FunctionView view;
    const Profile& profile;

  private:
    const Rule* rule_ = nullptr;
    std::vector<Finding> findings_;
};

/// The compiler's words for what it cannot lower.
inline constexpr std::string_view compile_failed = "_ANECompiler : ANECCompile() FAILED";
inline constexpr std::string_view invalid_program =
    "_ANECompiler : ANECCompile() FAILED err=(InvalidMILProgram)";
inline constexpr std::string_view no_backend =
    "Some ops are not supported on any of the specified backends";

/// Axes and counts come from texts: whatever is written there, these stay in range.
inline int whole(double value) {
    return static_cast<int>(std::clamp(value, -0x1p30, 0x1p30));
}
inline std::int64_t bounded(std::int64_t size) {
    return std::min(size, std::int64_t{1} << 31);
}

/// Bytes of a dense tensor, at most 2^60; 0 for what is no static tensor.
std::int64_t bytes_of(const mil::Type& type);

}  // namespace pome::device::linting
