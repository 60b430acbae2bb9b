#include "device/apple/class_dump.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <tuple>

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";

struct Free {
    void operator()(const void* memory) const { std::free(const_cast<void*>(memory)); }
};

std::string text_or_none(const char* text) {
    return text == nullptr ? std::string() : std::string(text);
}

/// The library that defines the classes that this program knows: any of them tells.
std::string image_of_framework(const Runtime& runtime) {
    for (const MethodRow& row : method_rows()) {
        if (!row.class_name.starts_with("_ANE")) {
            continue;
        }
        const Id known = runtime.call(c_api::objc_getClass, std::string(row.class_name).c_str());
        const char* image =
            known == nullptr ? nullptr : runtime.call(c_api::class_getImageName, known);
        if (image != nullptr) {
            return image;
        }
    }
    fail(Code::unsupported, here,
         "the framework has none of the classes that Pome knows, so there is nothing to list its "
         "library by; an update of macOS renamed them, or this is no Mac with an engine");
}

void add_methods(const Runtime& runtime, Id of, char kind, std::vector<DumpedMethod>& methods) {
    unsigned count = 0;
    const std::unique_ptr<ObjcMethod*, Free> list(
        runtime.call(c_api::class_copyMethodList, of, &count));
    for (unsigned i = 0; list != nullptr && i < count; ++i) {
        ObjcMethod* method = list.get()[i];
        methods.push_back({kind,
                           text_or_none(runtime.call(c_api::sel_getName,
                                                     runtime.call(c_api::method_getName, method))),
                           text_or_none(runtime.call(c_api::method_getTypeEncoding, method))});
    }
}

DumpedClass dump(const Runtime& runtime, const std::string& name, Id of) {
    DumpedClass dumped{name, {}, {}};
    if (const Id super = runtime.call(c_api::class_getSuperclass, of); super != nullptr) {
        dumped.super = text_or_none(runtime.call(c_api::class_getName, super));
    }
    add_methods(runtime, runtime.call(c_api::object_getClass, of), '+', dumped.methods);
    add_methods(runtime, of, '-', dumped.methods);
    std::sort(dumped.methods.begin(), dumped.methods.end(), [](const auto& a, const auto& b) {
        return std::tie(a.kind, a.selector) < std::tie(b.kind, b.selector);  // '+' is before '-'
    });
    return dumped;
}

}  // namespace

std::vector<DumpedClass> dump_classes(const Runtime& runtime) {
    for (const auto found :
         {runtime.has(c_api::class_getImageName), runtime.has(c_api::objc_copyClassNamesForImage),
          runtime.has(c_api::class_copyMethodList), runtime.has(c_api::method_getName),
          runtime.has(c_api::sel_getName), runtime.has(c_api::class_getSuperclass),
          runtime.has(c_api::class_getName)}) {
        if (!found) {
            fail(Code::unsupported, here,
                 "this Objective-C runtime cannot list classes; `pome devices` says what it lacks");
        }
    }
    const std::string image = image_of_framework(runtime);
    unsigned count = 0;
    const std::unique_ptr<const char*, Free> names(
        runtime.call(c_api::objc_copyClassNamesForImage, image.c_str(), &count));
    std::vector<DumpedClass> all;
    for (unsigned i = 0; names != nullptr && i < count; ++i) {
        const std::string name = text_or_none(names.get()[i]);
        if (const Id of = runtime.call(c_api::objc_getClass, name.c_str()); of != nullptr) {
            all.push_back(dump(runtime, name, of));
        }
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return all;
}

std::string text_of(const DumpedClass& dumped) {
    std::string text = fmt::format("@interface {}{}\n", dumped.name,
                                   dumped.super.empty() ? "" : " : " + dumped.super);
    for (const DumpedMethod& method : dumped.methods) {
        text += fmt::format("{} {}  {}\n", method.kind, method.selector, method.encoding);
    }
    return text + "@end\n";
}

}  // namespace pome::device::apple
