// Norms that are not built from simpler ops (src/mil/passes/decompose.cc has the others).
#include "device/emulator/plan.h"
#include "reference/chip/local_response.h"

namespace pome::device::emulator {
namespace {

void make_local_response(Plan& plan, const mil::Operation& operation,
                         const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"), result = plan.result(operation);
    const std::int64_t size = arguments.integer("size"), channels = x.shape[1],
                       inner = x.shape.elements() / (x.shape[0] * channels);
    plan.add_loop([=, alpha = arguments.number("alpha"), beta = arguments.number("beta"),
                   k = arguments.number("k")](Run& run) {
        const fp16* from = run.slots[static_cast<std::size_t>(x.slot)];
        fp16* to = run.slots[static_cast<std::size_t>(result.slot)];
        run.pool.for_ranges(
            x.shape[0] * channels, 1, [&](std::int64_t begin, std::int64_t end, int) {
                std::vector<fp16> window;
                for (std::int64_t row = begin; row < end; ++row) {
                    const std::int64_t c = row % channels;
                    const std::int64_t first = std::max<std::int64_t>(0, c - (size - 1) / 2);
                    const std::int64_t last = std::min(channels, c - (size - 1) / 2 + size);
                    for (std::int64_t i = 0; i < inner; ++i) {
                        window.clear();
                        for (std::int64_t other = first; other < last; ++other) {
                            window.push_back(from[(row - c + other) * inner + i]);
                        }
                        to[row * inner + i] = reference::chip::local_response(
                            from[row * inner + i], window, size, alpha, beta, k, run.numerics);
                    }
                }
            });
    });
}

}  // namespace

Makers norm_makers() {
    return {{"local_response_norm", make_local_response}};
}

}  // namespace pome::device::emulator
