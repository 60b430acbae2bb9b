#include "device/reference_device.h"

#include <cstring>

#include "mil/interpreter.h"

namespace pome::device {
namespace {

template <typename T>
void widen(const Surface& surface, reference::Tensor& tensor) {
    const auto bytes = surface.bytes();
    for (std::size_t i = 0; i < tensor.data.size(); ++i) {
        T value;
        std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
        if constexpr (std::is_same_v<T, fp16>) {
            tensor.data[i] = to_float(value);
        } else {
            tensor.data[i] = static_cast<double>(value);
        }
    }
}

template <typename T>
void narrow(const reference::Tensor& tensor, Surface& surface) {
    auto bytes = surface.bytes();
    for (std::size_t i = 0; i < tensor.data.size(); ++i) {
        T value;
        if constexpr (std::is_same_v<T, fp16>) {
            value = to_fp16(tensor.data[i], Rounding::nearest_even);
        } else {
            value = static_cast<T>(tensor.data[i]);
        }
        std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
}

/// Calls `use` with a value of the C++ type that holds `dtype` in memory.
template <typename Use>
void with_element(DType dtype, Use use) {
    switch (dtype) {
        case DType::fp16:
            return use(fp16{});
        case DType::fp32:
            return use(float{});
        case DType::fp64:
            return use(double{});
        case DType::int8:
            return use(std::int8_t{});
        case DType::int16:
            return use(std::int16_t{});
        case DType::int32:
            return use(std::int32_t{});
        case DType::int64:
            return use(std::int64_t{});
        case DType::boolean:
        case DType::uint8:
            return use(std::uint8_t{});
        case DType::uint16:
            return use(std::uint16_t{});
        case DType::uint32:
            return use(std::uint32_t{});
        default:
            fail(Code::unsupported, "device.reference",
                 "inputs and outputs of {} are not supported", name(dtype));
    }
}

class ReferenceExecutable final : public Executable {
  public:
    ReferenceExecutable(const mil::Package& package, const mil::Function& function)
        : Executable(function.parameters, output_types(function)),
          interpreter_(package, function.name) {}

  private:
    void run(const Bindings& bindings) override {
        mil::Tensors inputs;
        for (const auto& input : this->inputs()) {
            const Surface& surface = *bindings.inputs.find(input.name)->second;
            reference::Tensor tensor(input.type.shape);
            with_element(input.type.dtype,
                         [&](auto element) { widen<decltype(element)>(surface, tensor); });
            inputs.emplace(input.name, std::move(tensor));
        }
        const mil::Tensors results = interpreter_.run(std::move(inputs));
        for (const auto& output : outputs()) {
            Surface& surface = *bindings.outputs.find(output.name)->second;
            with_element(output.type.dtype, [&](auto element) {
                narrow<decltype(element)>(results.find(output.name)->second, surface);
            });
        }
    }

    mil::Interpreter interpreter_;
};

class ReferenceDevice final : public Device {
  public:
    ReferenceDevice() {
        profile_.chip = "reference";
        profile_.family = "none";
        profile_.route = "interpreter";
        profile_.compute = DType::fp32;
    }
    std::string name() const override { return "reference"; }
    const Profile& profile() const override { return profile_; }

  private:
    std::unique_ptr<Executable> build(const mil::Package& package,
                                      std::string_view function) override {
        return std::make_unique<ReferenceExecutable>(package,
                                                     *package.program.find_function(function));
    }

    Profile profile_;
};

}  // namespace

std::unique_ptr<Device> make_reference_device() {
    return std::make_unique<ReferenceDevice>();
}

}  // namespace pome::device
