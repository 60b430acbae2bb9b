#pragma once

#include <array>
#include <string>
#include <vector>

#include "device/emulator/plan.h"

namespace pome::device::emulator {

/// A step that is one elementwise form (chain.h).
class ElementwiseStep : public Step {
  public:
    explicit ElementwiseStep(ElementwiseForm form) : form_(std::move(form)) {}
    void run(Run& run) const override;
    const ElementwiseForm* elementwise() const override { return &form_; }

  private:
    ElementwiseForm form_;
};

/// A function of one operand as a table.
class UnaryStep final : public ElementwiseStep {
  public:
    UnaryStep(std::shared_ptr<const kernels::UnaryTable> table, int x, int result,
              std::int64_t elements);
};

/// Refuses an operand of integers: they reach arithmetic through cast and dequantize only.
void expect_no_integers(const mil::Operation& operation, const mil::Arguments& arguments,
                        std::string_view name);

/// Adds the table of `function` over argument x; `key` names it among the device's tables.
template <typename Function>
void add_unary(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments,
               const std::string& key, Function function) {
    expect_no_integers(operation, arguments, "x");
    const Place x = plan.operand(arguments, "x");
    const auto table = plan.table(key, function);
    const Place result = plan.result(operation);
    plan.add(std::make_unique<UnaryStep>(table, x.slot, result.slot, result.shape.elements()));
}

/// A function of up to three operands, element by element with broadcasting: for ops that are rare.
using Elements = std::array<fp16, 3>;
using ElementFunction = fp16 (*)(const Elements& operands, const Numerics& numerics);

/// Adds it over places, broadcast to the result.
void add_broadcast(Plan& plan, const std::vector<Place>& operands, const Place& result,
                   ElementFunction function);
/// Adds it over the named arguments.
void add_broadcast(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments,
                   const std::vector<std::string_view>& names, ElementFunction function);

/// Row-major strides of `shape` broadcast to `rank` axes: 0 where it has one element.
std::vector<std::int64_t> broadcast_strides(const Shape& shape, int rank);

}  // namespace pome::device::emulator
