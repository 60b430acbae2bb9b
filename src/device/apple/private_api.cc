#include "device/apple/private_api.h"

namespace pome::device::apple {

std::string_view name(Need need) {
    switch (need) {
        case Need::always:
            return "always";
        case Need::in_memory:
            return "route in-memory";
        case Need::client:
            return "route client";
        case Need::optional:
            return "optional";
    }
    return "optional";
}

std::string_view system_path(Library library) {
    switch (library) {
        case Library::objc:
            return "/usr/lib/libobjc.A.dylib";
        case Library::foundation:
            return "/System/Library/Frameworks/Foundation.framework/Foundation";
        case Library::core_foundation:
            return "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation";
        case Library::io_surface:
            return "/System/Library/Frameworks/IOSurface.framework/IOSurface";
        case Library::system:
            return "/usr/lib/libSystem.B.dylib";
        case Library::engine:
            return "/System/Library/PrivateFrameworks/AppleNeuralEngine.framework/"
                   "AppleNeuralEngine";
    }
    return "";
}

std::span<const MethodRow> method_rows() {
    static constexpr MethodRow rows[] = {
#define POME_METHOD(name, need, class_name, kind, selector, signature, encoding, source) \
    {#name,    Need::need, class_name, kind,                                             \
     selector, encoding,   source,     [] { return MethodEncoding<signature>::text(); }},
        POME_APPLE_METHODS(POME_METHOD)
#undef POME_METHOD
    };
    return rows;
}

std::span<const SymbolRow> function_rows() {
    static constexpr SymbolRow rows[] = {
#define POME_FUNCTION(symbol, need, signature, library, source) \
    {#symbol, Need::need, Library::library, source},
        POME_APPLE_FUNCTIONS(POME_FUNCTION)
#undef POME_FUNCTION
    };
    return rows;
}

std::span<const SymbolRow> constant_rows() {
    static constexpr SymbolRow rows[] = {
#define POME_CONSTANT(symbol, need, library, source) \
    {#symbol, Need::need, Library::library, source},
        POME_APPLE_CONSTANTS(POME_CONSTANT)
#undef POME_CONSTANT
    };
    return rows;
}

}  // namespace pome::device::apple
