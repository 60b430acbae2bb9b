// The private framework: strict about the order of calls, types and counts, and executing programs
// with the emulator as the chip would, silent failures included.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/thread_pool.h"
#include "device/emulator/emulator.h"
#include "faults.h"
#include "mil/text.h"
#include "objects.h"

namespace standin {

void register_foundation();

namespace {

namespace fs = std::filesystem;
namespace device = pome::device;

constexpr const char* engine_domain = "com.apple.appleneuralengine";
constexpr const char* compiler_domain = "com.apple.appleneuralengine.compiler";
constexpr const char* espresso_domain = "com.apple.appleneuralengine.espresso";
constexpr const char* inference_error =
    "ANEProgramProcessRequestDirect() Failed with status=0x1d : statusType=0x9: Program Inference "
    "error";

Class *descriptor_class, *memory_model_class, *surface_object_class, *request_class, *model_class,
    *client_class, *device_info_class;

// --- the engine ---

/// A program that was compiled; the same for both routes.
struct Compiled {
    std::unique_ptr<device::Executable> executable;
    std::vector<std::string> inputs, outputs;  ///< in the order of names, as they are bound
    std::map<std::string, device::Surface> surfaces;
    std::map<std::string, device::Surface> former_inputs;
};

struct Chip {
    std::mutex mutex;  // one evaluation and one compile at a time
    pome::ThreadPool pool{1};
    std::map<std::string, std::unique_ptr<device::Device>> routes;
    std::shared_ptr<device::Process> process = std::make_shared<device::Process>();

    device::Device& route(const std::string& name) {
        auto& found = routes[name];
        if (!found) {
            std::string brand = faults().on("brand") ? faults().text("brand") : "Apple M4";
            std::string chip;
            for (const char c : brand.substr(brand.find(' ') + 1)) {
                if (c != ' ') {
                    chip += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
                }
            }
            const auto known = device::known_chips();
            if (std::find(known.begin(), known.end(), chip) == known.end()) {
                chip = "m1";
            }
            device::emulator::Options options;
            options.strictness = device::Strictness::as_hardware;
            options.process = process;
            found = device::emulator::make_emulator(chip + "/" + name, options, pool);
        }
        return *found;
    }
};

Chip& chip() {
    static auto* made = new Chip;
    return *made;
}

[[noreturn]] void hang() {
    for (;;) {
        ::sleep(1000);
    }
}

/// The faults that strike a counted call. Returns whether it is to be refused.
bool struck(const std::string& kind, long call) {
    if (faults().begun(kind + "_hang", call)) {
        hang();
    }
    if (faults().begun(kind + "_crash", call)) {
        crash(kind + " crashes on demand");
    }
    if (faults().begun(kind + "_exception", call)) {
        raise(kind + " throws on demand");
    }
    return faults().begun(kind + "_refused", call);
}

std::optional<std::string> read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return std::nullopt;
    }
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

Bool compile_directory(const fs::path& directory, const std::string& route,
                       std::shared_ptr<Compiled>& compiled, Object** error) {
    const long call = ++counter("compiles");
    if (struck("compile", call)) {
        return refuse(error, compiler_domain, 1,
                      "_ANECompiler : ANECCompile() FAILED err=(InvalidMILProgram)");
    }
    if (call > faults().number("budget", 1L << 40)) {
        return refuse(error, compiler_domain, 1, "_ANECompiler : ANECCompile() FAILED err=()");
    }
    const auto text = read(directory / "model.mil");
    if (!text) {
        violation("compile of a directory without model.mil");
        return refuse(error, engine_domain, 16, "file not found");
    }
    struct stat status {};
    if (::stat(directory.c_str(), &status) == 0 && (status.st_mode & 0077) != 0) {
        violation("the program's directory is open to others");
    }
    const std::lock_guard lock(chip().mutex);
    try {
        pome::mil::Package package;
        package.program = pome::mil::read(*text, "model.mil");
        package.weights = pome::mil::WeightFiles::load(package.program, directory);
        auto made = std::make_shared<Compiled>();
        made->executable = chip().route(route).compile(package);
        for (const auto& input : made->executable->inputs()) {
            made->inputs.push_back(input.name);
        }
        for (const auto& output : made->executable->outputs()) {
            made->outputs.push_back(output.name);
        }
        std::sort(made->inputs.begin(), made->inputs.end());
        std::sort(made->outputs.begin(), made->outputs.end());
        compiled = std::move(made);
    } catch (const pome::Error& failure) {
        // The system is terse. Whoever looks for the reason finds it in the log.
        std::fprintf(stderr, "stand-in: compile: %s\n", failure.text().c_str());
        const std::string reason =
            failure.code() == pome::Code::compile_failed
                ? (failure.text().find("limits.") != std::string::npos ? "()"
                                                                       : "(CompilationFailure)")
                : "(InvalidMILProgram)";
        return refuse(error, compiler_domain, 1,
                      "_ANECompiler : ANECCompile() FAILED err=" + reason);
    }
    std::ofstream(directory / "net.plist") << "plist";
    std::ofstream(directory / "data") << "data";
    return 1;
}

Bool load_compiled(const std::shared_ptr<Compiled>& compiled, bool& loaded, Object** error) {
    const long call = ++counter("loads");
    if (faults().on("load_slots") && call == faults().number("load_slots", 1)) {
        return refuse(error, engine_domain, 6, "Program load failure (0x50004)");
    }
    if (faults().begun("load_refused", call)) {
        return refuse(error, engine_domain, 6, "Program load failure (0x20004)");
    }
    if (!compiled) {
        violation("load of a program that is not compiled");
        return refuse(error, engine_domain, 10, "invalid model");
    }
    if (loaded) {
        violation("a program is loaded twice");
    }
    loaded = true;
    ++counter("loaded");
    return 1;
}

void unload_compiled(bool& loaded) {
    if (faults().on("unload_hang")) {
        hang();
    }
    if (!loaded) {
        violation("unload of a program that is not loaded");
        return;
    }
    loaded = false;
    --counter("loaded");
}

struct SurfaceObject : Object {
    Surface* surface = nullptr;
    ~SurfaceObject() { release(surface); }
};

struct Request : Object {
    std::vector<Surface*> inputs, outputs;
    Array *input_objects = nullptr, *output_objects = nullptr;
    ~Request() {
        release(input_objects);
        release(output_objects);
        --counter("requests");
    }
};

void exchange_first_alike(std::vector<std::string>& names, const Compiled& compiled, bool inputs) {
    const auto& types = inputs ? compiled.executable->inputs() : compiled.executable->outputs();
    const auto type_of = [&](const std::string& name) {
        return std::find_if(types.begin(), types.end(),
                            [&](const auto& value) { return value.name == name; })
            ->type;
    };
    for (std::size_t i = 1; i < names.size(); ++i) {
        if (type_of(names[i]) == type_of(names[0])) {
            std::swap(names[0], names[i]);
            return;
        }
    }
}

/// The emulator's own surface for a name, of the size of the bound one.
device::Surface& staged(Compiled& compiled, const std::string& key,
                        const pome::mil::NamedType& value, std::size_t allocation) {
    auto& surface = compiled.surfaces[key + value.name];
    if (surface.allocation() != allocation) {
        surface = device::Surface(value.type, allocation);
    }
    return surface;
}

Bool evaluate_compiled(Compiled* compiled, bool loaded, Object* request, Object** error) {
    const long call = ++counter("evaluations");
    if (struck("evaluate", call)) {
        return refuse(error, engine_domain, 8, inference_error);
    }
    auto* bound = as<Request>(request, request_class);
    if (bound == nullptr || compiled == nullptr || !loaded) {
        violation("evaluate of a program that is not loaded, or without a request");
        return refuse(error, engine_domain, 23, "inference: program not found");
    }
    if (bound->inputs.size() != compiled->inputs.size() ||
        bound->outputs.size() != compiled->outputs.size()) {
        violation("a request with another number of surfaces than the program has");
        return refuse(error, engine_domain, 8, inference_error);
    }
    const std::lock_guard lock(chip().mutex);
    for (const auto* list : {&bound->inputs, &bound->outputs}) {
        for (const Surface* surface : *list) {
            if (surface->write_locks > 0) {
                violation("a surface is locked for writing while the engine works");
            }
        }
    }
    auto inputs = compiled->inputs, outputs = compiled->outputs;
    if (faults().begun("exchanged_inputs", call)) {
        exchange_first_alike(inputs, *compiled, true);
    }
    if (faults().begun("exchanged_outputs", call)) {
        exchange_first_alike(outputs, *compiled, false);
    }
    const bool stale = faults().begun("stale_inputs", call);
    device::Bindings bindings;
    try {
        for (const auto& value : compiled->executable->inputs()) {
            const auto at = std::find(inputs.begin(), inputs.end(), value.name) - inputs.begin();
            const Surface& from = *bound->inputs[static_cast<std::size_t>(at)];
            device::Surface& to = staged(*compiled, "in ", value, from.bytes);
            auto& former = compiled->former_inputs[value.name];
            if (!stale || former.elements() == 0) {
                std::memcpy(to.bytes().data(), from.engine, to.bytes().size());
                if (faults().on("stale_inputs")) {
                    former = device::Surface(value.type);
                    std::memcpy(former.bytes().data(), from.engine, to.bytes().size());
                }
            }
            bindings.inputs[value.name] = &to;
        }
        for (const auto& value : compiled->executable->outputs()) {
            const auto at = std::find(outputs.begin(), outputs.end(), value.name) - outputs.begin();
            bindings.outputs[value.name] = &staged(
                *compiled, "out ", value, bound->outputs[static_cast<std::size_t>(at)]->bytes);
        }
        compiled->executable->evaluate(bindings);
    } catch (const pome::Error& failure) {
        std::fprintf(stderr, "stand-in: evaluate: %s\n", failure.text().c_str());
        return refuse(error, engine_domain, 8, inference_error);
    }
    if (faults().begun("stale_outputs", call)) {
        return 1;
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        const auto& from = *bindings.outputs.find(outputs[i])->second;
        const auto bytes = std::as_const(from).bytes();
        std::memcpy(bound->outputs[i]->engine, bytes.data(), bytes.size());
        if (faults().begun("zeros", call)) {
            std::memset(bound->outputs[i]->engine, 0, bytes.size());
        }
        if (faults().begun("nan", call)) {
            std::memset(bound->outputs[i]->engine, 0x7F, 4);
        }
    }
    return 1;
}

// --- in-memory models ---

struct Descriptor : Object {
    std::string text, hash;
    std::map<std::string, std::string> weights;
};

std::string hex_hash(const std::string& bytes) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : bytes) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    char text[17];
    std::snprintf(text, sizeof text, "%016llX", static_cast<unsigned long long>(hash));
    return text;
}

Object* make_descriptor(Object*, Selector*, Object* text, Object* weights, Object*) {
    if (faults().on("nil_descriptor")) {
        return nullptr;
    }
    const auto* bytes = as<Data>(text, data_class);
    const auto* files = as<Dictionary>(weights, dictionary_class);
    if (bytes == nullptr || files == nullptr) {
        violation("a descriptor of no NSData, or of nil weights");
        return nullptr;
    }
    auto* made = make<Descriptor>(descriptor_class);
    autorelease(made);
    made->text = bytes->bytes;
    std::string all;
    for (const auto& [key, value] : files->entries) {
        const auto* name = as<String>(key, string_class);
        const auto* entry = as<Dictionary>(value, dictionary_class);
        const auto* data = entry ? as<Data>(entry->find("data"), data_class) : nullptr;
        const auto* offset = entry ? as<Number>(entry->find("offset"), number_class) : nullptr;
        if (!name || !data || !offset || !name->text.starts_with("@model_path/")) {
            violation("a weight that is no {offset, data} by its path");
            return nullptr;
        }
        made->weights[name->text.substr(12)] = data->bytes;
        all += name->text + data->bytes;
    }
    made->hash = hex_hash(made->text) + "_" + hex_hash(all) + "_" + hex_hash("");
    return made;
}

struct MemoryModel : Object {
    Descriptor* descriptor = nullptr;
    std::shared_ptr<Compiled> compiled;
    bool loaded = false;
    ~MemoryModel() {
        if (loaded) {
            violation("a model goes while it is loaded");
            unload_compiled(loaded);
        }
        release(descriptor);
    }
};

Object* make_memory_model(Object*, Selector*, Object* descriptor) {
    if (!is_kind(descriptor, descriptor_class)) {
        return nullptr;
    }
    auto* made = make<MemoryModel>(memory_model_class);
    made->descriptor = static_cast<Descriptor*>(retain(descriptor));
    return autorelease(made);
}

Object* memory_identifier(Object* self, Selector*) {
    return autorelease(make_string(static_cast<MemoryModel*>(self)->descriptor->hash));
}

void expect_call(std::uint32_t quality, Object* options) {
    if (quality != 21) {
        violation("another quality of service than 21");
    }
    if (!is_kind(options, dictionary_class)) {
        violation("options that are no dictionary");
    }
}

Bool memory_compile(Object* self, Selector*, std::uint32_t quality, Object* options,
                    Object** error) {
    expect_call(quality, options);
    auto* model = static_cast<MemoryModel*>(self);
    const char* temporary = std::getenv("TMPDIR");
    const fs::path directory =
        fs::path(temporary == nullptr ? "/tmp" : temporary) / model->descriptor->hash;
    if (read(directory / "model.mil") != model->descriptor->text) {
        violation("model.mil in the program's directory is not the descriptor's text");
    }
    for (const auto& [name, bytes] : model->descriptor->weights) {
        if (read(directory / name) != bytes) {
            violation("the weight file " + name + " is not the descriptor's");
        }
    }
    return compile_directory(directory, "in-memory", model->compiled, error);
}

Bool memory_load(Object* self, Selector*, std::uint32_t quality, Object* options, Object** error) {
    expect_call(quality, options);
    auto* model = static_cast<MemoryModel*>(self);
    return load_compiled(model->compiled, model->loaded, error);
}

Bool memory_evaluate(Object* self, Selector*, std::uint32_t quality, Object* options,
                     Object* request, Object** error) {
    expect_call(quality, options);
    auto* model = static_cast<MemoryModel*>(self);
    return evaluate_compiled(model->compiled.get(), model->loaded, request, error);
}

Bool memory_unload(Object* self, Selector*, std::uint32_t, Object**) {
    unload_compiled(static_cast<MemoryModel*>(self)->loaded);
    return 1;
}

// --- requests ---

Object* surface_object(Object*, Selector*, Surface* surface) {
    if (!is_kind(surface, io_surface_class)) {
        crash("objectWithIOSurface: no surface");
    }
    auto* made = make<SurfaceObject>(surface_object_class);
    made->surface = static_cast<Surface*>(retain(surface));
    return autorelease(made);
}

bool take_surfaces(Object* objects, Object* indices, std::vector<Surface*>& surfaces,
                   Array*& kept) {
    const auto* list = as<Array>(objects, array_class);
    const auto* numbers = as<Array>(indices, array_class);
    if (list == nullptr || numbers == nullptr || list->items.size() != numbers->items.size()) {
        violation("a request whose surfaces and indices are no arrays of one length");
        return false;
    }
    for (std::size_t i = 0; i < list->items.size(); ++i) {
        auto* object = as<SurfaceObject>(list->items[i], surface_object_class);
        const auto* number = as<Number>(numbers->items[i], number_class);
        if (object == nullptr || number == nullptr || number->value != i) {
            violation("a request with something else than surfaces and indices from 0");
            return false;
        }
        surfaces.push_back(object->surface);
    }
    kept = static_cast<Array*>(retain(objects));
    return true;
}

Object* make_request(Object*, Selector*, Object* inputs, Object* input_indices, Object* outputs,
                     Object* output_indices, Object* weights, Object* statistics,
                     Object* procedure) {
    const auto* index = as<Number>(procedure, number_class);
    if (index == nullptr || index->value != 0 || weights != nullptr || statistics != nullptr) {
        violation("a request of another form than the published programs make");
        return nullptr;
    }
    auto* made = make<Request>(request_class);
    ++counter("requests");
    autorelease(made);
    if (!take_surfaces(inputs, input_indices, made->inputs, made->input_objects) ||
        !take_surfaces(outputs, output_indices, made->outputs, made->output_objects)) {
        return nullptr;
    }
    return made;
}

// --- the client ---

struct ClientModel : Object {
    std::string path;
    std::shared_ptr<Compiled> compiled;
    bool loaded = false;
    ~ClientModel() {
        if (loaded) {
            violation("a model goes while it is loaded");
            unload_compiled(loaded);
        }
    }
};

Object* make_client_model(Object*, Selector*, Object* url, Object* key) {
    const auto* where = as<Url>(url, url_class);
    if (where == nullptr || !where->directory || !is_kind(key, string_class)) {
        violation("a model of no directory URL, or without a key");
        return nullptr;
    }
    auto* made = make<ClientModel>(model_class);
    made->path = where->path;
    return autorelease(made);
}

Object* shared_client(Object*, Selector*) {
    static Object* client = [] {
        Object* made = make<Object>(client_class);
        --counter("objects");  // never goes
        return made;
    }();
    return client;
}

Bool client_compile(Object*, Selector*, Object* object, Object* options, std::uint32_t quality,
                    Object** error) {
    expect_call(quality, options);
    auto* model = as<ClientModel>(object, model_class);
    const auto* given = as<Dictionary>(options, dictionary_class);
    const auto says = [&](const char* key, const char* value) {
        const auto* text = given ? as<String>(given->find(key), string_class) : nullptr;
        return text != nullptr && text->text == value;
    };
    if (model == nullptr || !says("kANEFModelType", "kANEFModelMIL") ||
        !says("kANEFNetPlistFilenameKey", "model.mil")) {
        return refuse(error, espresso_domain, -1, "model.espresso.net: no such file");
    }
    return compile_directory(model->path, "client", model->compiled, error);
}

Bool client_load(Object*, Selector*, Object* object, Object* options, std::uint32_t quality,
                 Object** error) {
    expect_call(quality, options);
    auto* model = as<ClientModel>(object, model_class);
    return model == nullptr ? refuse(error, engine_domain, 10, "invalid model")
                            : load_compiled(model->compiled, model->loaded, error);
}

Bool client_evaluate(Object*, Selector*, Object* object, Object* options, Object* request,
                     std::uint32_t quality, Object** error) {
    expect_call(quality, options);
    auto* model = as<ClientModel>(object, model_class);
    return evaluate_compiled(model == nullptr ? nullptr : model->compiled.get(),
                             model != nullptr && model->loaded, request, error);
}

Bool client_unload(Object*, Selector*, Object* object, Object* options, std::uint32_t quality,
                   Object** error) {
    expect_call(quality, options);
    auto* model = as<ClientModel>(object, model_class);
    if (model == nullptr) {
        return refuse(error, engine_domain, 10, "invalid model");
    }
    unload_compiled(model->loaded);
    return 1;
}

// --- what the machine is ---

Bool has_engine(Object*, Selector*) {
    return faults().on("no_engine") ? 0 : 1;
}

Object* engine_subtype(Object*, Selector*) {
    return autorelease(make_string("h16g"));
}

void register_framework() {
    descriptor_class =
        Maker("_ANEInMemoryModelDescriptor", destroy_as<Descriptor>)
            .on_class("modelWithMILText:weights:optionsPlist:", "@40@0:8@16@24@32", make_descriptor)
            .get();
    memory_model_class =
        Maker("_ANEInMemoryModel", destroy_as<MemoryModel>)
            .on_class("inMemoryModelWithDescriptor:", "@24@0:8@16", make_memory_model)
            .on_object("hexStringIdentifier", "@16@0:8", memory_identifier)
            .on_object("compileWithQoS:options:error:", "B36@0:8I16@20^@28", memory_compile)
            .on_object("loadWithQoS:options:error:", "B36@0:8I16@20^@28", memory_load)
            .on_object("evaluateWithQoS:options:request:error:", "B44@0:8I16@20@28^@36",
                       memory_evaluate)
            .on_object("unloadWithQoS:error:", "B28@0:8I16^@20", memory_unload)
            .get();
    surface_object_class =
        Maker("_ANEIOSurfaceObject", destroy_as<SurfaceObject>)
            .on_class("objectWithIOSurface:", "@24@0:8^{__IOSurface=}16", surface_object)
            .get();
    request_class = Maker("_ANERequest", destroy_as<Request>)
                        .on_class(
                            "requestWithInputs:inputIndices:outputs:outputIndices:"
                            "weightsBuffer:perfStats:procedureIndex:",
                            "@72@0:8@16@24@32@40@48@56@64", make_request)
                        .get();
    model_class = Maker("_ANEModel", destroy_as<ClientModel>)
                      .on_class("modelAtURL:key:", "@32@0:8@16@24", make_client_model)
                      .get();
    client_class =
        Maker("_ANEClient", destroy_as<Object>)
            .on_class("sharedConnection", "@16@0:8", shared_client)
            .on_object("compileModel:options:qos:error:", "B44@0:8@16@24I32^@36", client_compile)
            .on_object("loadModel:options:qos:error:", "B44@0:8@16@24I32^@36", client_load)
            .on_object("evaluateWithModel:options:request:qos:error:", "B52@0:8@16@24@32I40^@44",
                       client_evaluate)
            .on_object("unloadModel:options:qos:error:", "B44@0:8@16@24I32^@36", client_unload)
            .get();
    device_info_class = Maker("_ANEDeviceInfo", destroy_as<Object>)
                            .on_class("hasANE", "B16@0:8", has_engine)
                            .on_class("aneSubType", "@16@0:8", engine_subtype)
                            .get();
}

// At the end of the file: constructors run in the order of definition.
const bool registered = [] {
    register_foundation();
    register_framework();
    return true;
}();

}  // namespace

extern "C" {

/// See faults.h. Takes effect at once; a chip only after pome_standin_restart().
void pome_standin_set_faults(const char* list) {
    faults().set(list);
}

/// A counter: objects, surfaces, surface_bytes, requests, loaded, compiles, loads, evaluations,
/// violations.
long pome_standin_count(const char* what) {
    return counter(what).load();
}

/// As if the process had just begun: budgets are full, calls are counted from 1, no faults. What
/// lives stays.
void pome_standin_restart() {
    const std::lock_guard lock(chip().mutex);
    chip().routes.clear();
    chip().process = std::make_shared<device::Process>();
    faults().set("");
    for (const char* name : {"compiles", "loads", "evaluations", "violations"}) {
        counter(name) = 0;
    }
}

}  // extern "C"

}  // namespace standin
