#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "device/emulator/time_model.h"
#include "mil/text.h"
#include "mil/verifier.h"

/// Any program that verifies has a price, finite and not negative, or is refused with an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    try {
        const auto program = mil::read({reinterpret_cast<const char*>(data), size}, "fuzz");
        mil::verify(program);
        for (const auto& function : program.functions) {
            const auto cost = device::emulator::program_cost(function);
            for (const auto* chip : {"m1", "m5/e5rt"}) {
                const auto found = device::emulator::predict(cost, device::find_profile(chip));
                if (!std::isfinite(found.time.total()) || !(found.time.total() > 0.0) ||
                    !(found.joules >= 0.0)) {
                    std::abort();
                }
            }
        }
    } catch (const Error&) {
        // A clear refusal is the right answer to a bad program; anything else is a fault.
    }
    return 0;
}
