#include "reference/chip/slice.h"

namespace pome::reference::chip {

fp16 width_gain(fp16 x) {
    constexpr float gain = 16.0F;
    const fp16 moved = to_fp16(to_float(x) * gain, Rounding::nearest_away);
    return is_infinite(moved) ? moved : x;
}

}  // namespace pome::reference::chip
