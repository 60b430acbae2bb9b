// Inputs and outputs: their dtypes, the surfaces that hold them, the weights that come along.
#include <algorithm>

#include "device/lint/rules.h"

namespace pome::device::linting {
namespace {

using Values = std::vector<mil::NamedType>;

Values outputs_of(const Lint& lint) {
    Values outputs;
    for (const auto& name : lint.view.function().outputs) {
        if (const mil::Type* type = lint.view.type(name)) {
            outputs.push_back({name, *type});
        }
    }
    return outputs;
}

/// Visits inputs, then outputs, each with the word for it.
template <typename Visit>
void for_boundary(const Lint& lint, Visit visit) {
    visit("input", lint.view.function().parameters);
    visit("output", outputs_of(lint));
}

int line_of(const Lint& lint) {
    return lint.view.function().position.line;
}

void io_dtype(Lint& lint) {
    const auto& accepted = lint.profile.limits.io;
    for_boundary(lint, [&](std::string_view kind, const Values& values) {
        for (const auto& value : values) {
            const DType dtype = value.type.dtype;
            if (accepted.empty() ||
                (value.type.is_tensor() &&
                 std::find(accepted.begin(), accepted.end(), dtype) != accepted.end())) {
                continue;
            }
            const bool bf16 = value.type.is_tensor() && dtype == DType::bf16;
            lint.report(Reaction::refused, line_of(lint), value.name,
                        bf16 ? fmt::format("Unsupported function {} dtype bf16", kind)
                             : fmt::format("{} of type {} cannot cross the program's boundary",
                                           kind, value.type.text()),
                        "cast it to fp16 outside the program");
        }
    });
}

void fp32_boundary(Lint& lint) {
    if (lint.profile.capabilities.fp32_cast) {
        return;
    }
    for_boundary(lint, [&](std::string_view kind, const Values& values) {
        for (const auto& value : values) {
            if (value.type.is_tensor() && value.type.dtype == DType::fp32) {
                lint.report(Reaction::refused, line_of(lint), value.name,
                            fmt::format("{} of type {} needs a cast, which {} does not compile",
                                        kind, value.type.text(), lint.profile.name),
                            "declare it fp16 and convert on the host");
            }
        }
    });
}

void fp32_cast(Lint& lint, const mil::Operation& operation) {
    if (lint.profile.capabilities.fp32_cast || operation.op != "cast") {
        return;
    }
    const mil::Type* from = lint.view.type(operation, "x");
    const auto is_fp32 = [](const mil::Type* type) {
        return type != nullptr && type->is_tensor() && type->dtype == DType::fp32;
    };
    if (is_fp32(from) || (!operation.results.empty() && is_fp32(&operation.results[0].type))) {
        lint.report(Reaction::refused, operation,
                    fmt::format("cast between fp32 and fp16: {}", invalid_program),
                    "keep the program in fp16 and convert on the host");
    }
}

void int16_io(Lint& lint) {
    for_boundary(lint, [&](std::string_view kind, const Values& values) {
        for (const auto& value : values) {
            if (value.type.is_tensor() && value.type.dtype == DType::int16) {
                lint.report(Reaction::works, line_of(lint), value.name,
                            fmt::format("{} of type {}: int16 takes about 35 ms an evaluation",
                                        kind, value.type.text()),
                            "use fp16 or uint16");
            }
        }
    });
}

std::int64_t row_of(const mil::Type& type) {
    const std::int64_t elements = type.shape.rank() == 0 ? 1 : bounded(type.shape[-1]);
    return elements * static_cast<std::int64_t>(size_in_memory(type.dtype));
}

void row_bytes(Lint& lint) {
    const SurfaceRules& rules = lint.profile.surfaces;
    const Failures& failures = lint.profile.failures;
    for_boundary(lint, [&](std::string_view kind, const Values& values) {
        for (const auto& value : values) {
            if (rules.row_bytes == 0 || bytes_of(value.type) == 0) {
                continue;
            }
            const std::int64_t row = row_of(value.type);
            if (row % rules.row_bytes == 0) {
                continue;
            }
            const auto unit = static_cast<std::int64_t>(size_in_memory(value.type.dtype));
            const std::int64_t padded =
                (row + rules.row_bytes - 1) / rules.row_bytes * rules.row_bytes / unit;
            lint.report(row < rules.row_bytes ? failures.short_row : failures.unaligned_row,
                        line_of(lint), value.name,
                        fmt::format("{} {} has rows of {} bytes, no multiple of {}", kind,
                                    value.type.text(), row, rules.row_bytes),
                        fmt::format("pad its last axis to {} elements", padded));
        }
    });
}

void minimum_bytes(Lint& lint) {
    const std::int64_t least = lint.profile.surfaces.minimum_bytes;
    for_boundary(lint, [&](std::string_view kind, const Values& values) {
        for (const auto& value : values) {
            const std::int64_t bytes = bytes_of(value.type);
            if (bytes > 0 && bytes < least) {
                lint.report(Reaction::works, line_of(lint), value.name,
                            fmt::format("{} {} has {} bytes, a surface {} at least", kind,
                                        value.type.text(), bytes, least),
                            fmt::format("allocate its surface with {} bytes; Pome does", least));
            }
        }
    });
}

void equal_sizes(Lint& lint) {
    if (!lint.profile.surfaces.equal_sizes) {
        return;
    }
    for_boundary(lint, [&](std::string_view kind, const Values& values) {
        std::int64_t largest = 0;
        for (const auto& value : values) {
            largest = std::max(largest, bytes_of(value.type));
        }
        for (const auto& value : values) {
            const std::int64_t bytes = bytes_of(value.type);
            if (bytes > 0 && bytes < largest) {
                lint.report(Reaction::works, line_of(lint), value.name,
                            fmt::format("{} {} has {} bytes, the largest {} {}; surfaces of one "
                                        "kind must have one size, or evaluations fail with "
                                        "status=0x1d",
                                        kind, value.type.text(), bytes, kind, largest),
                            fmt::format("allocate its surface with {} bytes; Pome does", largest));
            }
        }
    });
}

void alphabetical(Lint& lint) {
    if (!lint.profile.surfaces.alphabetical) {
        return;
    }
    for_boundary(lint, [&](std::string_view kind, const Values& values) {
        for (std::size_t i = 1; i < values.size(); ++i) {
            if (values[i].name < values[i - 1].name) {
                lint.report(lint.profile.failures.order, line_of(lint), values[i].name,
                            fmt::format("{} '{}' is declared after '{}'; surfaces are bound in "
                                        "the order of names, so others than meant would be used",
                                        kind, values[i].name, values[i - 1].name),
                            fmt::format("declare the {}s in the order of their names", kind));
                return;
            }
        }
    });
}

void constant_output(Lint& lint) {
    for (const auto& output : lint.view.function().outputs) {
        const mil::Operation* made = lint.view.producer(output);
        if (made != nullptr && (made->op == "const" || made->op.starts_with("constexpr_"))) {
            lint.report(Reaction::refused, line_of(lint), output,
                        fmt::format("output '{}' is a constant, which the compiler removes: {}",
                                    output, invalid_program),
                        "return values that depend on an input; compute constants on the host");
        }
    }
}

void weight_bytes(Lint& lint) {
    const std::int64_t most = lint.profile.limits.weight_bytes;
    std::int64_t total = 0;
    const auto add = [&](const mil::Literal& literal) {
        total = std::min(total + bytes_of(literal.type), std::int64_t{1} << 61);
    };
    for (const auto& operation : lint.view.function().operations) {
        for (const auto& attribute : operation.attributes) {
            if (attribute.name != "name") {
                add(attribute.value);
            }
        }
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                if (const auto* literal = std::get_if<mil::Literal>(&operand)) {
                    add(*literal);
                }
            }
        }
    }
    if (most > 0 && total > most) {
        lint.report(Reaction::refused, line_of(lint), lint.view.function().name,
                    fmt::format("{} bytes of constants; a program with more than {} does not load",
                                total, most),
                    "cut the program in several, or give weights as inputs");
    }
}

}  // namespace

Rules boundary_rules() {
    return {
        {"io_dtype", "inputs and outputs have one of the dtypes limits.io", "limits.io", io_dtype},
        {"fp32_boundary", "fp32 inputs and outputs only where the chip casts",
         "capabilities.fp32_cast", fp32_boundary},
        {"fp32_cast", "cast to or from fp32 only where the chip and route have it",
         "capabilities.fp32_cast", nullptr, fp32_cast},
        {"int16_io", "int16 inputs and outputs are slow", "ANEForge op quirks, on M5", int16_io},
        {"row_bytes", "the innermost axis of a surface fills a multiple of surfaces.row_bytes",
         "surfaces.row_bytes", row_bytes},
        {"minimum_bytes", "surfaces have at least surfaces.minimum_bytes", "surfaces.minimum_bytes",
         minimum_bytes},
        {"equal_sizes", "all input surfaces have one size, and so have all output surfaces",
         "surfaces.equal_sizes", equal_sizes},
        {"alphabetical", "inputs and outputs are declared in the order of their names",
         "surfaces.alphabetical", alphabetical},
        {"constant_output", "outputs depend on inputs", "Orion, constraint 17", constant_output},
        {"weight_bytes", "constants of a program have at most limits.weight_bytes",
         "limits.weight_bytes", weight_bytes},
    };
}

}  // namespace pome::device::linting
