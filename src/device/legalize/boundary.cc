#include "device/legalize/boundary.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "device/legalize/legalize.h"

namespace pome::device {
namespace {

constexpr std::string_view here = "device.boundary";

/// Visits the rows of a part's box: element offset of the row in the old value, in the part's
/// surface, and the row's length. Rows are runs that are dense in both.
template <typename Visit>
void for_rows(const BoundaryPart& part, Visit visit) {
    // The box's elements in order: `at(i)` in the old value by view, begin and size; in the surface
    // by placed and the type's own sizes.
    const auto view_strides = part.view.strides(), type_strides = part.type.shape.strides();
    const std::int64_t total = part.size.elements();
    if (total == 0) {
        return;
    }
    const auto offset = [](std::int64_t index, const Shape& sizes,
                           const std::vector<std::int64_t>& strides) {
        std::int64_t result = 0;
        for (int axis = sizes.rank() - 1; axis >= 0; --axis) {
            result += index % sizes[axis] * strides[static_cast<std::size_t>(axis)];
            index /= sizes[axis];
        }
        return result;
    };
    std::int64_t first = 0;
    for (std::size_t axis = 0; axis < part.begin.size(); ++axis) {
        first += part.begin[axis] * view_strides[axis];
    }
    const std::int64_t in_view = part.size.rank() == 0 ? 1 : part.size[-1];
    const std::int64_t in_type = part.placed.rank() == 0 ? 1 : part.placed[-1];
    for (std::int64_t at = 0; at < total;) {
        const std::int64_t run = std::min(in_view - at % in_view, in_type - at % in_type);
        visit(first + offset(at, part.size, view_strides), offset(at, part.placed, type_strides),
              run);
        at += run;
    }
}

void expect(const Surface& surface, const mil::Type& type, const std::string& name) {
    if (surface.type() != type) {
        fail(Code::surface_mismatch, here, "'{}' is {}, its surface holds {}", name, type.text(),
             surface.type().text());
    }
}

template <typename Map>
auto& find(const Map& surfaces, const BoundaryPart& part) {
    const auto found = surfaces.find(part.name);
    if (found == surfaces.end() || found->second == nullptr) {
        fail(Code::binding_missing, here, "'{}' ({}) has no surface", part.name, part.type.text());
    }
    expect(*found->second, part.type, part.name);
    return *found->second;
}

void expect_convertible(const mil::Type& from, const mil::Type& to, const std::string& name) {
    const bool floats = from.dtype == DType::fp32 && to.dtype == DType::fp16;
    const bool widened = from.dtype == DType::fp16 && to.dtype == DType::fp32;
    if (from.dtype != to.dtype && !floats && !widened) {
        fail(Code::surface_mismatch, here, "'{}' cannot be turned from {} into {}", name,
             from.text(), to.text());
    }
}

/// Copies `count` elements from one surface to another, converting fp16 and fp32.
void copy(const Surface& from, std::int64_t from_at, Surface& to, std::int64_t to_at,
          std::int64_t count) {
    const DType source = from.type().dtype, target = to.type().dtype;
    if (source == target) {
        const std::size_t size = size_in_memory(source);
        std::memcpy(to.bytes().data() + static_cast<std::size_t>(to_at) * size,
                    from.bytes().data() + static_cast<std::size_t>(from_at) * size,
                    static_cast<std::size_t>(count) * size);
    } else if (source == DType::fp32) {
        for (std::int64_t i = 0; i < count; ++i) {
            to.halves()[to_at + i] = to_fp16(from.floats()[from_at + i], Rounding::nearest_away);
        }
    } else {
        for (std::int64_t i = 0; i < count; ++i) {
            to.floats()[to_at + i] = to_float(from.halves()[from_at + i]);
        }
    }
}

/// A compiled program behind its original boundary.
class LegalizedExecutable final : public Executable {
  public:
    LegalizedExecutable(std::unique_ptr<Executable> inner, const mil::Function& original,
                        Boundary boundary)
        : Executable(original.parameters, output_types(original)),
          inner_(std::move(inner)),
          boundary_(std::move(boundary)) {
        for (const auto& change : boundary_) {
            changed_.emplace((change.is_input ? "in " : "out ") + change.name);
            for (const auto& part : change.parts) {
                surfaces_.emplace((change.is_input ? "in " : "out ") + part.name,
                                  Surface(part.type));
            }
        }
    }

    Arithmetic arithmetic() const override { return inner_->arithmetic(); }

  private:
    void run(const Bindings& bindings) override {
        Bindings inner;
        for (const auto& [name, surface] : bindings.inputs) {
            if (!changed_.contains("in " + name)) {
                inner.inputs[name] = surface;
            }
        }
        for (const auto& [name, surface] : bindings.outputs) {
            if (!changed_.contains("out " + name)) {
                inner.outputs[name] = surface;
            }
        }
        for (const auto& change : boundary_) {
            std::map<std::string, Surface*, std::less<>> parts;
            for (const auto& part : change.parts) {
                Surface& surface = surfaces_.at((change.is_input ? "in " : "out ") + part.name);
                parts[part.name] = &surface;
                if (change.is_input) {
                    inner.inputs[part.name] = &surface;
                } else {
                    inner.outputs[part.name] = &surface;
                }
            }
            if (change.is_input) {
                copy_in(change, *bindings.inputs.find(change.name)->second, parts);
            }
        }
        inner_->evaluate(inner);
        for (const auto& change : boundary_) {
            if (change.is_input) {
                continue;
            }
            std::map<std::string, const Surface*, std::less<>> parts;
            for (const auto& part : change.parts) {
                parts[part.name] = &surfaces_.at("out " + part.name);
            }
            copy_out(change, parts, *bindings.outputs.find(change.name)->second);
        }
    }

    std::unique_ptr<Executable> inner_;
    Boundary boundary_;
    std::set<std::string, std::less<>> changed_;  ///< "in NAME", "out NAME"
    std::map<std::string, Surface, std::less<>> surfaces_;
};

}  // namespace

void copy_in(const BoundaryChange& change, const Surface& from,
             const std::map<std::string, Surface*, std::less<>>& to) {
    expect(from, change.type, change.name);
    for (const auto& part : change.parts) {
        Surface& surface = find(to, part);
        expect_convertible(change.type, part.type, change.name);
        for_rows(part, [&](std::int64_t old_at, std::int64_t new_at, std::int64_t count) {
            copy(from, old_at, surface, new_at, count);
        });
    }
}

void copy_out(const BoundaryChange& change,
              const std::map<std::string, const Surface*, std::less<>>& from, Surface& to) {
    expect(to, change.type, change.name);
    for (const auto& part : change.parts) {
        const Surface& surface = find(from, part);
        expect_convertible(part.type, change.type, change.name);
        for_rows(part, [&](std::int64_t old_at, std::int64_t new_at, std::int64_t count) {
            copy(surface, new_at, to, old_at, count);
        });
    }
}

std::unique_ptr<Executable> behind_boundary(std::unique_ptr<Executable> rewritten,
                                            const mil::Function& original, Boundary boundary) {
    if (boundary.empty()) {
        return rewritten;
    }
    return std::make_unique<LegalizedExecutable>(std::move(rewritten), original,
                                                 std::move(boundary));
}

std::unique_ptr<Executable> compile_legalized(Device& device, const mil::Package& package,
                                              std::string_view function) {
    Legalized legal = legalize(package, device.profile(), function);
    std::unique_ptr<Executable> inner;
    try {
        inner = device.compile(legal.package, function);
    } catch (const Error& error) {
        if (legal.refusals.empty()) {
            throw;
        }
        std::string reasons;
        for (const auto& refusal : legal.refusals) {
            reasons += "; not rewritten: " + refusal.text();
        }
        throw Error(error.code(), error.where(), error.message() + reasons);
    }
    return behind_boundary(std::move(inner), *package.program.find_function(function),
                           std::move(legal.boundary));
}

}  // namespace pome::device
