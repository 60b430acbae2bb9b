// Programs of any kind against every rule: read, not verified.
#include "device/lint.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "mil/text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    try {
        const mil::Program program =
            mil::read({reinterpret_cast<const char*>(data), size}, "fuzz.mil");
        for (const char* profile : {"m1", "m2", "m3", "m4", "m5/e5rt"}) {
            for (const auto& finding : device::lint(program, device::find_profile(profile))) {
                if (finding.text().empty()) {
                    __builtin_trap();
                }
            }
        }
    } catch (const Error&) {
        // the text is no program
    }
    return 0;
}
