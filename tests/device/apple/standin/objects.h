// A small Objective-C runtime for tests: classes, selectors, reference counts, autorelease pools.
// What the system would answer with a crash ends the process here too, with a sentence; what it
// would forgive, and we do not want to rely on, is noted as a violation.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace standin {

struct Class;
struct Selector {
    std::string name;
};
using Implementation = void (*)();
using Bool = unsigned char;

struct Object {
    Class* isa = nullptr;
    std::atomic<long> references{1};
};

struct Method {
    std::string types;
    Implementation function = nullptr;
    const Selector* name = nullptr;
};

struct Class : Object {
    std::string name;
    Class* super = nullptr;
    std::map<const Selector*, Method> methods;
    void (*destroy)(Object*) = nullptr;
    std::atomic<long> live{0};
};

Selector* selector(const std::string& name);
/// A class by name; nullptr when there is none.
Class* find_class(const std::string& name);
/// The method that objects of a class answer with, its own or inherited.
Method* find_method(Class* of, const Selector* name);

/// Makes a class, with NSObject above it unless it is that.
class Maker {
  public:
    Maker(const char* name, void (*destroy)(Object*));
    template <typename Function>
    Maker& on_class(const char* name, const char* types, Function function) {
        made_->isa->methods[selector(name)] = {types, reinterpret_cast<Implementation>(function),
                                               selector(name)};
        return *this;
    }
    template <typename Function>
    Maker& on_object(const char* name, const char* types, Function function) {
        made_->methods[selector(name)] = {types, reinterpret_cast<Implementation>(function),
                                          selector(name)};
        return *this;
    }
    Class* get() const { return made_; }

  private:
    Class* made_;
};

/// A new object, owned by the caller.
template <typename T>
T* make(Class* of) {
    auto* made = new T;
    made->isa = of;
    extern void note_birth(Object*);
    note_birth(made);
    return made;
}
template <typename T>
void destroy_as(Object* object) {
    delete static_cast<T*>(object);
}

Object* retain(Object* object);
void release(Object* object);
/// Hands an owned object over to the innermost pool of this thread.
Object* autorelease(Object* object);
void* push_pool();
void pop_pool(void* token);
bool is_kind(const Object* object, const Class* of);

/// Something that the real system may let pass or not.
void violation(const std::string& text);
/// What would crash the process on the real system.
[[noreturn]] void crash(const std::string& text);
/// A thrown NSException.
[[noreturn]] void raise(const std::string& reason);

// Foundation.
struct String : Object {
    std::string text;
};
struct Number : Object {
    std::uint64_t value = 0;
};
struct Data : Object {
    std::string bytes;
};
struct Array : Object {
    std::vector<Object*> items;
    ~Array();
};
struct Dictionary : Object {
    std::vector<std::pair<Object*, Object*>> entries;
    ~Dictionary();
    /// The value of a key that is a string; nullptr when there is none.
    Object* find(const std::string& key) const;
};
struct Url : Object {
    std::string path;
    bool directory = false;
};
struct ErrorObject : Object {
    Object *domain = nullptr, *text = nullptr;
    std::int64_t code = 0;
    ~ErrorObject();
};
extern Class *string_class, *number_class, *data_class, *array_class, *dictionary_class, *url_class,
    *error_class;
/// The object as T, or nullptr when it is nil or of another class.
template <typename T>
T* as(Object* object, const Class* of) {
    return is_kind(object, of) ? static_cast<T*>(object) : nullptr;
}
String* make_string(const std::string& text);
/// Sets *error, when it is asked for, to an autoreleased NSError. Returns NO.
Bool refuse(Object** error, const char* domain, std::int64_t code, const std::string& text);

// Surfaces.
struct Surface : Object {
    std::size_t bytes = 0;
    std::byte* host = nullptr;    ///< may be written while it is locked for that
    std::byte* engine = nullptr;  ///< the same memory for the engine
    int read_locks = 0, write_locks = 0;
    ~Surface();
};
extern Class* io_surface_class;

/// Counters by name, for the tests.
std::atomic<long>& counter(const std::string& name);

}  // namespace standin
