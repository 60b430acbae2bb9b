#pragma once

#include <string>
#include <vector>

#include "device/apple/objc_runtime.h"

namespace pome::device::apple {

/// A method that a class adds: '+' of the class, '-' of its objects.
struct DumpedMethod {
    char kind = '-';
    std::string selector;
    std::string encoding;
};

/// A class of the private framework.
struct DumpedClass {
    std::string name;
    std::string super;                  ///< the class above it; empty for a root
    std::vector<DumpedMethod> methods;  ///< class methods first, each kind by selector
};

/// Every class of the library that the private framework's classes come from, by name, with what
/// each adds. Nothing is sent to any of them, so no class is initialized. Throws
/// Error{unsupported} when the runtime cannot list classes or none of the framework's is there.
std::vector<DumpedClass> dump_classes(const Runtime& runtime);

/// "@interface NAME : SUPER", the lines of its methods with their encodings, "@end".
std::string text_of(const DumpedClass& dumped);

}  // namespace pome::device::apple
