// The terse dialect as the canonical one, with the opset that it has.
#include <algorithm>

#include "device/legalize/rules.h"

namespace pome::device::legalizing {

const RewriteInfo dialect_info{"dialect", "capabilities.terse_dialect is false",
                               "program 1.3 with opset ios18 becomes program 1.0 with opset ios16",
                               Equality::bits};

namespace {

/// Ops and arguments that came after ios16. An empty argument is the op itself.
struct Later {
    std::string_view op, argument, opset;
};
constexpr Later later[] = {
    {"quantize", "", "ios17"},
    {"dequantize", "", "ios17"},
    {"gather", "validate_indices", "ios17"},
    {"gather_along_axis", "validate_indices", "ios17"},
    {"topk", "output_indices_dtype", "ios17"},
    {"scaled_dot_product_attention", "", "ios18"},
    {"constexpr_blockwise_shift_scale", "", "ios18"},
    {"constexpr_lut_to_dense", "vector_axis", "ios18"},
    {"slice_update", "", "ios18"},
    {"read_state", "", "ios18"},
};

const Later* later_than_canonical(const mil::Operation& operation) {
    for (const auto& one : later) {
        if (operation.op == one.op &&
            (one.argument.empty() || operation.find_argument(one.argument) != nullptr ||
             operation.find_attribute(one.argument) != nullptr)) {
            return &one;
        }
    }
    return nullptr;
}

/// "ios18" is 18; anything else 0.
int version_of(const std::string& opset) {
    return opset.starts_with("ios") && opset.size() == 5 ? std::atoi(opset.c_str() + 3) : 0;
}

}  // namespace

void choose_dialect(mil::Program& program, mil::Function& function, const Work& work) {
    if (work.profile.capabilities.terse_dialect) {
        return;
    }
    const bool was_terse = program.dialect == mil::Dialect::terse;
    // Canonical programs that others compiled have opsets up to ios17.
    const bool old_enough = version_of(function.opset) <= (was_terse ? 16 : 17);
    if (!was_terse && old_enough) {
        return;
    }
    bool refused = false;
    if (!old_enough) {
        for (const auto& operation : function.operations) {
            if (const Later* needed = later_than_canonical(operation)) {
                work.refuse(dialect_info.rule, operation,
                            fmt::format("{}{}{} needs opset {}; the chip reads programs of the "
                                        "canonical dialect, whose opset is ios16",
                                        operation.op, needed->argument.empty() ? "" : "'s ",
                                        needed->argument, needed->opset));
                refused = true;
            }
        }
    }
    if (refused) {
        return;
    }
    const std::string before =
        fmt::format("program({}) with opset {}", program.version, function.opset);
    program.dialect = mil::Dialect::canonical;
    program.version = "1.0";
    if (!old_enough) {
        function.opset = "ios16";
    }
    work.changes.push_back({std::string(dialect_info.rule), function.position.line, function.name,
                            fmt::format("{} became program(1.0) in the canonical dialect with "
                                        "opset {}",
                                        before, function.opset),
                            Equality::bits});
}

}  // namespace pome::device::legalizing
