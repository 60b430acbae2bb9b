// Inputs and outputs padded to the sizes that surfaces must have. A padded value is
// [1, rows', 1, width'] with the old elements, [rows, width], at its origin.
#include <algorithm>
#include <limits>
#include <numeric>

#include "device/legalize/parts.h"
#include "device/legalize/rules.h"

namespace pome::device::legalizing {

const RewriteInfo surface_info{
    "surface", "surfaces.row_bytes, minimum_bytes or equal_sizes",
    "inputs and outputs are padded to whole rows, the smallest surface and one size; the program "
    "slices inputs and pads outputs",
    Equality::bits};

namespace {

constexpr std::int64_t most_bytes = std::int64_t{1} << 40;

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
    return (value + unit - 1) / unit * unit;
}

/// How an input or output lies in its surface.
struct Layout {
    mil::NamedType value;
    std::int64_t element = 0;          ///< bytes
    std::int64_t rows = 0, width = 0;  ///< of the value
    std::int64_t tall = 0, broad = 0;  ///< of the surface
    std::int64_t row_bytes() const { return broad * element; }
    std::int64_t bytes() const { return tall * row_bytes(); }
    bool changed() const { return tall != rows || broad != width; }
};

/// Gives all layouts the size `bytes` by more rows, with rows of at least the given widths. False
/// when that is not a whole number of rows.
std::int64_t common_bytes(const std::vector<Layout>& layouts,
                          const std::vector<std::int64_t>& widths) {
    std::int64_t unit = 1, largest = 0;
    for (std::size_t i = 0; i < layouts.size(); ++i) {
        const std::int64_t row = widths[i] * layouts[i].element;
        const std::int64_t step = row / std::gcd(unit, row);
        if (unit > most_bytes / step) {
            return 0;
        }
        unit *= step;
        largest = std::max(largest, row * layouts[i].tall);
    }
    return round_up(largest, unit);
}

/// Gives a layout whose rows are too many for an axis broader rows, as few bytes as before.
void flatten(Layout& layout, std::int64_t most_rows, const Work& work) {
    const std::int64_t unit =
        std::max<std::int64_t>(1, work.profile.surfaces.row_bytes / layout.element);
    const std::int64_t total = layout.tall * layout.broad;
    const std::int64_t most = work.profile.limits.max_width;
    for (std::int64_t broad = layout.broad; broad <= most && broad <= total; broad += unit) {
        if (total % broad == 0 && total / broad <= most_rows && total / broad >= layout.rows) {
            layout.tall = total / broad;
            layout.broad = broad;
            return;
        }
    }
}

/// Makes all layouts equally large, by the way that takes the fewest bytes.
void equalize(std::vector<Layout>& layouts, const SurfaceRules& rules) {
    std::vector<std::vector<std::int64_t>> ways(3);
    std::int64_t broadest = 0;
    for (const Layout& layout : layouts) {
        broadest = std::max(broadest, layout.row_bytes());
    }
    for (const Layout& layout : layouts) {
        ways[0].push_back(layout.broad);               // more rows of their own width
        ways[1].push_back(broadest / layout.element);  // rows of one width
        std::int64_t power = std::max<std::int64_t>(1, rules.row_bytes / layout.element);
        while (power < layout.broad) {
            power *= 2;
        }
        ways[2].push_back(power);  // rows of a power of two
    }
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    const std::vector<std::int64_t>* best = nullptr;
    for (const auto& way : ways) {
        const std::int64_t bytes = common_bytes(layouts, way);
        if (bytes > 0 && bytes < least) {
            least = bytes;
            best = &way;
        }
    }
    for (std::size_t i = 0; best != nullptr && i < layouts.size(); ++i) {
        layouts[i].broad = (*best)[i];
        layouts[i].tall = least / layouts[i].row_bytes();
    }
}

/// The layouts that the rules ask for; refusals say which values have none.
std::vector<Layout> lay_out(const std::vector<mil::NamedType>& values, const Work& work,
                            mil::Position position, bool is_input, bool& possible) {
    const SurfaceRules& rules = work.profile.surfaces;
    const Limits& limits = work.profile.limits;
    std::vector<Layout> layouts;
    possible = true;
    const auto refuse = [&](const mil::NamedType& value, std::string reason) {
        work.refusals.push_back(
            {std::string(surface_info.rule), position.line, value.name, std::move(reason)});
        possible = false;
    };
    for (const auto& value : values) {
        const mil::Type& type = value.type;
        Layout layout{value, static_cast<std::int64_t>(size_in_memory(type.dtype)), 0, 0, 0, 0};
        if (!type.is_tensor() || !type.shape.is_static() || type.shape.rank() == 0 ||
            layout.element == 0) {
            refuse(value, fmt::format("{} has no rows that could be padded", type.text()));
            continue;
        }
        layout.width = layout.broad = type.shape[-1];
        layout.rows = layout.tall = layout.width == 0 ? 0 : type.shape.elements() / layout.width;
        if (layout.rows == 0) {
            refuse(value, fmt::format("{} is empty", type.text()));
            continue;
        }
        if (rules.row_bytes > 0) {
            layout.broad = round_up(layout.row_bytes(), rules.row_bytes) / layout.element;
        }
        layout.tall = std::max(
            layout.tall, round_up(rules.minimum_bytes, layout.row_bytes()) / layout.row_bytes());
        layouts.push_back(layout);
    }
    if (!possible) {
        return layouts;
    }
    const bool unequal = std::any_of(layouts.begin(), layouts.end(), [&](const Layout& layout) {
        return layout.bytes() != layouts.front().bytes();
    });
    if (rules.equal_sizes && unequal) {
        equalize(layouts, rules);
    }
    for (Layout& layout : layouts) {
        // Where an output is padded, more rows are added along the height.
        std::int64_t most_rows = limits.max_channels;
        if (!is_input && layout.tall != layout.rows && limits.max_width > 0) {
            most_rows = most_rows > 0 ? std::min(most_rows, limits.max_width) : limits.max_width;
        }
        const auto too_large = [&] {
            return (limits.max_width > 0 && layout.broad > limits.max_width) ||
                   (most_rows > 0 && layout.tall > most_rows);
        };
        if (layout.changed() && too_large()) {
            flatten(layout, most_rows, work);
        }
        if (layout.changed() && too_large()) {
            refuse(layout.value, fmt::format("a surface of {} rows of {} is beyond the chip's axes",
                                             layout.tall, layout.broad));
        }
    }
    return layouts;
}

mil::Type padded_type(const Layout& layout) {
    return mil::Type::tensor(layout.value.type.dtype, {1, layout.tall, 1, layout.broad});
}

void note(const Work& work, bool is_input, const Layout& layout, mil::Position position) {
    const SurfaceRules& rules = work.profile.surfaces;
    work.changes.push_back(
        {std::string(surface_info.rule), position.line, layout.value.name,
         fmt::format("{} {} lies in {}: rows of a multiple of {} bytes, at least {} bytes{}",
                     is_input ? "input" : "output", layout.value.type.text(),
                     padded_type(layout).text(), rules.row_bytes, rules.minimum_bytes,
                     rules.equal_sizes ? ", all of one size" : ""),
         Equality::bits});
}

/// The part's box, seen as [1, rows, 1, width], in a surface of the padded type.
void place(BoundaryPart& part, const std::string& name, const Layout& layout) {
    part.name = name;
    part.type = padded_type(layout);
    part.placed = {1, layout.rows, 1, layout.width};
}

}  // namespace

mil::Function fit_surfaces(const mil::Function& function, const Work& work) {
    bool inputs_fit = true, outputs_fit = true;
    const auto inputs = lay_out(function.parameters, work, function.position, true, inputs_fit);
    auto outputs = lay_out(output_types(function), work, function.position, false, outputs_fit);
    const auto changed = [](const Layout& layout) { return layout.changed(); };
    const bool pad_inputs = inputs_fit && std::any_of(inputs.begin(), inputs.end(), changed);
    bool pad_outputs = outputs_fit && std::any_of(outputs.begin(), outputs.end(), changed);
    for (const Layout& output : outputs) {
        const bool is_input =
            std::any_of(function.parameters.begin(), function.parameters.end(),
                        [&](const auto& parameter) { return parameter.name == output.value.name; });
        if (is_input && (pad_inputs || pad_outputs)) {
            work.refusals.push_back({std::string(surface_info.rule), function.position.line,
                                     output.value.name,
                                     "an output that is an input cannot be padded; give it an "
                                     "operation of its own"});
            return function;
        }
    }
    if (!pad_inputs && !pad_outputs) {
        return function;
    }
    Emission emission(function, work.weights);
    mil::Builder& b = emission.ops();
    for (std::size_t i = 0; i < function.parameters.size(); ++i) {
        const mil::NamedType& parameter = function.parameters[i];
        if (!pad_inputs || !inputs[i].changed()) {
            emission.parameter(parameter);
            continue;
        }
        const Layout& layout = inputs[i];
        emission.parameter_instead({{parameter.name, padded_type(layout)}});
        const mil::Value box = b.slice(emission.value(parameter.name), {0, 0, 0, 0},
                                       {1, layout.rows, 1, layout.width});
        emission.alias(parameter, b.reshape(box, parameter.type.shape), function.position);
        place(part_of(work.boundary, true, parameter), parameter.name, layout);
        note(work, true, layout, function.position);
    }
    for (const auto& operation : function.operations) {
        emission.keep(operation);
    }
    std::vector<std::string> names;
    for (std::size_t i = 0; i < function.outputs.size(); ++i) {
        const std::string& name = function.outputs[i];
        if (!pad_outputs || !outputs[i].changed()) {
            names.push_back(name);
            continue;
        }
        const Layout& layout = outputs[i];
        // Padding of channels does not run: rows are added where they are the height.
        const mil::Value rows =
            b.reshape(emission.value(name), layout.tall != layout.rows
                                                ? Shape{1, 1, layout.rows, layout.width}
                                                : Shape{1, layout.rows, 1, layout.width});
        const mil::Value padded =
            b.call("pad", {{"constant_val", b.number(rows.type.dtype, 0.0)},
                           {"mode", b.text("constant")},
                           {"pad", b.integers({0, 0, 0, 0, 0, layout.tall - layout.rows, 0,
                                               layout.broad - layout.width})},
                           {"x", rows}});
        const mil::Value surface = b.reshape(padded, {1, layout.tall, 1, layout.broad});
        const std::string fresh = emission.fresh(name + "_surface");
        names.push_back(b.rename(surface, fresh).name);
        place(part_of(work.boundary, false, layout.value), fresh, layout);
        note(work, false, layout, function.position);
    }
    return emission.take(names);
}

}  // namespace pome::device::legalizing
