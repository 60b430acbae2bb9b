#include <cstdint>
#include <span>

#include "base/error.h"
#include "formats/blzt.h"

/// Any bytes are read or refused with an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    try {
        formats::parse_blzt(bytes, "f");
    } catch (const Error&) {
    }
    return 0;
}
