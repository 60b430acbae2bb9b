#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "mil/text.h"
#include "mil/verifier.h"

/// Any bytes: read or refused; what reads is written and read again to an equal program, and
/// verified or refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    mil::Program program;
    try {
        program = mil::read({reinterpret_cast<const char*>(data), size}, "fuzz");
    } catch (const Error&) {
        return 0;
    }
    try {
        if (!(mil::read(mil::write(program)) == program)) {
            std::abort();
        }
    } catch (const Error& error) {
        if (error.code() != Code::unsupported) {
            std::abort();
        }
    }
    try {
        mil::verify(program);
    } catch (const Error&) {
    }
    return 0;
}
