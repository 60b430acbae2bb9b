// Comparisons, which give bools, and select. Bools live as 0 and 1.
#include "device/emulator/elementwise.h"
#include "reference/chip/comparison.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

template <chip::Comparison comparison>
void make_comparison(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    add_broadcast(plan, operation, arguments, {"x", "y"},
                  [](const Elements& in, const Numerics& numerics) {
                      return chip::compare(comparison, in[0], in[1], numerics.elementwise);
                  });
}

/// The chosen element keeps its bits.
void make_select(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    add_broadcast(
        plan, operation, arguments, {"cond", "a", "b"},
        [](const Elements& in, const Numerics&) { return is_zero(in[0]) ? in[2] : in[1]; });
}

void make_not(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    add_unary(plan, operation, arguments, operation.op, chip::logical_not);
}

}  // namespace

Makers compare_makers() {
    using chip::Comparison;
    return {{"equal", make_comparison<Comparison::equal>},
            {"not_equal", make_comparison<Comparison::not_equal>},
            {"greater", make_comparison<Comparison::greater>},
            {"greater_equal", make_comparison<Comparison::greater_equal>},
            {"less", make_comparison<Comparison::less>},
            {"less_equal", make_comparison<Comparison::less_equal>},
            {"select", make_select},
            {"logical_not", make_not}};
}

}  // namespace pome::device::emulator
