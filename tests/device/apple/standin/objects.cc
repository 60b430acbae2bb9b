#include "objects.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "faults.h"

namespace standin {
namespace {

struct World {
    std::mutex mutex;
    std::map<std::string, std::unique_ptr<Selector>> selectors;
    std::map<std::string, Class*> classes;
    std::unordered_set<const Object*> live;  ///< instances
    std::map<std::string, std::unique_ptr<std::atomic<long>>> counters;
};

World& world() {
    static auto* made = new World;  // never gone: objects may outlive main()
    return *made;
}

std::vector<std::vector<Object*>>& pools() {
    thread_local std::vector<std::vector<Object*>> stack;
    return stack;
}

bool is_class(const Object* object) {
    for (const auto& [name, known] : world().classes) {
        if (object == known || object == known->isa) {
            return true;
        }
    }
    return false;
}

void expect_live(const Object* object, const char* doing) {
    const std::lock_guard lock(world().mutex);
    if (!world().live.contains(object) && !is_class(object)) {
        crash(std::string(doing) + " an object that is gone, or none");
    }
}

}  // namespace

Selector* selector(const std::string& name) {
    const std::lock_guard lock(world().mutex);
    auto& found = world().selectors[name];
    if (!found) {
        found = std::make_unique<Selector>(Selector{name});
    }
    return found.get();
}

Class* find_class(const std::string& name) {
    const std::lock_guard lock(world().mutex);
    const auto found = world().classes.find(name);
    return found == world().classes.end() ? nullptr : found->second;
}

Method* find_method(Class* of, const Selector* name) {
    for (; of != nullptr; of = of->super) {
        if (const auto found = of->methods.find(name); found != of->methods.end()) {
            return &found->second;
        }
    }
    return nullptr;
}

Maker::Maker(const char* name, void (*destroy)(Object*)) : made_(new Class) {
    made_->name = name;
    made_->destroy = destroy;
    auto* meta = new Class;
    meta->name = name;
    made_->isa = meta;
    Class* top = std::strcmp(name, "NSObject") == 0 ? nullptr : find_class("NSObject");
    made_->super = top;
    meta->super = top == nullptr ? nullptr : top->isa;
    const std::lock_guard lock(world().mutex);
    world().classes[name] = made_;
}

void note_birth(Object* object) {
    ++object->isa->live;
    ++counter("objects");
    const std::lock_guard lock(world().mutex);
    world().live.insert(object);
}

Object* retain(Object* object) {
    if (object != nullptr) {
        expect_live(object, "retain of");
        ++object->references;
    }
    return object;
}

void release(Object* object) {
    if (object == nullptr) {
        return;
    }
    {
        const std::lock_guard lock(world().mutex);
        if (!world().live.contains(object)) {
            if (is_class(object)) {
                return;
            }
            crash("release of an object that is gone: one release too many");
        }
    }
    if (--object->references == 0) {
        {
            const std::lock_guard lock(world().mutex);
            world().live.erase(object);
        }
        Class* of = object->isa;
        --of->live;
        --counter("objects");
        of->destroy(object);
    }
}

Object* autorelease(Object* object) {
    if (object != nullptr) {
        if (pools().empty()) {
            violation("an object of " + object->isa->name + " is autoreleased without a pool");
            pools().emplace_back();
        }
        pools().back().push_back(object);
    }
    return object;
}

void* push_pool() {
    pools().emplace_back();
    return reinterpret_cast<void*>(pools().size());
}

void pop_pool(void* token) {
    const auto level = reinterpret_cast<std::size_t>(token);
    if (level == 0 || level > pools().size()) {
        crash("an autorelease pool is popped that is not there");
    }
    while (pools().size() >= level) {
        const auto objects = std::move(pools().back());
        pools().pop_back();
        for (auto object = objects.rbegin(); object != objects.rend(); ++object) {
            release(*object);
        }
    }
}

bool is_kind(const Object* object, const Class* of) {
    return object != nullptr && object->isa == of;
}

void violation(const std::string& text) {
    ++counter("violations");
    std::fprintf(stderr, "stand-in: violation: %s\n", text.c_str());
}

void crash(const std::string& text) {
    std::fprintf(stderr, "stand-in: crash: %s\n", text.c_str());
    std::abort();
}

void raise(const std::string& reason) {
    struct Exception {
        std::string reason;
    };
    throw Exception{reason};
}

std::atomic<long>& counter(const std::string& name) {
    static auto* mutex = new std::mutex;
    const std::lock_guard lock(*mutex);
    auto& found = world().counters[name];
    if (!found) {
        found = std::make_unique<std::atomic<long>>(0);
    }
    return *found;
}

namespace {

Object* object_retain(Object* self, Selector*) {
    return retain(self);
}
void object_release(Object* self, Selector*) {
    release(self);
}

const Maker object_maker = Maker("NSObject", [](Object* object) { delete object; })
                               .on_object("retain", "@16@0:8", object_retain)
                               .on_object("release", "Vv16@0:8", object_release);

// --- the C functions of the runtime ---

Bool return_nothing() {
    return 0;
}

}  // namespace

extern "C" {

Class* objc_getClass(const char* name) {
    return faults().hides_class(name) ? nullptr : find_class(name);
}

Class* object_getClass(Object* object) {
    return object == nullptr ? nullptr : object->isa;
}

Selector* sel_registerName(const char* name) {
    return selector(name);
}

Method* class_getInstanceMethod(Class* of, Selector* name) {
    if (of == nullptr || name == nullptr || faults().hides_selector(name->name)) {
        return nullptr;
    }
    Method* found = find_method(of, name);
    if (found != nullptr && faults().changes_selector(name->name)) {
        static auto* changed = new Method{"v16@0:8", nullptr, name};
        return changed;
    }
    return found;
}

const char* method_getTypeEncoding(Method* method) {
    return method == nullptr ? nullptr : method->types.c_str();
}

Implementation class_getMethodImplementation(Class* of, Selector* name) {
    Method* found = of == nullptr ? nullptr : find_method(of, name);
    if (found == nullptr) {
        crash("a message that nobody answers: " + (name == nullptr ? "" : name->name));
    }
    return found->function;
}

/// What objc_msgSend jumps to.
Implementation pome_standin_lookup(Object* receiver, Selector* name) {
    if (receiver == nullptr) {
        return reinterpret_cast<Implementation>(return_nothing);
    }
    expect_live(receiver, "a message to");
    return class_getMethodImplementation(receiver->isa, name);
}

// Lists for `pome probe --classes`: memory of malloc, the caller's. A null pointer ends them, as on
// macOS.

const char* class_getImageName(Class*) {
    return "standin";  // all classes come from one library here
}

const char** objc_copyClassNamesForImage(const char* image, unsigned* count) {
    const std::lock_guard lock(world().mutex);
    const bool known = std::strcmp(image, "standin") == 0;
    const auto size = known ? world().classes.size() : 0;
    auto** names = static_cast<const char**>(std::calloc(size + 1, sizeof(char*)));
    unsigned at = 0;
    for (const auto& [name, made] : world().classes) {
        if (known && !faults().hides_class(name)) {
            names[at++] = made->name.c_str();
        }
    }
    *count = at;
    return names;
}

Method** class_copyMethodList(Class* of, unsigned* count) {
    auto** list = static_cast<Method**>(std::calloc(of->methods.size() + 1, sizeof(Method*)));
    *count = 0;
    for (auto& [name, method] : of->methods) {
        list[(*count)++] = &method;
    }
    return list;
}

Class* class_getSuperclass(Class* of) {
    return of->super;
}

const char* class_getName(Class* of) {
    return of->name.c_str();
}

const Selector* method_getName(Method* method) {
    return method->name;
}

const char* sel_getName(const Selector* name) {
    return name->name.c_str();
}

void* objc_autoreleasePoolPush() {
    return push_pool();
}

void objc_autoreleasePoolPop(void* token) {
    pop_pool(token);
}

}  // extern "C"

}  // namespace standin
