#include "device/apple/objc_runtime.h"

#include <dlfcn.h>

#include <utility>

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";

void* open_library(const std::string& path) {
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* reason = ::dlerror();
        fail(Code::unsupported, here,
             "{}: cannot be loaded: {}; without it there is no way to the engine, --device "
             "emulator:m4 computes what one would",
             path, reason == nullptr ? "no reason given" : reason);
    }
    return library;
}

std::string method_name(const MethodRow& row) {
    return fmt::format("{}[{} {}]", row.kind, row.class_name, row.selector);
}

}  // namespace

std::string ApiCheck::text() const {
    const std::string subject = fmt::format("{} ({})", what, name(need));
    switch (state) {
        case State::present:
            return subject + " is there";
        case State::class_missing:
            return subject + ": the class is missing";
        case State::missing:
            return subject + " is missing";
        case State::changed:
            return fmt::format("{} is encoded as '{}', not '{}'", subject, found, wanted);
    }
    return subject;
}

std::shared_ptr<const Runtime> Runtime::load(const std::string& replacement) {
    std::shared_ptr<Runtime> runtime(new Runtime);
    runtime->open(replacement);
    runtime->find_methods();
    return runtime;
}

void Runtime::open(const std::string& replacement) {
    replaced_ = !replacement.empty();
    void* stand_in = replaced_ ? open_library(replacement) : nullptr;
    std::array<void*, 6> opened{};
    const auto find = [&](const SymbolRow& row) -> void* {
        auto& library = opened[static_cast<std::size_t>(row.library)];
        if (library == nullptr) {
            library = stand_in != nullptr ? stand_in
                                          : open_library(std::string(system_path(row.library)));
        }
        void* address = ::dlsym(library, std::string(row.symbol).c_str());
        using State = ApiCheck::State;
        checks_.push_back({address != nullptr ? State::present : State::missing,
                           row.need,
                           std::string(row.symbol),
                           {},
                           {}});
        return address;
    };
    for (const SymbolRow& row : function_rows()) {
        functions_.push_back(reinterpret_cast<void (*)()>(find(row)));
    }
    for (const SymbolRow& row : constant_rows()) {
        constants_.push_back(find(row));
    }
    if (stand_in == nullptr) {  // registers its classes with the runtime
        open_library(std::string(system_path(Library::engine)));
    }
    for (const auto found :
         {has(c_api::objc_getClass), has(c_api::object_getClass), has(c_api::sel_registerName),
          has(c_api::class_getInstanceMethod), has(c_api::class_getMethodImplementation),
          has(c_api::method_getTypeEncoding)}) {
        if (!found) {
            fail(Code::unsupported, here, "{} is no Objective-C runtime: it lacks functions of it",
                 replaced_ ? replacement : std::string(system_path(Library::objc)));
        }
    }
}

void Runtime::find_methods() {
    methods_.resize(method_rows().size());
    for (std::size_t row = 0; row < methods_.size(); ++row) {
        checks_.push_back(check_method(row));
        methods_[row].usable = checks_.back().state == ApiCheck::State::present;
    }
}

ApiCheck Runtime::check_method(std::size_t index) {
    const MethodRow& row = method_rows()[index];
    Known& known = methods_[index];
    ApiCheck check{
        ApiCheck::State::class_missing, row.need, method_name(row), std::string(row.encoding), {}};
    known.owner = call(c_api::objc_getClass, std::string(row.class_name).c_str());
    if (known.owner == nullptr) {
        return check;
    }
    known.selector = call(c_api::sel_registerName, std::string(row.selector).c_str());
    const Id holder = row.kind == '+' ? call(c_api::object_getClass, known.owner) : known.owner;
    ObjcMethod* method = call(c_api::class_getInstanceMethod, holder, known.selector);
    if (method == nullptr) {
        check.state = ApiCheck::State::missing;
        return check;
    }
    const char* encoding = call(c_api::method_getTypeEncoding, method);
    check.found = encoding == nullptr ? "" : encoding;
    check.state = same_encoding(check.found, check.wanted) ? ApiCheck::State::present
                                                           : ApiCheck::State::changed;
    return check;
}

std::vector<ApiCheck> Runtime::faults(Need need) const {
    std::vector<ApiCheck> found;
    for (const ApiCheck& check : checks_) {
        if (check.state != ApiCheck::State::present &&
            (check.need == Need::always || check.need == need)) {
            found.push_back(check);
        }
    }
    return found;
}

void Runtime::require(Need need) const {
    const auto found = faults(need);
    if (found.empty()) {
        return;
    }
    std::string lines;
    for (const ApiCheck& check : found) {
        lines += "\n  " + check.text();
    }
    fail(Code::unsupported, here,
         "the system's private interface is not the one that Pome knows ({} of {} entries); an "
         "update of macOS changed it, or this is no Mac with an engine; --device emulator:m4 needs "
         "none of it:{}",
         found.size(), checks_.size(), lines);
}

Runtime::Target Runtime::target(std::size_t row, Id receiver) const {
    const Known& known = methods_[row];
    if (!known.usable) {
        fail(Code::unsupported, here, "{} was not found when the device was opened",
             method_name(method_rows()[row]));
    }
    if (receiver == nullptr) {
        fail(Code::evaluation_failed, here, "{} would be sent to nil",
             method_name(method_rows()[row]));
    }
    if (has(c_api::objc_msgSend)) {
        return {function_at(c_api::objc_msgSend.row), known.selector};
    }
    return {call(c_api::class_getMethodImplementation, call(c_api::object_getClass, receiver),
                 known.selector),
            known.selector};
}

void (*Runtime::function_at(std::size_t row) const)() {
    if (functions_[row] == nullptr) {
        fail(Code::unsupported, here, "the system has no function {}", function_rows()[row].symbol);
    }
    return functions_[row];
}

Id Runtime::constant(Constant constant) const {
    if (constants_[constant.row] == nullptr) {
        fail(Code::unsupported, here, "the system has no constant {}",
             constant_rows()[constant.row].symbol);
    }
    return *static_cast<Id*>(constants_[constant.row]);
}

AutoreleasePool::AutoreleasePool(const Runtime& runtime) : runtime_(runtime) {
    if (runtime.has(c_api::objc_autoreleasePoolPush) &&
        runtime.has(c_api::objc_autoreleasePoolPop)) {
        token_ = runtime.call(c_api::objc_autoreleasePoolPush);
    } else {
        object_ = runtime.send(api::pool_init, runtime.send_class(api::pool_alloc));
    }
}

AutoreleasePool::~AutoreleasePool() {
    if (object_ != nullptr) {
        runtime_.send(api::release, object_);
    } else {
        runtime_.call(c_api::objc_autoreleasePoolPop, token_);
    }
}

Reference::Reference(std::shared_ptr<const Runtime> runtime, Id object)
    : runtime_(std::move(runtime)), object_(object) {
    if (object_ != nullptr) {
        runtime_->send(api::retain, object_);
    }
}

Reference::Reference(Reference&& other) noexcept
    : runtime_(std::move(other.runtime_)), object_(std::exchange(other.object_, nullptr)) {}

Reference& Reference::operator=(Reference&& other) noexcept {
    std::swap(runtime_, other.runtime_);
    std::swap(object_, other.object_);
    return *this;
}

void Reference::reset() {
    if (object_ != nullptr) {
        runtime_->send(api::release, std::exchange(object_, nullptr));
    }
}

}  // namespace pome::device::apple
