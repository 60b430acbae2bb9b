#include "reference/chip/comparison.h"

#include "reference/chip/elementwise.h"

namespace pome::reference::chip {
namespace {

fp16 truth(bool value) {
    return value ? fp16{0x3C00} : fp16{0};
}

}  // namespace

fp16 compare(Comparison comparison, fp16 x, fp16 y, const Numerics::Elementwise& rules) {
    const double a = load(x, rules), b = load(y, rules);
    switch (comparison) {
        case Comparison::equal:
            return truth(a == b);
        case Comparison::not_equal:
            return truth(a != b);
        case Comparison::greater:
            return truth(a > b);
        case Comparison::greater_equal:
            return truth(a >= b);
        case Comparison::less:
            return truth(a < b);
        case Comparison::less_equal:
            return truth(a <= b);
    }
    return truth(false);
}

fp16 logical_not(fp16 x) {
    return truth(is_zero(x));
}

}  // namespace pome::reference::chip
