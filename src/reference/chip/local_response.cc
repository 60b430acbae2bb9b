#include "reference/chip/local_response.h"

#include <vector>

#include "reference/chip/elementwise.h"
#include "reference/chip/reduction.h"
#include "reference/chip/tables.h"

namespace pome::reference::chip {

fp16 local_response(fp16 x, std::span<const fp16> channels, std::int64_t size, double alpha,
                    double beta, double k, const Numerics& numerics) {
    const Rules& rules = numerics.elementwise;
    const auto constant = [](double value) { return to_fp16(value, Rounding::nearest_even); };
    std::vector<fp16> squares;
    for (const fp16 value : channels) {
        squares.push_back(square(value, rules));
    }
    const fp16 sum = reduce_sum(squares, numerics.reduction);
    const fp16 scaled = mul(sum, constant(alpha / static_cast<double>(size)), rules);
    const fp16 base = add(scaled, constant(k), rules);
    return mul(x, power(base, constant(-beta), numerics), rules);
}

}  // namespace pome::reference::chip
