#include "train/product_scaling.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "mil/builder.h"

namespace pome::train {
namespace {

constexpr double least_deviation = 4e-3;     // of products whose precision is left alone
constexpr double wanted_deviation = 0x1p-6;  // of products that are scaled up
constexpr double largest_sum = 0x1p15;       // where sums become infinite
constexpr double sum_margin = 32.0;          // a sum's largest value over its expected deviation
constexpr double largest_operand = 0x1p14;   // scaled operands stay inside fp16
constexpr double largest_product = 63.0;     // beyond, the emulator's exact sums are slow
constexpr int largest_exponent = 14;         // so that its inverse is a normal fp16 number

int floor_log2(double value) {
    return static_cast<int>(std::floor(std::log2(value)));
}

}  // namespace

OperandRange range_of(const device::Surface& surface) {
    OperandRange range;
    double squares = 0.0;
    const auto add = [&](double value) {
        if (std::isfinite(value)) {
            squares += value * value;
            range.peak = std::max(range.peak, std::fabs(value));
        }
    };
    const std::int64_t count = surface.elements();
    if (surface.type().dtype == DType::fp16) {
        std::for_each(surface.halves(), surface.halves() + count,
                      [&](fp16 value) { add(static_cast<double>(to_float(value))); });
    } else {
        std::for_each(surface.floats(), surface.floats() + count,
                      [&](float value) { add(static_cast<double>(value)); });
    }
    range.rms = count == 0 ? 0.0 : std::sqrt(squares / static_cast<double>(count));
    return range;
}

int product_exponent(const OperandRange& left, const OperandRange& right, std::int64_t inner) {
    const double deviation = left.rms * right.rms;
    if (!(deviation > 0.0) || inner < 1) {
        return 0;
    }
    const double room = largest_sum / sum_margin / std::sqrt(static_cast<double>(inner));
    int exponent = 0;
    if (deviation < least_deviation) {
        // The operand that is scaled may be either.
        const double peak = std::max(left.peak, right.peak);
        exponent = std::min({static_cast<int>(std::lround(std::log2(wanted_deviation / deviation))),
                             floor_log2(largest_product / (left.peak * right.peak)),
                             floor_log2(largest_operand / peak)});
        exponent = std::max(exponent, 0);
    }
    exponent = std::min(exponent, floor_log2(room / deviation));
    return std::clamp(exponent, -largest_exponent, largest_exponent);
}

ProductScaling::ProductScaling(device::Device& device, const mil::Function& function,
                               const mil::WeightFiles& files)
    : device_(device),
      package_{
          device::program_for(mil::passes::scale_products(mil::passes::expose_operands(function)),
                              device.profile()),
          files},
      products_(mil::passes::products_of(function)) {}

std::vector<int> ProductScaling::measure(device::Bindings bindings) {
    if (!measuring_) {
        measuring_ = device_.compile(package_);
        for (const auto& output : measuring_->outputs()) {
            if (!bindings.outputs.contains(output.name)) {
                operands_.try_emplace(output.name, output.type);
            }
        }
    }
    for (auto& [name, surface] : operands_) {
        bindings.outputs[name] = &surface;
    }
    measuring_->evaluate(bindings);
    std::map<std::string, OperandRange, std::less<>> ranges;
    const auto range = [&](const std::string& name) {
        const auto [entry, made] = ranges.try_emplace(name);
        if (made) {
            const auto output = bindings.outputs.find(name);
            entry->second =
                range_of(output != bindings.outputs.end() ? *output->second
                                                          : *bindings.inputs.find(name)->second);
        }
        return entry->second;
    };
    std::vector<int> exponents;
    for (const auto& product : products_) {
        exponents.push_back(
            product_exponent(range(product.left), range(product.right), product.inner));
    }
    return exponents;
}

void ProductScaling::store(const std::vector<int>& exponents, device::Surface& surface) {
    const auto count = static_cast<std::int64_t>(exponents.size());
    constexpr std::int64_t row = mil::passes::product_scales_row;
    if (surface.elements() != 2 * count * row) {
        fail(Code::surface_mismatch, "train.product_scaling", "{} scales for a surface of {}",
             exponents.size(), surface.elements());
    }
    for (std::int64_t i = 0; i < count; ++i) {
        const int exponent = exponents[static_cast<std::size_t>(i)];
        for (const auto& [at, value] : {std::pair{row * i, std::ldexp(1.0, exponent)},
                                        std::pair{row * (count + i), std::ldexp(1.0, -exponent)}}) {
            if (surface.type().dtype == DType::fp16) {
                surface.halves()[at] = to_fp16(value, Rounding::nearest_even);
            } else {
                surface.floats()[at] = static_cast<float>(value);
            }
        }
    }
}

}  // namespace pome::train
