#include "train/config.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const auto config = pome::train::parse_config(text, "fuzz", {}, "/");
        // What is accepted can be written out and read again.
        pome::train::parse_config(config.text(), "again", {}, "/");
    } catch (const pome::Error&) {
        // A clear refusal is the right answer to bad text; anything else is a fault.
    }
    return 0;
}
