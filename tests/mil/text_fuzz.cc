#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "mil/text.h"
#include "mil/verifier.h"

namespace {

void demand(bool holds, const char* rule, const std::string& text) {
    if (!holds) {
        std::fprintf(stderr, "%s:\n%s\n", rule, text.c_str());
        std::abort();
    }
}

}  // namespace

/// Any bytes are read or refused with an Error. What was read is written and read again to an equal
/// program, in its own dialect and, but for version and dialect, in the other; then it is verified
/// or refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pome;
    mil::Program program;
    try {
        program = mil::read({reinterpret_cast<const char*>(data), size}, "fuzz");
    } catch (const Error&) {
        return 0;
    }
    // Any Error from here on ends the run: what was read can be written.
    const std::string text = mil::write(program);
    demand(mil::read(text) == program, "written text reads as another program", text);
    const auto other =
        program.dialect == mil::Dialect::terse ? mil::Dialect::canonical : mil::Dialect::terse;
    const std::string translated = mil::write(program, other);
    const mil::Program again = mil::read(translated);
    demand(again.functions == program.functions && again.attributes == program.attributes,
           "translated text reads as another program", translated);
    try {
        mil::verify(program);
    } catch (const Error&) {
    }
    return 0;
}
