// Samples of images at positions that are computed: resample, affine, crop_resize. Positions are
// those of Core ML's documentation, from coordinates as the halves that they are on the engine;
// each mix of four neighbours is computed exactly and rounded once: assumed, as of linear resizing.
#include "device/emulator/plan.h"
#include "mil/sampling.h"
#include "reference/chip/elementwise.h"

namespace pome::device::emulator {
namespace {

using reference::Tensor;

/// The elements of a place as the engine reads operands.
Tensor image_at(const Run& run, const Place& place) {
    Tensor image(place.shape);
    const fp16* from = run.slots[static_cast<std::size_t>(place.slot)];
    for (double& value : image.data) {
        value = reference::chip::load(*from++, run.numerics.elementwise);
    }
    return image;
}

/// As they are: a NaN among coordinates is no coordinate.
Tensor numbers_at(const Run& run, const Place& place) {
    Tensor numbers(place.shape);
    const fp16* from = run.slots[static_cast<std::size_t>(place.slot)];
    for (double& value : numbers.data) {
        value = static_cast<double>(to_float(*from++));
    }
    return numbers;
}

void store(const Run& run, const Tensor& y, const Place& result) {
    fp16* to = run.slots[static_cast<std::size_t>(result.slot)];
    for (const double value : y.data) {
        *to++ = reference::chip::store(value, run.numerics.elementwise);
    }
}

void make_resample(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"),
                coordinates = plan.operand(arguments, "coordinates"),
                result = plan.result(operation);
    plan.add_loop([=, rules = mil::resample_rules(arguments)](Run& run) {
        store(run, reference::resample(image_at(run, x), numbers_at(run, coordinates), rules),
              result);
    });
}

void make_affine(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"),
                transforms = plan.operand(arguments, "transform_matrix"),
                result = plan.result(operation);
    plan.add_loop([=, sampler = mil::affine_sampler(arguments)](Run& run) {
        store(run,
              reference::affine(image_at(run, x), numbers_at(run, transforms), result.shape[2],
                                result.shape[3], sampler),
              result);
    });
}

void make_crop_resize(Plan& plan, const mil::Operation& operation,
                      const mil::Arguments& arguments) {
    const bool has_indices = arguments.has("box_indices");
    const Place x = plan.operand(arguments, "x"), boxes = plan.operand(arguments, "boxes"),
                indices = has_indices ? plan.operand(arguments, "box_indices") : Place{},
                result = plan.result(operation);
    plan.add_loop([=, rules = mil::crop_rules(arguments),
                   in_order = mil::default_box_indices(arguments)](Run& run) {
        store(run,
              reference::crop_resize(image_at(run, x), numbers_at(run, boxes),
                                     has_indices ? numbers_at(run, indices) : in_order, rules),
              result);
    });
}

}  // namespace

Makers sampling_makers() {
    return {
        {"resample", make_resample}, {"affine", make_affine}, {"crop_resize", make_crop_resize}};
}

}  // namespace pome::device::emulator
