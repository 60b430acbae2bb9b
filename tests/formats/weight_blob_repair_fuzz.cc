#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "formats/weight_blob.h"
#include "formats/weight_blob_repair.h"

/// Any bytes are diagnosed; what is repaired is sound.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    try {
        const auto found = formats::diagnose_blob(bytes);
        const auto repaired = formats::repair_blob(bytes, "f", DType::int8);
        if (found.repairable && formats::list_blob_records(repaired, "f").size() != 1) {
            std::abort();
        }
    } catch (const Error&) {
    }
    return 0;
}
