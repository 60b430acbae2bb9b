#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "device/profile.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        pome::device::read_measured_profile("m4", {reinterpret_cast<const char*>(data), size},
                                            "results.toml");
    } catch (const pome::Error&) {
        // A clear refusal is the right answer to bad text; anything else is a fault.
    }
    return 0;
}
