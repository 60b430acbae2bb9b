// Linear resizing by the texture unit: samples where Core ML puts them, each mix of four neighbours
// computed exactly and rounded once: assumed. The M1, without that unit, resizes in software "with
// different rounding" (guide, appendix A), which nobody describes.
#include "device/emulator/moves.h"
#include "mil/sampling.h"
#include "reference/chip/elementwise.h"
#include "reference/ops.h"

namespace pome::device::emulator {
namespace {

using reference::Sampling;

void add_linear(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments,
                Sampling sampling) {
    const Place x = plan.operand(arguments, "x"), result = plan.result(operation);
    plan.add_loop([=](Run& run) {
        const fp16* from = run.slots[static_cast<std::size_t>(x.slot)];
        fp16* to = run.slots[static_cast<std::size_t>(result.slot)];
        const auto& rules = run.numerics.elementwise;
        reference::Tensor image(x.shape);
        for (double& value : image.data) {
            value = reference::chip::load(*from++, rules);
        }
        for (const double value :
             reference::resize_bilinear(image, result.shape[-2], result.shape[-1], sampling).data) {
            *to++ = reference::chip::store(value, rules);
        }
    });
}

void make_resize_bilinear(Plan& plan, const mil::Operation& operation,
                          const mil::Arguments& arguments) {
    add_linear(plan, operation, arguments, mil::sampling_mode(arguments));
}

void make_upsample_bilinear(Plan& plan, const mil::Operation& operation,
                            const mil::Arguments& arguments) {
    add_linear(plan, operation, arguments,
               arguments.boolean("align_corners") ? Sampling::strict_align_corners
                                                  : Sampling::unalign_corners);
}

void make_resize(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    if (arguments.text("interpolation_mode") == "LINEAR") {
        make_resize_bilinear(plan, operation, arguments);
    } else {
        add_move_of_x(plan, operation, arguments);
    }
}

}  // namespace

Makers resize_makers() {
    return {{"resize", make_resize},
            {"resize_bilinear", make_resize_bilinear},
            {"upsample_bilinear", make_upsample_bilinear}};
}

}  // namespace pome::device::emulator
