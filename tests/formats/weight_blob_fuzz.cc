#include <cstdint>
#include <span>

#include "base/error.h"
#include "formats/weight_blob.h"

/// Any bytes are read or refused with an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    try {
        for (const auto& record : formats::list_blob_records(bytes, "f")) {
            formats::read_blob(bytes, "f", record.offset, record.dtype,
                               static_cast<std::int64_t>(record.bytes * 8 / bits(record.dtype)));
        }
    } catch (const Error&) {
    }
    return 0;
}
