#include "formats/run_log.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        for (const auto& record : pome::formats::parse_run_log(bytes, "fuzz")) {
            if (!record.is_object()) {
                std::abort();
            }
        }
    } catch (const pome::Error&) {
        // A clear refusal is the right answer to a broken file; anything else is a fault.
    }
    return 0;
}
