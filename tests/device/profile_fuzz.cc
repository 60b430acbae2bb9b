#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "device/profile.h"

namespace {

std::string_view chip_text;

/// The input is a chip's file, over a route's without values.
std::optional<std::string_view> file(std::string_view name) {
    if (name == "m1") {
        return chip_text;
    }
    return name == "routes/r" ? std::optional<std::string_view>("") : std::nullopt;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    chip_text = {reinterpret_cast<const char*>(data), size};
    try {
        pome::device::read_profile("m1/r", file);
    } catch (const pome::Error&) {
        // A clear refusal is the right answer to bad text; anything else is a fault.
    }
    return 0;
}
