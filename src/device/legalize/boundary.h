#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fp16.h"
#include "device/device.h"

namespace pome::device {

/// Where a part of an old input or output lies in the rewritten program. The old value's elements,
/// seen under the shape `view`, are cut: this part is the box of `size` from `begin`. The box's
/// elements, seen under the shape `placed`, lie at the origin of a surface of type `type`; the rest
/// of the surface is zero (inputs) or without meaning (outputs).
struct BoundaryPart {
    std::string name;  ///< the input or output of the rewritten program
    mil::Type type;    ///< its type
    Shape view;
    std::vector<std::int64_t> begin;
    Shape size;
    Shape placed;
};

/// An input or output that the rewritten program has in another form. fp32 surfaces whose parts are
/// fp16 are rounded to nearest, ties away, as the engine's cast rounds.
struct BoundaryChange {
    bool is_input = true;
    std::string name;  ///< in the original program
    mil::Type type;    ///< in the original program
    std::vector<BoundaryPart> parts;
};

using Boundary = std::vector<BoundaryChange>;

/// Copies a surface of the original type into those of the rewritten program's inputs, by name.
/// Surfaces outside the parts' boxes are left as they are (new surfaces are zero). Throws
/// Error{surface_mismatch} where a type is not that of the change, Error{binding_missing}.
void copy_in(const BoundaryChange& change, const Surface& from,
             const std::map<std::string, Surface*, std::less<>>& to);
/// The way back, for an output.
void copy_out(const BoundaryChange& change,
              const std::map<std::string, const Surface*, std::less<>>& from, Surface& to);

/// An executable of the rewritten program behind the inputs and outputs of the original function,
/// which need not live on: what the boundary changed is copied at every evaluation.
std::unique_ptr<Executable> behind_boundary(std::unique_ptr<Executable> rewritten,
                                            const mil::Function& original, Boundary boundary);

/// legalize()s the program for the device and compiles the result. The executable has the original
/// program's inputs and outputs; those that changed are copied at every evaluation. Throws as
/// Device::compile does, which also says what could not be rewritten.
std::unique_ptr<Executable> compile_legalized(Device& device, const mil::Package& package,
                                              std::string_view function = "main");

}  // namespace pome::device
