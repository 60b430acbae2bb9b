#include "formats/checkpoint.h"

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/error.h"

/// What passed can be written out again and is accepted again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    try {
        const auto text = pome::formats::parse_checkpoint_state(bytes, "fuzz").dump();
        pome::formats::parse_checkpoint_state(std::as_bytes(std::span(text)), "again");
    } catch (const pome::Error&) {
        // A clear refusal is the right answer to a broken file; anything else is a fault.
    }
    return 0;
}
