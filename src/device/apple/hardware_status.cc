#include "device/apple/hardware_status.h"

#include "base/error.h"
#include "device/apple/private_api.h"

namespace pome::device::apple {
namespace {

/// What is relied on beyond a call's presence and types.
struct Behaviour {
    std::string_view what, specified_by, stand_in;
};

// clang-format off
constexpr Behaviour behaviours[] = {
    {"the framework opens by dlopen from the shared cache; no entitlement is needed", "maderix/ANE; ane-guide", "no: a stand-in is a file"},
    {"program text is NSData of UTF-8; an NSString crashes or gives nil", "maderix/ANE", "yes, a violation"},
    {"programs without weights take an empty dictionary; nil fails without a word", "maderix/ANE", "yes, a violation"},
    {"the caller writes model.mil and weights/ to NSTemporaryDirectory()/hexStringIdentifier before compile", "maderix/ANE, pull request 54", "yes, bytes compared"},
    {"the directory may go once the program is loaded", "maderix/ANE", "yes"},
    {"load with 0x50004 succeeds when it is tried again after 100 ms", "maderix/ANE; ANEgpt", "yes, `load_slots`"},
    {"a surface is one row of bytes; six keys describe it", "maderix/ANE; Orion", "yes, a violation"},
    {"inputs of a request have one allocation size, outputs too; larger than needed is read from the start", "Orion", "yes, by the emulator"},
    {"surfaces are bound in the order of the MIL names", "Orion", "yes"},
    {"a request can be used any number of times, and a program may have many", "maderix/ANE", "yes"},
    {"a surface may be the output of one program and the input of another", "ane-train", "yes"},
    {"surfaces are locked by the host while it writes, and not while the engine works", "public: IOSurface", "yes, writing without a lock is a crash"},
    {"options and the client's kANEF* keys are NSStrings of these letters", "maderix/ANE, pull request 54", "yes"},
    {"about 119 programs compile in a process by the in-memory route", "maderix/ANE", "yes, by the emulator; `budget`"},
    {"a compile and an evaluation may overlap", "maderix/ANE, pull request 23", "yes"},
    {"errors come as NSError only when a call returns NO", "public: Foundation", "yes"},
    {"an Objective-C exception is caught by catch (...)", "Apple: documented for 64-bit; tried with libobjc4 and libobjc2", "yes, a C++ one"},
    {"a virtual machine sets kern.hv_vmm_present", "public: sysctl", "yes, `virtual_machine`"},
    {"machdep.cpu.brand_string is \"Apple M4 Max\"", "public: sysctl", "yes, `brand`"},
};
// clang-format on

std::string row(std::string_view what, std::string_view encoding, Need need,
                std::string_view source) {
    return fmt::format("| `{}` | {} | {} | {} | yes | yes | no |\n", what,
                       encoding.empty() ? "" : fmt::format("`{}`", encoding), name(need), source);
}

}  // namespace

std::string hardware_status() {
    std::string text =
        "# What has run where\n"
        "\n"
        "Everything of Apple's system that Pome uses, from the list in "
        "`src/device/apple/private_api.h`, which is also what a start\n"
        "compares the system with. **Nothing here has run on Apple hardware yet**: the same code "
        "runs over a stand-in library\n"
        "(`tests/device/apple/standin`) that executes programs with the emulator. Written by "
        "`pome devices --hardware-status`; a test\n"
        "keeps it so.\n"
        "\n"
        "\"Built\": the code that makes the call compiles for arm64 macOS 13 (zig 0.16's clang, on "
        "Linux). \"Ran\": on a Mac with an engine.\n"
        "\n"
        "## Methods\n"
        "\n"
        "| method | encoding (arm64) | needed | specified by | stand-in | built | ran |\n"
        "|---|---|---|---|---|---|---|\n";
    for (const MethodRow& method : method_rows()) {
        text += row(fmt::format("{}[{} {}]", method.kind, method.class_name, method.selector),
                    method.encoding, method.need, method.source);
    }
    text +=
        "\n## Functions and constants\n\n"
        "| symbol | | needed | specified by | stand-in | built | ran |\n"
        "|---|---|---|---|---|---|---|\n";
    for (const auto rows : {function_rows(), constant_rows()}) {
        for (const SymbolRow& symbol : rows) {
            text += row(symbol.symbol, "", symbol.need, symbol.source);
        }
    }
    text +=
        "\n## Behaviour\n\n"
        "| what Pome relies on | specified by | the stand-in insists on it | ran |\n"
        "|---|---|---|---|\n";
    for (const Behaviour& behaviour : behaviours) {
        text += fmt::format("| {} | {} | {} | no |\n", behaviour.what, behaviour.specified_by,
                            behaviour.stand_in);
    }
    text +=
        "\n## Not used\n\n"
        "Real-time tasks (need an entitlement), chaining (crashes or is refused), performance "
        "statistics (the service clears them for\n"
        "third parties), the e5rt functions of Espresso, Core ML's internals.\n";
    return text;
}

}  // namespace pome::device::apple
