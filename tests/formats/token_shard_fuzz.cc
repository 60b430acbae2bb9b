#include "formats/token_shard.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "base/error.h"

/// Every id is read; none is negative.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const pome::formats::TokenIds ids(bytes, "fuzz");
        for (std::int64_t i = 0; i < ids.size(); ++i) {
            if (ids[i] < 0) {
                std::abort();
            }
        }
        ids.check_vocabulary(ids.vocabulary());
    } catch (const pome::Error&) {
        // A clear refusal is the right answer to a broken file; anything else is a fault.
    }
    return 0;
}
