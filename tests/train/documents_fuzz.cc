#include "train/prepare.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        (void)pome::train::split_documents(text, "fuzz");
    } catch (const pome::Error&) {
        // A clear refusal is the right answer to bad text; anything else is a fault.
    }
    try {
        (void)pome::train::split_json_lines(text, "text", "fuzz");
    } catch (const pome::Error&) {
    }
    return 0;
}
