#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"
#include "mil/passes/scale_products.h"

namespace pome::train {

/// How large the finite values of an operand are.
struct OperandRange {
    double rms = 0.0;
    double peak = 0.0;  ///< largest magnitude
};

OperandRange range_of(const device::Surface& surface);

/// The exponent of the power of two that a product of `inner` terms a sum carries. The engine keeps
/// products to 2^-16, whatever their size: below rms(left) * rms(right) = 4e-3 too much of them is
/// lost (0: the product is left alone above), and the sums of scaled ones stay far below 2^15.
int product_exponent(const OperandRange& left, const OperandRange& right, std::int64_t inner);

/// Chooses the scales of one program's matrix products from the ranges of their operands, measured
/// by running the program with the operands among its outputs: that works on every device.
class ProductScaling {
  public:
    /// `function` is the program before mil::passes::scale_products. The device must outlive this.
    ProductScaling(device::Device& device, const mil::Function& function,
                   const mil::WeightFiles& files);

    std::size_t products() const { return products_.size(); }

    /// Evaluates the program as scale_products() made it, with these bindings of its inputs and
    /// outputs, and returns an exponent for each product. The first call compiles.
    std::vector<int> measure(device::Bindings bindings);

    /// What measure()'s evaluations did to values; see Executable::arithmetic().
    device::Arithmetic arithmetic() const {
        return measuring_ ? measuring_->arithmetic() : device::Arithmetic{};
    }

    /// Writes exponents to the surface that is bound to "product_scales".
    static void store(const std::vector<int>& exponents, device::Surface& surface);

  private:
    device::Device& device_;
    mil::Package package_;
    std::vector<mil::passes::Product> products_;
    std::unique_ptr<device::Executable> measuring_;
    std::map<std::string, device::Surface, std::less<>> operands_;  ///< those nobody else binds
};

}  // namespace pome::train
