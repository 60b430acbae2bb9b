// The Foundation, CoreFoundation and IOSurface that the framework's clients use, and sysctlbyname.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "faults.h"
#include "objects.h"

namespace standin {

Class *string_class, *number_class, *data_class, *array_class, *dictionary_class, *url_class,
    *error_class, *io_surface_class;

Array::~Array() {
    for (Object* item : items) {
        release(item);
    }
}

Dictionary::~Dictionary() {
    for (const auto& [key, value] : entries) {
        release(key);
        release(value);
    }
}

Object* Dictionary::find(const std::string& key) const {
    for (const auto& [name, value] : entries) {
        if (const auto* text = as<String>(name, string_class); text && text->text == key) {
            return value;
        }
    }
    return nullptr;
}

ErrorObject::~ErrorObject() {
    release(domain);
    release(text);
}

String* make_string(const std::string& text) {
    auto* made = make<String>(string_class);
    made->text = text;
    return made;
}

Bool refuse(Object** error, const char* domain, std::int64_t code, const std::string& text) {
    if (error != nullptr) {
        auto* made = make<ErrorObject>(error_class);
        made->domain = make_string(domain);
        made->text = make_string(text);
        made->code = code;
        *error = autorelease(made);
    }
    return 0;
}

namespace {

Object* string_of(Object*, Selector*, const char* bytes) {
    if (bytes == nullptr) {
        raise("+[NSString stringWithUTF8String:]: NULL");
    }
    return autorelease(make_string(bytes));
}
const char* string_bytes(Object* self, Selector*) {
    return static_cast<String*>(self)->text.c_str();
}
Object* number_of(Object*, Selector*, std::uint64_t value) {
    auto* made = make<Number>(number_class);
    made->value = value;
    return autorelease(made);
}
Object* data_of(Object*, Selector*, const void* bytes, std::uint64_t size) {
    auto* made = make<Data>(data_class);
    if (size > 0) {
        made->bytes.assign(static_cast<const char*>(bytes), size);
    }
    return autorelease(made);
}
Object* array_of(Object*, Selector*, Object* const* items, std::uint64_t count) {
    auto* made = make<Array>(array_class);
    autorelease(made);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (items[i] == nullptr) {
            raise("+[NSArray arrayWithObjects:count:]: nil");
        }
        made->items.push_back(retain(items[i]));
    }
    return made;
}
Object* dictionary_of(Object*, Selector*, Object* const* values, Object* const* keys,
                      std::uint64_t count) {
    auto* made = make<Dictionary>(dictionary_class);
    autorelease(made);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (values[i] == nullptr || keys[i] == nullptr) {
            raise("+[NSDictionary dictionaryWithObjects:forKeys:count:]: nil");
        }
        made->entries.emplace_back(retain(keys[i]), retain(values[i]));
    }
    return made;
}
Object* error_domain(Object* self, Selector*) {
    return static_cast<ErrorObject*>(self)->domain;
}
Object* error_text(Object* self, Selector*) {
    return static_cast<ErrorObject*>(self)->text;
}
std::int64_t error_code(Object* self, Selector*) {
    return static_cast<ErrorObject*>(self)->code;
}
Object* file_url(Object*, Selector*, Object* path, Bool directory) {
    const auto* text = as<String>(path, string_class);
    if (text == nullptr) {
        raise("+[NSURL fileURLWithPath:isDirectory:]: no string");
    }
    auto* made = make<Url>(url_class);
    made->path = text->text;
    made->directory = directory != 0;
    return autorelease(made);
}

struct Pool : Object {
    void* token = nullptr;
};
Class* pool_class;
Object* pool_alloc(Object*, Selector*) {
    return make<Pool>(pool_class);
}
Object* pool_init(Object* self, Selector*) {
    static_cast<Pool*>(self)->token = push_pool();
    return self;
}
void destroy_pool(Object* object) {
    auto* pool = static_cast<Pool*>(object);
    if (pool->token != nullptr) {
        pop_pool(pool->token);
    }
    delete pool;
}

}  // namespace

Surface::~Surface() {
    if (write_locks > 0 || read_locks > 0) {
        violation("a surface goes while it is locked");
    }
    ::munmap(host, bytes);
    ::munmap(engine, bytes);
    --counter("surfaces");
    counter("surface_bytes") -= static_cast<long>(bytes);
}

namespace {

std::uint64_t property(const Dictionary& of, const char* key) {
    const auto* value = as<Number>(of.find(key), number_class);
    if (value == nullptr) {
        violation(std::string("an IOSurface without a number for ") + key);
        return 0;
    }
    return value->value;
}

}  // namespace

extern "C" {

Object *kIOSurfaceWidth, *kIOSurfaceHeight, *kIOSurfaceBytesPerElement, *kIOSurfaceBytesPerRow,
    *kIOSurfaceAllocSize, *kIOSurfacePixelFormat;

Surface* IOSurfaceCreate(Object* properties) {
    const auto* given = as<Dictionary>(properties, dictionary_class);
    if (given == nullptr) {
        crash("IOSurfaceCreate: no dictionary");
    }
    const std::uint64_t bytes = property(*given, "IOSurfaceAllocSize");
    if (property(*given, "IOSurfaceWidth") != bytes ||
        property(*given, "IOSurfaceBytesPerRow") != bytes ||
        property(*given, "IOSurfaceHeight") != 1 ||
        property(*given, "IOSurfaceBytesPerElement") != 1 ||
        property(*given, "IOSurfacePixelFormat") != 0) {
        violation("an IOSurface that is no single row of bytes");
    }
    if (bytes == 0) {
        return nullptr;
    }
    const int file = ::memfd_create("surface", MFD_CLOEXEC);
    if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) {
        if (file >= 0) {
            ::close(file);
        }
        return nullptr;
    }
    void* host = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
    void* engine = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    if (host == MAP_FAILED || engine == MAP_FAILED) {
        return nullptr;
    }
    auto* made = make<Surface>(io_surface_class);
    made->bytes = bytes;
    made->host = static_cast<std::byte*>(host);
    made->engine = static_cast<std::byte*>(engine);
    ++counter("surfaces");
    counter("surface_bytes") += static_cast<long>(bytes);
    return made;
}

std::int32_t IOSurfaceLock(Surface* surface, std::uint32_t options, std::uint32_t*) {
    if (options == 0 && surface->write_locks++ == 0) {
        ::mprotect(surface->host, surface->bytes, PROT_READ | PROT_WRITE);
    }
    surface->read_locks += options == 1 ? 1 : 0;
    return options <= 1 ? 0 : static_cast<std::int32_t>(0xe00002c2);
}

std::int32_t IOSurfaceUnlock(Surface* surface, std::uint32_t options, std::uint32_t*) {
    int& locks = options == 0 ? surface->write_locks : surface->read_locks;
    if (options > 1 || locks == 0) {
        violation("a surface is unlocked that was not locked so");
        return static_cast<std::int32_t>(0xe00002c2);
    }
    if (--locks == 0 && options == 0) {
        ::mprotect(surface->host, surface->bytes, PROT_READ);  // writing now is a crash
    }
    return 0;
}

void* IOSurfaceGetBaseAddress(Surface* surface) {
    return surface->host;
}

std::uint64_t IOSurfaceGetAllocSize(Surface* surface) {
    return surface->bytes;
}

void CFRelease(const void* object) {
    if (object == nullptr) {
        crash("CFRelease of NULL");
    }
    release(static_cast<Object*>(const_cast<void*>(object)));
}

Object* NSTemporaryDirectory() {
    const char* directory = std::getenv("TMPDIR");
    return autorelease(make_string(std::string(directory == nullptr ? "/tmp" : directory) + "/"));
}

int sysctlbyname(const char* name, void* value, std::size_t* size, void*, std::size_t) {
    const std::string asked = name;
    const auto give = [&](const void* bytes, std::size_t count) {
        if (value != nullptr) {
            if (*size < count) {
                errno = ENOMEM;
                return -1;
            }
            std::memcpy(value, bytes, count);
        }
        *size = count;
        return 0;
    };
    const auto give_text = [&](const std::string& text) {
        return give(text.c_str(), text.size() + 1);
    };
    if (asked == "machdep.cpu.brand_string") {
        return give_text(faults().on("brand") ? faults().text("brand") : "Apple M4");
    }
    if (asked == "hw.model") {
        return give_text("StandIn1,1");
    }
    if (asked == "kern.osproductversion") {
        return give_text("15.3.1");
    }
    if (asked == "kern.osversion") {
        return give_text("24D70");
    }
    if (asked == "kern.hv_vmm_present") {
        const std::int32_t present = faults().on("virtual_machine") ? 1 : 0;
        return give(&present, sizeof present);
    }
    errno = ENOENT;
    return -1;
}

}  // extern "C"

void register_foundation() {
    string_class = Maker("NSString", destroy_as<String>)
                       .on_class("stringWithUTF8String:", "@24@0:8r*16", string_of)
                       .on_object("UTF8String", "r*16@0:8", string_bytes)
                       .get();
    number_class = Maker("NSNumber", destroy_as<Number>)
                       .on_class("numberWithUnsignedLongLong:", "@24@0:8Q16", number_of)
                       .get();
    data_class = Maker("NSData", destroy_as<Data>)
                     .on_class("dataWithBytes:length:", "@32@0:8r^v16Q24", data_of)
                     .get();
    array_class = Maker("NSArray", destroy_as<Array>)
                      .on_class("arrayWithObjects:count:", "@32@0:8r^@16Q24", array_of)
                      .get();
    dictionary_class =
        Maker("NSDictionary", destroy_as<Dictionary>)
            .on_class("dictionaryWithObjects:forKeys:count:", "@40@0:8r^@16r^@24Q32", dictionary_of)
            .get();
    error_class = Maker("NSError", destroy_as<ErrorObject>)
                      .on_object("domain", "@16@0:8", error_domain)
                      .on_object("code", "q16@0:8", error_code)
                      .on_object("localizedDescription", "@16@0:8", error_text)
                      .get();
    url_class = Maker("NSURL", destroy_as<Url>)
                    .on_class("fileURLWithPath:isDirectory:", "@28@0:8@16C24", file_url)
                    .get();
    pool_class = Maker("NSAutoreleasePool", destroy_pool)
                     .on_class("alloc", "@16@0:8", pool_alloc)
                     .on_object("init", "@16@0:8", pool_init)
                     .get();
    io_surface_class = Maker("IOSurface", destroy_as<Surface>).get();
    const auto keep = [](const char* text) -> Object* { return make_string(text); };
    kIOSurfaceWidth = keep("IOSurfaceWidth");
    kIOSurfaceHeight = keep("IOSurfaceHeight");
    kIOSurfaceBytesPerElement = keep("IOSurfaceBytesPerElement");
    kIOSurfaceBytesPerRow = keep("IOSurfaceBytesPerRow");
    kIOSurfaceAllocSize = keep("IOSurfaceAllocSize");
    kIOSurfacePixelFormat = keep("IOSurfacePixelFormat");
    counter("objects") -= 6;  // these never go
}

}  // namespace standin
