#include <algorithm>
#include <array>

#include "capi/open_handles.h"
#include "capi/surface_handle.h"
#include "device/legalize/boundary.h"
#include "mil/text.h"
#include "train/surface_io.h"

using namespace pome;
using namespace pome::capi;

namespace pome::capi {

std::shared_ptr<SurfaceHandle> surface_of(pome_surface* surface) {
    return Handles::all().find<SurfaceHandle>(surface, "pome_surface");
}

}  // namespace pome::capi

namespace {

constexpr std::string_view here = "capi.program";

struct ProgramHandle : Object {
    std::shared_ptr<OpenedDevice> opened;  // outlives the executable
    std::unique_ptr<device::Executable> executable;
};

std::shared_ptr<ProgramHandle> program_of(pome_program* program) {
    return Handles::all().find<ProgramHandle>(program, "pome_program");
}

void describe(const std::vector<mil::NamedType>& values, std::string_view kind, size_t index,
              const char** name, pome_tensor_type* type) {
    if (index >= values.size()) {
        fail(Code::invalid_argument, here, "the program has {} {}s, no number {}", values.size(),
             kind, index);
    }
    if (type != nullptr) {
        *type = type_of(values[index].type.dtype, values[index].type.shape);
    }
    if (name != nullptr) {
        *name = values[index].name.c_str();
    }
}

void expect_floats(const device::Surface& surface, const void* values, size_t count) {
    const DType dtype = surface.type().dtype;
    if ((dtype != DType::fp16 && dtype != DType::fp32) ||
        count != static_cast<size_t>(surface.elements())) {
        fail(Code::surface_mismatch, here, "{} values for a surface of {}", count,
             surface.type().text());
    }
    given(values, "values");
}

}  // namespace

pome_status pome_surface_create(const pome_tensor_type* type, pome_surface** surface) {
    return guarded([&] {
        given(type, "type");
        given(surface, "surface");
        constexpr std::array dtypes{DType::fp16, DType::fp32, DType::int32};
        const auto code = static_cast<unsigned>(type->dtype);
        if (code >= dtypes.size() || type->rank < 0 || type->rank > POME_MAX_RANK) {
            fail(Code::invalid_argument, here,
                 "dtype {} and rank {}: a surface is fp16, fp32 or int32 of rank 0 to {}", code,
                 type->rank, POME_MAX_RANK);
        }
        const std::vector<std::int64_t> sizes(type->sizes, type->sizes + type->rank);
        if (std::any_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size < 1; })) {
            fail(Code::invalid_argument, here, "shape {} has a size below 1", Shape(sizes).text());
        }
        auto handle = std::make_shared<SurfaceHandle>();
        handle->surface = device::Surface(mil::Type::tensor(dtypes[code], Shape(sizes)));
        *surface = static_cast<pome_surface*>(Handles::all().add(std::move(handle)));
    });
}

void pome_surface_destroy(pome_surface* surface) {
    guarded([&] { Handles::all().remove(surface); });
}

pome_status pome_surface_type(pome_surface* surface, pome_tensor_type* type) {
    return guarded([&] {
        const auto found = surface_of(surface);
        *given(type, "type") = type_of(found->surface.type().dtype, found->surface.type().shape);
    });
}

pome_status pome_surface_data(pome_surface* surface, void** data, size_t* bytes) {
    return guarded([&] {
        const auto found = surface_of(surface);
        given(data, "data");
        *given(bytes, "bytes") = found->surface.bytes().size();
        *data = found->surface.bytes().data();
    });
}

pome_status pome_surface_write_floats(pome_surface* surface, const float* values, size_t count) {
    return guarded([&] {
        const auto found = surface_of(surface);
        expect_floats(found->surface, values, count);
        const std::lock_guard lock(found->mutex);
        ThreadPool pool(1);
        train::store(values, found->surface, pool);
    });
}

pome_status pome_surface_read_floats(pome_surface* surface, float* values, size_t count) {
    return guarded([&] {
        const auto found = surface_of(surface);
        expect_floats(found->surface, values, count);
        const std::lock_guard lock(found->mutex);
        ThreadPool pool(1);
        train::load(found->surface, values, pool);
    });
}

pome_status pome_program_compile(pome_device* device, const char* mil, size_t length,
                                 const pome_weight_file* files, size_t count,
                                 const pome_compile_options* options, pome_program** program) {
    return guarded([&] {
        given(program, "program");
        auto made = std::make_shared<ProgramHandle>();
        made->opened = Handles::all().find<DeviceHandle>(device, "pome_device")->opened;
        const pome_compile_options wanted = options_of(options, "pome_compile_options");
        mil::Package package;
        given(mil, "mil");
        if (count > 0) {
            given(files, "files");
        }
        for (size_t i = 0; i < count; ++i) {
            const auto* bytes = static_cast<const std::byte*>(given(files[i].bytes, "files.bytes"));
            package.weights.add(given(files[i].path, "files.path"), {bytes, bytes + files[i].size});
        }
        package.program = mil::read({mil, length});
        const std::string function = wanted.function == nullptr ? "main" : wanted.function;
        const std::lock_guard lock(made->opened->mutex);
        device::Device& on = *made->opened->device;
        made->executable = wanted.legalize != 0 ? device::compile_legalized(on, package, function)
                                                : on.compile(package, function);
        *program = static_cast<pome_program*>(Handles::all().add(std::move(made)));
    });
}

void pome_program_destroy(pome_program* program) {
    guarded([&] { Handles::all().remove(program); });
}

pome_status pome_program_counts(pome_program* program, size_t* inputs, size_t* outputs) {
    return guarded([&] {
        const auto found = program_of(program);
        *given(inputs, "inputs") = found->executable->inputs().size();
        *given(outputs, "outputs") = found->executable->outputs().size();
    });
}

pome_status pome_program_input(pome_program* program, size_t index, const char** name,
                               pome_tensor_type* type) {
    return guarded(
        [&] { describe(program_of(program)->executable->inputs(), "input", index, name, type); });
}

pome_status pome_program_output(pome_program* program, size_t index, const char** name,
                                pome_tensor_type* type) {
    return guarded(
        [&] { describe(program_of(program)->executable->outputs(), "output", index, name, type); });
}

pome_status pome_program_evaluate(pome_program* program, const pome_binding* bindings,
                                  size_t count) {
    return guarded([&] {
        const auto found = program_of(program);
        if (count > 0) {
            given(bindings, "bindings");
        }
        std::vector<std::shared_ptr<SurfaceHandle>> held;  // to the end of the evaluation
        device::Bindings bound;
        for (size_t i = 0; i < count; ++i) {
            const std::string name = given(bindings[i].name, "bindings.name");
            held.push_back(surface_of(bindings[i].surface));
            device::Surface& surface = held.back()->surface;
            const auto names = [&](const std::vector<mil::NamedType>& values) {
                return std::any_of(values.begin(), values.end(),
                                   [&](const mil::NamedType& v) { return v.name == name; });
            };
            const bool is_input = names(found->executable->inputs());
            if (!is_input && !names(found->executable->outputs())) {
                fail(Code::invalid_argument, here, "the program has no input or output '{}'", name);
            }
            if (is_input ? !bound.inputs.emplace(name, &surface).second
                         : !bound.outputs.emplace(name, &surface).second) {
                fail(Code::invalid_argument, here, "'{}' is bound twice", name);
            }
        }
        for (const auto& [name, surface] : bound.outputs) {
            for (size_t i = 0; i < count; ++i) {
                if (&held[i]->surface == surface && name != bindings[i].name) {
                    fail(Code::surface_mismatch, here,
                         "'{}' and '{}' are bound to one surface; an output needs one of its own",
                         name, bindings[i].name);
                }
            }
        }
        std::sort(held.begin(), held.end());  // one order for all threads
        held.erase(std::unique(held.begin(), held.end()), held.end());
        std::vector<std::unique_lock<std::mutex>> locks;
        for (const auto& surface : held) {
            locks.emplace_back(surface->mutex);
        }
        const std::lock_guard lock(found->opened->mutex);
        found->executable->evaluate(bound);
    });
}
