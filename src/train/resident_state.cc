#include "train/resident_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "train/stopwatch.h"
#include "train/surface_io.h"

namespace pome::train {
namespace {

using device::Surface;

constexpr double largest_gradient = 128.0;   // in the moments' unit
constexpr double smallest_largest = 32.0;    // below, the unit moves
constexpr int largest_factor_exponent = 15;  // of gradient_factor, in fp16
constexpr int largest_low_exponent = 10;     // of second_low_scale: v_lo is at most 2^4 times it
constexpr const char* slot_names[] = {"w", "w_lo", "m", "v", "v_lo", "sum", "sum_lo"};
constexpr int state_slots = 5;  // the first ones outlive an update

/// What an fp16 or fp32 surface makes of a number.
double rounded(double value, DType dtype) {
    return dtype == DType::fp16
               ? static_cast<double>(to_float(to_fp16(value, Rounding::nearest_even)))
               : static_cast<double>(static_cast<float>(value));
}

void clear(Surface& surface) {
    std::fill(surface.bytes().begin(), surface.bytes().end(), std::byte{0});
}

std::string tensor_name(const ResidentTensor& tensor, const char* part) {
    return "resident." + tensor.name + "." + part;
}

}  // namespace

std::optional<model::StateForm> resident_form(std::string_view name) {
    if (name == "compensated" || name == "weights" || name == "plain") {
        return model::StateForm{.weights = name != "plain", .second_moment = name == "compensated"};
    }
    return std::nullopt;
}

bool ResidentState::used(Slot slot, const model::StateForm& form) {
    return slot == w_low ? form.weights : slot == v_low ? form.second_moment : true;
}

ResidentState::ResidentState(device::Device& device, ThreadPool& pool, Times& times,
                             std::vector<ResidentTensor> tensors, const model::StateForm& form)
    : device_(device), pool_(pool), times_(times), form_(form), dtype_(device.profile().compute) {
    for (auto& what : tensors) {
        auto tensor = std::make_unique<Tensor>();
        tensor->what = std::move(what);
        make_surfaces(tensor->surfaces, tensor->what.surface);
        bundles_.resize(std::max(bundles_.size(), tensor->what.bundle + 1));
        auto& members = bundles_[tensor->what.bundle].tensors;
        tensor->place = members.size();
        members.push_back(tensor.get());
        tensors_.push_back(std::move(tensor));
    }
    for (Bundle& bundle : bundles_) {
        std::vector<Shape> shapes;
        for (const Tensor* tensor : bundle.tensors) {
            shapes.push_back(tensor->what.surface);
        }
        bundle.programs = &programs(shapes);
    }
}

ResidentState::~ResidentState() = default;

Surface ResidentState::surface(const Shape& shape) const {
    return Surface(mil::Type::tensor(dtype_, shape));
}

void ResidentState::make_surfaces(std::array<Surface, slots>& surfaces, const Shape& shape) const {
    for (int slot = 0; slot < slots; ++slot) {
        if (used(static_cast<Slot>(slot), form_)) {
            surfaces[static_cast<std::size_t>(slot)] = surface(shape);
        }
    }
}

std::unique_ptr<device::Executable> ResidentState::compile(mil::Function function) {
    return device_.compile({device::program_for(std::move(function), device_.profile()), {}});
}

ResidentState::Programs& ResidentState::programs(const std::vector<Shape>& shapes) {
    std::string key;
    for (const Shape& shape : shapes) {
        key += shape.text();
    }
    auto& slot = programs_[key];
    if (!slot) {
        slot = std::make_unique<Programs>();
        slot->shapes = shapes;
        slot->update = compile(model::adamw_function(shapes, dtype_, form_));
        slot->size = compile(model::gradient_size_function(shapes, dtype_));
        const auto count = static_cast<std::int64_t>(shapes.size());
        slot->scalars = surface({1, count * model::update_scalar_count, 1, model::number_row});
        slot->sizes = surface({1, 2 * count, 1, model::number_row});
        slot->spare.resize(shapes.size());
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            slot->later.push_back(surface(shapes[i]));
            make_surfaces(slot->spare[i], shapes[i]);
        }
    }
    return *slot;
}

void ResidentState::evaluate(device::Executable& executable, const device::Bindings& bindings) {
    const Stopwatch watch(times_.device);
    executable.evaluate(bindings);
}

std::vector<float> ResidentState::matrix(const Surface& surface, const ResidentTensor& what) const {
    std::vector<float> all(static_cast<std::size_t>(surface.elements())), part;
    load(surface, all.data(), pool_);
    for (std::int64_t row = 0; row < what.rows; ++row) {
        const auto first = all.begin() + row * what.surface[3];
        part.insert(part.end(), first, first + what.columns);
    }
    return part;
}

void ResidentState::set_weights(std::size_t index, std::span<const float> weights) {
    Tensor& tensor = *tensors_[index];
    for (Surface& surface : tensor.surfaces) {
        clear(surface);
    }
    tensor.range = {};
    Surface& high = tensor.surfaces[w];
    const Shape shape{tensor.what.rows, tensor.what.columns};
    store_matrix(weights.data(), shape, high, pool_);
    if (form_.weights) {
        std::vector<float> rest = matrix(high, tensor.what);
        for (std::size_t i = 0; i < rest.size(); ++i) {
            rest[i] = (weights[i] - rest[i]) * static_cast<float>(model::weight_low_scale);
        }
        store_matrix(rest.data(), shape, tensor.surfaces[w_low], pool_);
    }
}

void ResidentState::get_weights(std::size_t index, std::span<float> weights) const {
    const Tensor& tensor = *tensors_[index];
    const std::vector<float> high = matrix(tensor.surfaces[w], tensor.what);
    std::copy(high.begin(), high.end(), weights.begin());
    if (form_.weights) {
        const std::vector<float> rest = matrix(tensor.surfaces[w_low], tensor.what);
        for (std::size_t i = 0; i < rest.size(); ++i) {
            weights[i] += rest[i] / static_cast<float>(model::weight_low_scale);
        }
    }
}

const Surface& ResidentState::weight(std::size_t index) const {
    return tensors_[index]->surfaces[w];
}

Surface& ResidentState::gradient_target(std::size_t index) {
    Tensor& tensor = *tensors_[index];
    Bundle& bundle = bundles_[tensor.what.bundle];
    return bundle.gradients == 0 ? tensor.surfaces[sum] : bundle.programs->later[tensor.place];
}

void ResidentState::take_gradients(std::size_t index) {
    Bundle& bundle = bundles_[index];
    Programs& use = *bundle.programs;
    if (bundle.gradients++ == 0) {
        for (Tensor* tensor : bundle.tensors) {
            clear(tensor->surfaces[sum_low]);
        }
        return;
    }
    if (!use.accumulate) {
        use.accumulate = compile(model::accumulate_function(use.shapes, dtype_));
    }
    device::Bindings bindings;
    for (std::size_t i = 0; i < bundle.tensors.size(); ++i) {
        auto& surfaces = bundle.tensors[i]->surfaces;
        bindings.inputs[fmt::format("sum_{}", i)] = &surfaces[sum];
        bindings.inputs[fmt::format("sum_lo_{}", i)] = &surfaces[sum_low];
        bindings.inputs[fmt::format("g_{}", i)] = &use.later[i];
        bindings.outputs[fmt::format("new_sum_{}", i)] = &use.spare[i][sum];
        bindings.outputs[fmt::format("new_sum_lo_{}", i)] = &use.spare[i][sum_low];
    }
    evaluate(*use.accumulate, bindings);
    for (std::size_t i = 0; i < bundle.tensors.size(); ++i) {
        std::swap(bundle.tensors[i]->surfaces[sum], use.spare[i][sum]);
        std::swap(bundle.tensors[i]->surfaces[sum_low], use.spare[i][sum_low]);
    }
}

double ResidentState::sum_of_squares() {
    double total = 0.0;
    for (const Bundle& bundle : bundles_) {
        if (bundle.gradients == 0) {
            fail(Code::invalid_argument, "train.resident", "'{}' has no gradient",
                 bundle.tensors.front()->what.name);
        }
        Programs& use = *bundle.programs;
        device::Bindings bindings;
        for (std::size_t i = 0; i < bundle.tensors.size(); ++i) {
            bindings.inputs[fmt::format("g_{}", i)] = &bundle.tensors[i]->surfaces[sum];
        }
        bindings.outputs["sizes"] = &use.sizes;
        evaluate(*use.size, bindings);
        std::vector<float> sizes(static_cast<std::size_t>(use.sizes.elements()));
        load(use.sizes, sizes.data(), pool_);
        for (std::size_t i = 0; i < bundle.tensors.size(); ++i) {
            Tensor& tensor = *bundle.tensors[i];
            tensor.peak = static_cast<double>(sizes[2 * i * model::number_row]);
            if (!std::isfinite(tensor.peak)) {
                return std::numeric_limits<double>::infinity();
            }
            // A peak below 2^-14 was divided by 2^-14.
            const double divisor = std::max(tensor.peak, 0x1p-14);
            total += divisor * divisor * static_cast<double>(tensor.what.surface[1]) *
                     static_cast<double>(sizes[(2 * i + 1) * model::number_row]);
        }
    }
    return total;
}

void ResidentState::discard_gradients() {
    for (Bundle& bundle : bundles_) {
        bundle.gradients = 0;
    }
}

/// Chooses the tensor's unit for this gradient; returns new / old.
double ResidentState::rescale(Tensor& tensor, const kernels::AdamW& rule) {
    // What the moments remember fades like beta^t at most; the range fades with its fourth root, so
    // v stays below twice its square.
    const double keep = std::pow(static_cast<double>(std::max(rule.beta1, rule.beta2)), 0.25);
    const double factor = static_cast<double>(rule.gradient_factor);
    const double largest =
        std::max(tensor.peak * factor, static_cast<double>(tensor.range[0]) * keep);
    const int before = static_cast<int>(tensor.range[1]);
    int exponent = before;
    const double now = std::ldexp(largest, before);
    if (largest > 0.0 && (now > largest_gradient || now < smallest_largest)) {
        exponent = static_cast<int>(std::floor(std::log2(largest_gradient / largest)));
    }
    exponent = std::min(exponent, largest_factor_exponent - std::ilogb(factor));
    exponent = std::clamp(exponent, -126, 126);
    if (rule.update > 1) {  // the first moments are zero
        exponent = std::min(exponent, before + 7);
    }
    tensor.range = {static_cast<float>(largest), static_cast<float>(exponent)};
    return std::ldexp(1.0, rule.update > 1 ? std::max(exponent - before, -24) : 0);
}

void ResidentState::update(const kernels::AdamW& rule) {
    const double first = rounded(1.0 - static_cast<double>(rule.beta1), dtype_),
                 second = rounded(1.0 - static_cast<double>(rule.beta2), dtype_);
    const auto t = static_cast<double>(rule.update);
    const double first_correction = 1.0 - std::pow(1.0 - first, t),
                 root_correction = std::sqrt(1.0 - std::pow(1.0 - second, t));
    const double rate = static_cast<double>(rule.learning_rate);
    // Changes of v in two surfaces are computed with a share in (1/2, 1].
    const double low_scale =
        form_.second_moment
            ? std::ldexp(1.0, std::clamp(-std::ilogb(second) - 1, 0, largest_low_exponent))
            : 1.0;
    // Where squares vanish from v, or become 2^-25 or less and vanish themselves, m / sqrt(v) would
    // be any number.
    const double least_epsilon =
        dtype_ == DType::fp16 ? std::sqrt(0x1p-24 / std::min(1.0, second * low_scale)) : 0.0;
    const double steps = form_.weights ? model::weight_low_scale : 1.0;
    for (Bundle& bundle : bundles_) {
        Programs& use = *bundle.programs;
        device::Bindings bindings;
        bindings.inputs["scalars"] = &use.scalars;
        std::vector<float> numbers;
        for (std::size_t i = 0; i < bundle.tensors.size(); ++i) {
            Tensor& tensor = *bundle.tensors[i];
            const double change = rescale(tensor, rule);
            const double unit = std::ldexp(1.0, static_cast<int>(tensor.range[1]));
            model::UpdateScalars scalars;
            scalars.gradient_factor = static_cast<double>(rule.gradient_factor) * unit;
            scalars.first_share = first;
            scalars.second_share = second;
            scalars.second_low_scale = low_scale;
            scalars.epsilon = std::clamp(static_cast<double>(rule.epsilon) * root_correction * unit,
                                         least_epsilon, 32768.0);
            scalars.rate = steps * rate * root_correction / first_correction;
            scalars.decay =
                tensor.what.decays ? steps * rate * static_cast<double>(rule.weight_decay) : 0.0;
            scalars.rescale = change;
            scalars.square_rescale = change * change;
            for (const double value : scalars.values()) {
                numbers.insert(numbers.end(), model::number_row, static_cast<float>(value));
            }
            bindings.inputs[fmt::format("g_{}", i)] = &tensor.surfaces[sum];
            for (std::size_t slot = 0; slot < state_slots; ++slot) {
                if (used(static_cast<Slot>(slot), form_)) {
                    const std::string name = fmt::format("{}_{}", slot_names[slot], i);
                    bindings.inputs[name] = &tensor.surfaces[slot];
                    bindings.outputs["new_" + name] = &use.spare[i][slot];
                }
            }
        }
        store(numbers.data(), use.scalars, pool_);
        evaluate(*use.update, bindings);
        for (std::size_t i = 0; i < bundle.tensors.size(); ++i) {
            for (std::size_t slot = 0; slot < state_slots; ++slot) {
                std::swap(bundle.tensors[i]->surfaces[slot], use.spare[i][slot]);
            }
        }
        bundle.gradients = 0;
    }
}

std::vector<formats::TensorView> ResidentState::state() const {
    std::vector<formats::TensorView> views;
    for (const auto& tensor : tensors_) {
        for (int slot = 0; slot < state_slots; ++slot) {
            if (used(static_cast<Slot>(slot), form_)) {
                const Surface& surface = tensor->surfaces[static_cast<std::size_t>(slot)];
                const auto bytes =
                    static_cast<std::size_t>(surface.elements()) * size_in_memory(dtype_);
                views.push_back({tensor_name(tensor->what, slot_names[slot]),
                                 dtype_,
                                 {tensor->what.surface[1], tensor->what.surface[3]},
                                 surface.bytes().first(bytes)});
            }
        }
        views.push_back({tensor_name(tensor->what, "range"),
                         DType::fp32,
                         {2},
                         std::as_bytes(std::span(tensor->range))});
    }
    return views;
}

void ResidentState::restore(const formats::SafetensorsFile& file, const std::string& source) {
    // All is checked before anything is taken.
    const auto views = state();
    for (const auto& view : views) {
        const auto found = file.tensors().find(view.name);
        if (found == file.tensors().end()) {
            fail(Code::checkpoint_mismatch, "train.resident",
                 "{}: tensor '{}' is missing; set engine.resident_state as the run had it", source,
                 view.name);
        }
        if (found->second.dtype != view.dtype || found->second.shape != view.shape) {
            fail(Code::checkpoint_mismatch, "train.resident", "{}: '{}' is {} {}, not {} {}",
                 source, view.name, name(found->second.dtype), found->second.shape.text(),
                 name(view.dtype), view.shape.text());
        }
    }
    auto view = views.begin();
    for (const auto& tensor : tensors_) {
        const auto take = [&](void* to) {
            const auto& bytes = file.tensors().find(view++->name)->second.bytes;
            std::memcpy(to, bytes.data(), bytes.size());
        };
        for (int slot = 0; slot < state_slots; ++slot) {
            if (used(static_cast<Slot>(slot), form_)) {
                take(tensor->surfaces[static_cast<std::size_t>(slot)].bytes().data());
            }
        }
        take(tensor->range.data());
    }
    discard_gradients();
}

}  // namespace pome::train
