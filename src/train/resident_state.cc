#include "train/resident_state.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
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

double first_element(const Surface& surface) {
    return surface.type().dtype == DType::fp16 ? static_cast<double>(to_float(*surface.halves()))
                                               : static_cast<double>(*surface.floats());
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
        const Shape shape{1, what.rows, 1, what.columns};
        tensor->what = std::move(what);
        tensor->programs = &programs(shape);
        const std::string group =
            tensor->what.group.empty() ? tensor->what.name : tensor->what.group;
        tensor->later = &later_.try_emplace({group, shape.text()}, mil::Type::tensor(dtype_, shape))
                             .first->second;
        make_surfaces(tensor->surfaces, shape);
        tensor->scalars = Surface(mil::Type::tensor(dtype_, {1, model::update_scalar_count, 1, 1}));
        tensors_.push_back(std::move(tensor));
    }
}

ResidentState::~ResidentState() = default;

void ResidentState::make_surfaces(std::array<Surface, slots>& surfaces, const Shape& shape) const {
    for (int slot = 0; slot < slots; ++slot) {
        if (used(static_cast<Slot>(slot), form_)) {
            surfaces[static_cast<std::size_t>(slot)] = Surface(mil::Type::tensor(dtype_, shape));
        }
    }
}

ResidentState::Programs& ResidentState::programs(const Shape& shape) {
    auto& slot = programs_[shape.text()];
    if (!slot) {
        slot = std::make_unique<Programs>();
        const auto compile = [&](mil::Function function) {
            return device_.compile(
                {device::program_for(std::move(function), device_.profile()), {}});
        };
        slot->update = compile(model::adamw_function(shape, dtype_, form_));
        slot->size = compile(model::gradient_size_function(shape, dtype_));
        slot->peak = Surface(mil::Type::tensor(dtype_, {1, 1, 1, 1}));
        make_surfaces(slot->spare, shape);
        slot->mean_square = Surface(mil::Type::tensor(dtype_, {1, 1, 1, 1}));
    }
    return *slot;
}

void ResidentState::evaluate(device::Executable& executable, const device::Bindings& bindings) {
    const Stopwatch watch(times_.device);
    executable.evaluate(bindings);
}

void ResidentState::set_weights(std::size_t index, std::span<const float> weights) {
    Tensor& tensor = *tensors_[index];
    for (Surface& surface : tensor.surfaces) {
        clear(surface);
    }
    tensor.range = {};
    Surface& high = tensor.surfaces[w];
    store(weights.data(), high, pool_);
    if (form_.weights) {
        std::vector<float> rest(weights.size());
        load(high, rest.data(), pool_);
        for (std::size_t i = 0; i < rest.size(); ++i) {
            rest[i] = (weights[i] - rest[i]) * static_cast<float>(model::weight_low_scale);
        }
        store(rest.data(), tensor.surfaces[w_low], pool_);
    }
}

void ResidentState::get_weights(std::size_t index, std::span<float> weights) const {
    const Tensor& tensor = *tensors_[index];
    load(weight(index), weights.data(), pool_);
    if (form_.weights) {
        std::vector<float> rest(weights.size());
        load(tensor.surfaces[w_low], rest.data(), pool_);
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
    return tensor.gradients == 0 ? tensor.surfaces[sum] : *tensor.later;
}

void ResidentState::take_gradient(std::size_t index) {
    Tensor& tensor = *tensors_[index];
    auto& surfaces = tensor.surfaces;
    auto& spare = tensor.programs->spare;
    if (tensor.gradients++ == 0) {
        clear(surfaces[sum_low]);
        return;
    }
    auto& program = tensor.programs->accumulate;
    if (!program) {
        program = device_.compile(
            {device::program_for(model::accumulate_function(tensor.later->type().shape, dtype_),
                                 device_.profile()),
             {}});
    }
    evaluate(*program,
             {{{"sum", &surfaces[sum]}, {"sum_lo", &surfaces[sum_low]}, {"g", tensor.later}},
              {{"new_sum", &spare[sum]}, {"new_sum_lo", &spare[sum_low]}}});
    std::swap(surfaces[sum], spare[sum]);
    std::swap(surfaces[sum_low], spare[sum_low]);
}

double ResidentState::sum_of_squares() {
    double total = 0.0;
    for (const auto& tensor : tensors_) {
        if (tensor->gradients == 0) {
            fail(Code::invalid_argument, "train.resident", "'{}' has no gradient",
                 tensor->what.name);
        }
        Programs& use = *tensor->programs;
        evaluate(*use.size, {{{"g", &tensor->surfaces[sum]}},
                             {{"peak", &use.peak}, {"mean_square", &use.mean_square}}});
        tensor->peak = first_element(use.peak);
        if (!std::isfinite(tensor->peak)) {
            return std::numeric_limits<double>::infinity();
        }
        // A peak below 2^-14 was divided by 2^-14.
        const double divisor = std::max(tensor->peak, 0x1p-14);
        total += divisor * divisor * static_cast<double>(tensor->what.rows) *
                 first_element(use.mean_square);
    }
    return total;
}

void ResidentState::discard_gradients() {
    for (const auto& tensor : tensors_) {
        tensor->gradients = 0;
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
    for (const auto& tensor : tensors_) {
        const double change = rescale(*tensor, rule);
        const double unit = std::ldexp(1.0, static_cast<int>(tensor->range[1]));
        model::UpdateScalars scalars;
        scalars.gradient_factor = static_cast<double>(rule.gradient_factor) * unit;
        scalars.first_share = first;
        scalars.second_share = second;
        scalars.second_low_scale = low_scale;
        scalars.epsilon = std::clamp(static_cast<double>(rule.epsilon) * root_correction * unit,
                                     least_epsilon, 32768.0);
        scalars.rate = steps * rate * root_correction / first_correction;
        scalars.decay =
            tensor->what.decays ? steps * rate * static_cast<double>(rule.weight_decay) : 0.0;
        scalars.rescale = change;
        scalars.square_rescale = change * change;
        const auto values = scalars.values();
        const std::vector<float> floats(values.begin(), values.end());
        store(floats.data(), tensor->scalars, pool_);

        device::Bindings bindings;
        bindings.inputs["scalars"] = &tensor->scalars;
        bindings.inputs["g"] = &tensor->surfaces[sum];
        for (int slot = 0; slot < state_slots; ++slot) {
            if (used(static_cast<Slot>(slot), form_)) {
                const auto index = static_cast<std::size_t>(slot);
                const std::string name = slot_names[slot];
                bindings.inputs[name] = &tensor->surfaces[index];
                bindings.outputs["new_" + name] = &tensor->programs->spare[index];
            }
        }
        evaluate(*tensor->programs->update, bindings);
        for (std::size_t slot = 0; slot < state_slots; ++slot) {
            std::swap(tensor->surfaces[slot], tensor->programs->spare[slot]);
        }
        tensor->gradients = 0;
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
                                 {tensor->what.rows, tensor->what.columns},
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
        tensor->gradients = 0;
    }
}

}  // namespace pome::train
