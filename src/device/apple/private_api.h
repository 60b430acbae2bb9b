#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "device/apple/objc_types.h"

namespace pome::device::apple {

/// Who cannot do without a class, function or constant.
enum class Need : std::uint8_t {
    always,
    in_memory,  ///< the route of that name
    client,
    optional,  ///< there is another way
};
std::string_view name(Need need);

// Everything of the system that Pome uses, once. METHOD(name, need, class, kind, selector, R(A...),
// encoding, source): `kind` is
// '+' for methods of the class, '-' of its objects. docs/hardware-status.md lists them with their
// state.
// clang-format off
#define POME_APPLE_METHODS(METHOD)                                                                                                              \
    METHOD(retain, always, "NSObject", '-', "retain", Id(), "@16@0:8", "public: NSObject")                                                      \
    METHOD(release, always, "NSObject", '-', "release", void(), "Vv16@0:8", "public: NSObject")                                                 \
    METHOD(pool_alloc, always, "NSAutoreleasePool", '+', "alloc", Id(), "@16@0:8", "public: Foundation")                                        \
    METHOD(pool_init, always, "NSAutoreleasePool", '-', "init", Id(), "@16@0:8", "public: Foundation")                                          \
    METHOD(string_of, always, "NSString", '+', "stringWithUTF8String:", Id(const char*), "@24@0:8r*16", "public: Foundation")                   \
    METHOD(string_bytes, always, "NSString", '-', "UTF8String", const char*(), "r*16@0:8", "public: Foundation")                                \
    METHOD(number_of, always, "NSNumber", '+', "numberWithUnsignedLongLong:", Id(std::uint64_t), "@24@0:8Q16", "public: Foundation")            \
    METHOD(data_of, always, "NSData", '+', "dataWithBytes:length:", Id(const void*, std::uint64_t), "@32@0:8r^v16Q24", "public: Foundation")    \
    METHOD(array_of, always, "NSArray", '+', "arrayWithObjects:count:", Id(const Id*, std::uint64_t), "@32@0:8r^@16Q24", "public: Foundation")  \
    METHOD(dictionary_of, always, "NSDictionary", '+', "dictionaryWithObjects:forKeys:count:",                                                  \
           Id(const Id*, const Id*, std::uint64_t), "@40@0:8r^@16r^@24Q32", "public: Foundation")                                               \
    METHOD(error_domain, always, "NSError", '-', "domain", Id(), "@16@0:8", "public: Foundation")                                               \
    METHOD(error_code, always, "NSError", '-', "code", std::int64_t(), "q16@0:8", "public: Foundation")                                         \
    METHOD(error_text, always, "NSError", '-', "localizedDescription", Id(), "@16@0:8", "public: Foundation")                                   \
    METHOD(file_url, client, "NSURL", '+', "fileURLWithPath:isDirectory:", Id(Id, ObjcBool), "@28@0:8@16B24", "public: Foundation")             \
    METHOD(has_engine, optional, "_ANEDeviceInfo", '+', "hasANE", ObjcBool(), "B16@0:8", "class dump, iOS 16.4")                                \
    METHOD(engine_subtype, optional, "_ANEDeviceInfo", '+', "aneSubType", Id(), "@16@0:8", "class dump, iOS 16.4; maderix/ANE")                 \
    METHOD(surface_object, always, "_ANEIOSurfaceObject", '+', "objectWithIOSurface:", Id(IoSurfaceRef), "@24@0:8^{__IOSurface=}16",            \
           "maderix/ANE; class dump, iOS 16.4")                                                                                                 \
    METHOD(make_request, always, "_ANERequest", '+',                                                                                            \
           "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:",                                      \
           Id(Id, Id, Id, Id, Id, Id, Id), "@72@0:8@16@24@32@40@48@56@64", "maderix/ANE; class dump, iOS 16.4")                                 \
    METHOD(make_descriptor, in_memory, "_ANEInMemoryModelDescriptor", '+', "modelWithMILText:weights:optionsPlist:", Id(Id, Id, Id),            \
           "@40@0:8@16@24@32", "maderix/ANE; class dump, iOS 16.4")                                                                             \
    METHOD(make_memory_model, in_memory, "_ANEInMemoryModel", '+', "inMemoryModelWithDescriptor:", Id(Id), "@24@0:8@16",                        \
           "maderix/ANE; class dump, iOS 16.4")                                                                                                 \
    METHOD(memory_identifier, in_memory, "_ANEInMemoryModel", '-', "hexStringIdentifier", Id(), "@16@0:8", "maderix/ANE")                       \
    METHOD(memory_compile, in_memory, "_ANEInMemoryModel", '-', "compileWithQoS:options:error:", ObjcBool(std::uint32_t, Id, Id*),              \
           "B36@0:8I16@20^@28", "maderix/ANE; class dump, iOS 16.4")                                                                            \
    METHOD(memory_load, in_memory, "_ANEInMemoryModel", '-', "loadWithQoS:options:error:", ObjcBool(std::uint32_t, Id, Id*),                    \
           "B36@0:8I16@20^@28", "maderix/ANE; class dump, iOS 16.4")                                                                            \
    METHOD(memory_evaluate, in_memory, "_ANEInMemoryModel", '-', "evaluateWithQoS:options:request:error:",                                      \
           ObjcBool(std::uint32_t, Id, Id, Id*), "B44@0:8I16@20@28^@36", "maderix/ANE; class dump, iOS 16.4")                                   \
    METHOD(memory_unload, in_memory, "_ANEInMemoryModel", '-', "unloadWithQoS:error:", ObjcBool(std::uint32_t, Id*), "B28@0:8I16^@20",          \
           "maderix/ANE; class dump, iOS 16.4")                                                                                                 \
    METHOD(make_client_model, client, "_ANEModel", '+', "modelAtURL:key:", Id(Id, Id), "@32@0:8@16@24", "maderix/ANE; class dump, iOS 16.4")    \
    METHOD(shared_client, client, "_ANEClient", '+', "sharedConnection", Id(), "@16@0:8", "maderix/ANE; class dump, iOS 16.4")                  \
    METHOD(client_compile, client, "_ANEClient", '-', "compileModel:options:qos:error:", ObjcBool(Id, Id, std::uint32_t, Id*),                  \
           "B44@0:8@16@24I32^@36", "class dump, iOS 16.4; maderix/ANE pull request 54")                                                         \
    METHOD(client_load, client, "_ANEClient", '-', "loadModel:options:qos:error:", ObjcBool(Id, Id, std::uint32_t, Id*),                        \
           "B44@0:8@16@24I32^@36", "class dump, iOS 16.4; maderix/ANE pull request 54")                                                         \
    METHOD(client_evaluate, client, "_ANEClient", '-', "evaluateWithModel:options:request:qos:error:",                                          \
           ObjcBool(Id, Id, Id, std::uint32_t, Id*), "B52@0:8@16@24@32I40^@44", "class dump, iOS 16.4; maderix/ANE pull request 54")            \
    METHOD(client_unload, client, "_ANEClient", '-', "unloadModel:options:qos:error:", ObjcBool(Id, Id, std::uint32_t, Id*),                    \
           "B44@0:8@16@24I32^@36", "class dump, iOS 16.4; maderix/ANE pull request 54")

// FUNCTION(symbol, need, R(A...), library, source)
#define POME_APPLE_FUNCTIONS(FUNCTION)                                                                                                          \
    FUNCTION(objc_getClass, always, Id(const char*), objc, "public: objc/runtime.h")                                                            \
    FUNCTION(object_getClass, always, Id(Id), objc, "public: objc/runtime.h")                                                                   \
    FUNCTION(sel_registerName, always, Selector(const char*), objc, "public: objc/runtime.h")                                                   \
    FUNCTION(class_getInstanceMethod, always, ObjcMethod*(Id, Selector), objc, "public: objc/runtime.h")                                        \
    FUNCTION(class_getMethodImplementation, always, Implementation(Id, Selector), objc, "public: objc/runtime.h")                               \
    FUNCTION(method_getTypeEncoding, always, const char*(ObjcMethod*), objc, "public: objc/runtime.h")                                          \
    FUNCTION(objc_msgSend, optional, void(), objc, "public: objc/message.h")                                                                    \
    FUNCTION(objc_autoreleasePoolPush, optional, void*(), objc, "clang: Automatic Reference Counting, runtime support")                         \
    FUNCTION(objc_autoreleasePoolPop, optional, void(void*), objc, "clang: Automatic Reference Counting, runtime support")                      \
    FUNCTION(objc_copyClassNamesForImage, optional, const char**(const char*, unsigned*), objc, "public: objc/runtime.h")                       \
    FUNCTION(class_getImageName, optional, const char*(Id), objc, "public: objc/runtime.h")                                                     \
    FUNCTION(class_copyMethodList, optional, ObjcMethod**(Id, unsigned*), objc, "public: objc/runtime.h")                                       \
    FUNCTION(class_getSuperclass, optional, Id(Id), objc, "public: objc/runtime.h")                                                             \
    FUNCTION(class_getName, optional, const char*(Id), objc, "public: objc/runtime.h")                                                          \
    FUNCTION(method_getName, optional, Selector(ObjcMethod*), objc, "public: objc/runtime.h")                                                   \
    FUNCTION(sel_getName, optional, const char*(Selector), objc, "public: objc/runtime.h")                                                      \
    FUNCTION(NSTemporaryDirectory, always, Id(), foundation, "public: Foundation")                                                              \
    FUNCTION(CFRelease, always, void(const void*), core_foundation, "public: CoreFoundation")                                                   \
    FUNCTION(IOSurfaceCreate, always, IoSurfaceRef(Id), io_surface, "public: IOSurface")                                                        \
    FUNCTION(IOSurfaceLock, always, std::int32_t(IoSurfaceRef, std::uint32_t, std::uint32_t*), io_surface, "public: IOSurface")                 \
    FUNCTION(IOSurfaceUnlock, always, std::int32_t(IoSurfaceRef, std::uint32_t, std::uint32_t*), io_surface, "public: IOSurface")               \
    FUNCTION(IOSurfaceGetBaseAddress, always, void*(IoSurfaceRef), io_surface, "public: IOSurface")                                             \
    FUNCTION(IOSurfaceGetAllocSize, always, std::uint64_t(IoSurfaceRef), io_surface, "public: IOSurface")                                       \
    FUNCTION(sysctlbyname, always, int(const char*, void*, std::size_t*, void*, std::size_t), system, "public: sysctl(3)")

// CONSTANT(symbol, need, library, source): NSString objects.
#define POME_APPLE_CONSTANTS(CONSTANT)                                          \
    CONSTANT(kIOSurfaceWidth, always, io_surface, "public: IOSurface")          \
    CONSTANT(kIOSurfaceHeight, always, io_surface, "public: IOSurface")         \
    CONSTANT(kIOSurfaceBytesPerElement, always, io_surface, "public: IOSurface")\
    CONSTANT(kIOSurfaceBytesPerRow, always, io_surface, "public: IOSurface")    \
    CONSTANT(kIOSurfaceAllocSize, always, io_surface, "public: IOSurface")      \
    CONSTANT(kIOSurfacePixelFormat, always, io_surface, "public: IOSurface")
// clang-format on

/// A shared library of the system.
enum class Library : std::uint8_t { objc, foundation, core_foundation, io_surface, system, engine };
/// Where it lies on macOS. In the shared cache of the loader: never look for the file.
std::string_view system_path(Library library);

struct MethodRow {
    std::string_view name;
    Need need;
    std::string_view class_name;
    char kind;
    std::string_view selector;
    std::string_view encoding;  ///< on arm64
    std::string_view source;
    std::string (*derived)();  ///< the encoding of the C++ signature that it is called with
};
struct SymbolRow {
    std::string_view symbol;
    Need need;
    Library library;
    std::string_view source;
};

std::span<const MethodRow> method_rows();
std::span<const SymbolRow> function_rows();
std::span<const SymbolRow> constant_rows();

/// Names one row of the list; calls through Runtime::send() have its types.
template <typename Signature>
struct Method {
    std::size_t row;
};
template <typename Signature>
struct Function {
    std::size_t row;
};
struct Constant {
    std::size_t row;
};

#define POME_METHOD(name, ...) name,
enum class MethodName : std::uint8_t { POME_APPLE_METHODS(POME_METHOD) };
#undef POME_METHOD
#define POME_FUNCTION(symbol, ...) symbol,
enum class FunctionName : std::uint8_t { POME_APPLE_FUNCTIONS(POME_FUNCTION) };
#undef POME_FUNCTION
#define POME_CONSTANT(symbol, ...) symbol,
enum class ConstantName : std::uint8_t { POME_APPLE_CONSTANTS(POME_CONSTANT) };
#undef POME_CONSTANT

namespace api {
#define POME_METHOD(name, need, class_name, kind, selector, signature, encoding, source) \
    inline constexpr Method<signature> name{static_cast<std::size_t>(MethodName::name)};
POME_APPLE_METHODS(POME_METHOD)
#undef POME_METHOD
}  // namespace api

namespace c_api {
#define POME_FUNCTION(symbol, need, signature, library, source) \
    inline constexpr Function<signature> symbol{static_cast<std::size_t>(FunctionName::symbol)};
POME_APPLE_FUNCTIONS(POME_FUNCTION)
#undef POME_FUNCTION
#define POME_CONSTANT(symbol, need, library, source) \
    inline constexpr Constant symbol{static_cast<std::size_t>(ConstantName::symbol)};
POME_APPLE_CONSTANTS(POME_CONSTANT)
#undef POME_CONSTANT
}  // namespace c_api

}  // namespace pome::device::apple
