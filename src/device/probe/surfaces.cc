// What the surfaces of a request must be: rows, sizes, order.
#include <fmt/format.h>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

constexpr double step = 0.0009765625;

/// relu of numbers in [1, 2), in rows of so many elements: the identity, and nowhere 0.
Program identity(std::int64_t rows, std::int64_t columns) {
    std::vector<double> x(static_cast<std::size_t>(rows * columns));
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = 1.0 + static_cast<double>(i % 1024) * step;
    }
    return {{plane(rows, columns, std::move(x))},
            fmt::format("tensor<fp16, [1, 1, {}, {}]> y = relu(x = x);", rows, columns)};
}

std::string row_reaction(Bench& bench, std::int64_t columns) {
    const Program program = identity(row, columns);
    return reaction(bench.evaluate(program), program.inputs[0].values);
}

/// Rows of 64 bytes and 2^k more: the least of these lengths that works is the unit.
void find_rows(Bench& bench) {
    const std::string key = "surfaces.row_bytes";
    const std::string short_row = row_reaction(bench, row / 2), odd = row_reaction(bench, row + 1);
    if (short_row.empty() || odd.empty()) {
        bench.open(key, "rows of 32 or 66 bytes give values that are wrong otherwise");
        return;
    }
    bench.found("failures.short_row", short_row, "rows of 32 bytes");
    bench.found("failures.unaligned_row", odd, "rows of 66 bytes");
    std::int64_t unit = 0;
    if (odd != "works" || short_row != "works") {
        unit = 4;
        while (unit < 64 && row_reaction(bench, row + unit / 2) != "works") {
            unit *= 2;
        }
    }
    bench.found(key, unit,
                unit == 0
                    ? "rows of 32 and of 66 bytes work"
                    : fmt::format("rows of 64 + {} bytes work, of 64 + {} not", unit, unit / 2));
}

/// y = a - b of values that tell which is which; the second input's surface may be twice as large.
Program difference(std::string_view first, std::string_view second, bool unequal = false) {
    constexpr std::size_t usual = 65536;
    const auto input = [&](std::string_view name, std::size_t allocation) {
        return TextInput{std::string(name),
                         {1, 1, row, row},
                         DType::fp16,
                         ramp(row * row, name == "a" ? 3.0 : 1.0, 0.0),
                         allocation};
    };
    return {{input(first, usual), input(second, unequal ? 2 * usual : usual)},
            "tensor<fp16, [1, 1, 32, 32]> y = sub(x = a, y = b);"};
}

void find_inputs(Bench& bench) {
    const std::vector<double> right(row * row, 2.0), swapped(row * row, -2.0);
    const Outcome sorted = bench.evaluate(difference("a", "b"));
    const std::string works = reaction(sorted, right);
    bench.observed("two inputs", works == "works" ? "right, declared in the order of their names"
                                                  : words(sorted));
    if (works != "works") {
        for (const char* key : {"surfaces.alphabetical", "surfaces.equal_sizes"}) {
            bench.open(key, "two inputs do not work at all");
        }
        return;
    }
    const Outcome unsorted = bench.evaluate(difference("b", "a"));
    const std::string order = reaction(unsorted, right);
    bench.found("surfaces.alphabetical", order != "works",
                "inputs declared against the order of their names: " +
                    (order == "works"             ? "right"
                     : unsorted.values == swapped ? "they are taken for each other"
                                                  : order));
    if (!order.empty()) {
        bench.found("failures.order", order, "as surfaces.alphabetical");
    }
    const std::string sizes = reaction(bench.evaluate(difference("a", "b", true)), right);
    if (sizes.empty()) {
        bench.open("surfaces.equal_sizes", "two surfaces of unequal size give wrong values");
        return;
    }
    bench.found("surfaces.equal_sizes", sizes != "works", "inputs of unequal allocation: " + sizes);
    bench.found("failures.unequal_sizes", sizes, "as surfaces.equal_sizes");
}

/// The smallest allocation of both surfaces that works; multiples of 64.
void find_minimum(Bench& bench) {
    constexpr std::int64_t unit = 64, beyond = 131072;
    const auto works = [&](std::int64_t bytes) {
        Program program = identity(1, row);
        program.inputs[0].allocation = program.output_allocation = static_cast<std::size_t>(bytes);
        return reaction(bench.evaluate(program), program.inputs[0].values) == "works";
    };
    const std::string key = "surfaces.minimum_bytes";
    if (works(unit)) {
        bench.found(key, std::int64_t{0}, "surfaces of 64 bytes work");
    } else if (!works(beyond)) {
        bench.open(key, fmt::format("not even surfaces of {} bytes work", beyond));
    } else {
        // What is too small is accepted here: the smallest that works is one above the largest.
        const std::int64_t most = largest(1, beyond / unit, {2048 / unit - 1, 49152 / unit - 1},
                                          [&](std::int64_t n) { return !works(n * unit); });
        bench.found(
            key, (most + 1) * unit,
            fmt::format("surfaces of {} bytes work, of {} not", (most + 1) * unit, most * unit));
    }
}

}  // namespace

void probe_surfaces(Bench& bench) {
    find_rows(bench);
    find_inputs(bench);
    find_minimum(bench);
}

}  // namespace pome::device::probe
