// Windows that move over the last two axes.
#include <algorithm>

#include "device/emulator/plan.h"
#include "reference/chip/pooling.h"

namespace pome::device::emulator {
namespace {

namespace chip = reference::chip;

enum class Pool : std::uint8_t { maximum, average, l2 };

/// One spatial axis of x.
struct Axis {
    std::int64_t size = 1, out = 1, kernel = 1, stride = 1, before = 0, after = 0;
};

/// Height and width of x [N, C, .., ..]; one spatial axis is the width.
std::array<Axis, 2> axes_of(const mil::Operation& operation, const mil::Arguments& arguments) {
    const Shape &x = arguments.type("x").shape, &y = operation.results[0].type.shape;
    if (x.rank() > 4) {
        Plan::refuse(operation, "pooling over three axes does not run on the engine");
    }
    const auto kernel = arguments.integers("kernel_sizes");
    std::array<Axis, 2> axes;
    const std::size_t first = 2 - kernel.size();
    for (std::size_t i = 0; i < kernel.size(); ++i) {
        Axis& axis = axes[first + i];
        axis.size = x[static_cast<int>(i) + 2], axis.out = y[static_cast<int>(i) + 2];
        axis.kernel = kernel[i];
        axis.stride = arguments.has("strides") ? arguments.integers("strides")[i] : 1;
        const std::string& type = arguments.text("pad_type");
        if (type == "custom" && arguments.has("pad")) {
            axis.before = arguments.integers("pad")[2 * i];
            axis.after = arguments.integers("pad")[2 * i + 1];
        } else if (type == "same" || type == "same_lower") {
            const std::int64_t total =
                std::max<std::int64_t>(0, (axis.out - 1) * axis.stride + axis.kernel - axis.size);
            axis.before = type == "same" ? total / 2 : total - total / 2;
            axis.after = total - axis.before;
        }
    }
    return axes;
}

template <Pool pool>
void make_pool(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const auto axes = axes_of(operation, arguments);
    const Place x = plan.operand(arguments, "x"), result = plan.result(operation);
    bool exclude = false;
    if constexpr (pool == Pool::average) {
        exclude = arguments.boolean("exclude_padding_from_average");
    }
    const std::int64_t planes = x.shape[0] * x.shape[1];
    plan.add_loop([=](Run& run) {
        const auto [h, w] = axes;
        const auto loop = [&, h = h, w = w](std::int64_t begin, std::int64_t end, int) {
            std::vector<fp16> window;
            for (std::int64_t row = begin; row < end; ++row) {
                const fp16* plane =
                    run.slots[static_cast<std::size_t>(x.slot)] + row / h.out * h.size * w.size;
                fp16* out = run.slots[static_cast<std::size_t>(result.slot)] + row * w.out;
                const std::int64_t top = row % h.out * h.stride - h.before;
                for (std::int64_t column = 0; column < w.out; ++column) {
                    const std::int64_t left = column * w.stride - w.before;
                    window.clear();
                    for (std::int64_t i = std::max<std::int64_t>(top, 0);
                         i < std::min(top + h.kernel, h.size); ++i) {
                        for (std::int64_t j = std::max<std::int64_t>(left, 0);
                             j < std::min(left + w.kernel, w.size); ++j) {
                            window.push_back(plane[i * w.size + j]);
                        }
                    }
                    // Positions of x and its padding; what hangs over in ceil mode is neither.
                    const std::int64_t whole = (std::min(top + h.kernel, h.size + h.after) - top) *
                                               (std::min(left + w.kernel, w.size + w.after) - left);
                    const std::int64_t count =
                        exclude ? static_cast<std::int64_t>(window.size()) : whole;
                    out[column] = pool == Pool::maximum ? chip::max_pool(window, run.numerics)
                                  : pool == Pool::average
                                      ? chip::avg_pool(window, count, run.numerics)
                                      : chip::l2_pool(window, run.numerics);
                }
            }
        };
        run.pool.for_ranges(planes * h.out, 16, loop);
    });
}

}  // namespace

Makers pooling_makers() {
    return {{"max_pool", make_pool<Pool::maximum>},
            {"avg_pool", make_pool<Pool::average>},
            {"l2_pool", make_pool<Pool::l2>}};
}

}  // namespace pome::device::emulator
