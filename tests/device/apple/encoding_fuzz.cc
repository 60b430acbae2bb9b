// Type encodings come from the system: any text may be compared.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "device/apple/objc_types.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::size_t half = size / 2;
    const bool same = pome::device::apple::same_encoding(text.substr(0, half), text.substr(half));
    if (same != pome::device::apple::same_encoding(text.substr(half), text.substr(0, half)) ||
        !pome::device::apple::same_encoding(text, text)) {
        __builtin_trap();
    }
    return 0;
}
