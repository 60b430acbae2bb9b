#include "kernels/unary.h"

#include "kernels/fast_paths.h"

namespace pome::kernels {

UnaryTable::UnaryTable(const std::function<fp16(fp16)>& function) : results_(65536) {
    for (std::uint32_t bits = 0; bits < results_.size(); ++bits) {
        results_[bits] = function(fp16{static_cast<std::uint16_t>(bits)});
    }
    if (!fast_paths()) {
        return;
    }
    segments_ = find_segments(results());
    if (!segments_) {
        exponential_ = find_exponential(results());
    }
}

void UnaryTable::apply(const fp16* x, fp16* out, std::int64_t count) const {
    if ((segments_ && kernels::apply(*segments_, results(), x, out, count)) ||
        (exponential_ && kernels::apply(*exponential_, results(), x, out, count))) {
        return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
        out[i] = results_[x[i].bits];
    }
}

}  // namespace pome::kernels
