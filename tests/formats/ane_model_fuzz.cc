#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "base/error.h"
#include "formats/ane_model.h"
#include "formats/weight_blob.h"

/// Any bytes are read or refused with an Error, as a file and as the table of contents of a sound
/// container; what is read can be written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    using namespace pome::formats;
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    const auto read = [](std::span<const std::byte> file) {
        try {
            is_ane_model(file);
            const auto model = parse_ane_model(file, "f");
            parse_ane_model(ane_model_bytes(model), "again");
        } catch (const Error&) {
        }
    };
    read(bytes);
    BlobWriter writer;
    writer.add(DType::uint8, bytes.first(size - size / 4));
    writer.add(DType::fp16, bytes.last(size / 4 / 2 * 2));
    read(writer.take());
    return 0;
}
