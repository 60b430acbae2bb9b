#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "device/apple/objc_runtime.h"

namespace pome::device::apple {

/// What the machine says of itself. Texts are empty where it says nothing.
struct Machine {
    std::string brand;       ///< machdep.cpu.brand_string: "Apple M4 Max"
    std::string model;       ///< hw.model: "Mac16,5"
    std::string os_version;  ///< kern.osproductversion: "15.3.1"
    std::string os_build;    ///< kern.osversion: "24D70"
    std::string subtype;     ///< -[_ANEDeviceInfo aneSubType]: "h16g"
    std::optional<bool> has_engine;
    bool virtual_machine = false;  ///< kern.hv_vmm_present
    /// "Apple M4 Max (Mac16,5), engine h16g, macOS 15.3.1 (24D70)"
    std::string text() const;
};
Machine read_machine(const Runtime& runtime);

/// "m4max" of "Apple M4 Max"; nullopt for chips that have no profile.
std::optional<std::string> chip_of_brand(std::string_view brand);

/// The chip whose profile accepts least: what an unknown one is taken for.
inline constexpr std::string_view most_restrictive_chip = "m1";

/// The chip whose profile holds for the machine, and whether that is known or a precaution.
struct Identification {
    std::string chip;
    bool known = true;
    std::string remark;  ///< one sentence when it is not known
};
Identification identify(const Machine& machine);

/// Throws Error{unsupported} where the engine cannot be: in a virtual machine, whose compiler
/// service hangs instead of refusing, and where the framework says that there is none.
void require_engine(const Machine& machine);

/// What this machine has of all that the engine needs, found without compiling anything.
struct Survey {
    std::shared_ptr<const Runtime> runtime;  ///< nullptr: not even the libraries
    Machine machine;
    Identification identification;
    std::string reason;  ///< why there is no engine here; empty: nothing speaks against it
    bool is_available() const { return reason.empty(); }
};
/// `runtime`: as Options::runtime. Throws nothing.
Survey survey(const std::string& runtime);

/// Throws Error{unsupported} when no library is given that stands in and this is no Mac.
void require_system(const std::string& runtime);

}  // namespace pome::device::apple
