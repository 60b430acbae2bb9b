#include "device/null_device.h"

#include <utility>

namespace pome::device {
namespace {

class NullExecutable final : public Executable {
  public:
    explicit NullExecutable(const mil::Function& function)
        : Executable(function.parameters, output_types(function)) {}

  private:
    void run(const Bindings&) override {}
};

class NullDevice final : public Device {
  public:
    NullDevice(const Profile& profile, Strictness strictness, std::shared_ptr<Process> process)
        : Device(std::move(process)), profile_(profile), strictness_(strictness) {}
    std::string name() const override { return "null:" + profile_.name; }
    const Profile& profile() const override { return profile_; }
    Strictness strictness() const override { return strictness_; }

  private:
    std::unique_ptr<Executable> build(const mil::Package& package,
                                      std::string_view function) override {
        return std::make_unique<NullExecutable>(*package.program.find_function(function));
    }

    const Profile& profile_;
    Strictness strictness_;
};

}  // namespace

std::unique_ptr<Device> make_null_device(std::string_view profile, Strictness strictness,
                                         std::shared_ptr<Process> process) {
    return std::make_unique<NullDevice>(find_profile(profile), strictness, std::move(process));
}

}  // namespace pome::device
