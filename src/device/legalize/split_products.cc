// Products whose operands, results or sums are too wide: computed in parts.
#include <set>

#include "device/legalize/splitter.h"

namespace pome::device::legalizing {

mil::Value Splitter::sum(const std::vector<mil::Value>& partial) {
    mil::Value total = partial.front();
    for (std::size_t i = 1; i < partial.size(); ++i) {
        total = emission_.ops().add(total, partial[i]);
    }
    return total;
}

std::int64_t Splitter::inner_limit(std::int64_t most, std::string_view x, int x_axis,
                                   std::string_view y, int y_axis) const {
    for (const auto& [name, axis] : {std::pair(x, x_axis), std::pair(y, y_axis)}) {
        const std::int64_t one = axis_limit(limits(), in_->type(name).shape.rank(), axis);
        most = one > 0 && (most == 0 || one < most) ? one : most;
    }
    return most;
}

bool Splitter::take_matmul(int wide) {
    mil::Builder& b = emission_.ops();
    const Shape &x = in_->type("x").shape, &y = in_->type("y").shape;
    const bool tx = in_->boolean("transpose_x"), ty = in_->boolean("transpose_y");
    const int x_rows = x.rank() - (tx ? 1 : 2), x_inner = x.rank() - (tx ? 2 : 1);
    const int y_inner = y.rank() - (ty ? 1 : 2), y_columns = y.rank() - (ty ? 2 : 1);
    const Parts *px = parts_of("x"), *py = parts_of("y");
    const int rank = operation_->results.front().type.shape.rank();
    const std::int64_t inner = x[x_inner], most = limits().max_inner;
    if ((most > 0 && inner > most) || (px != nullptr && px->axis == x_inner) ||
        (py != nullptr && py->axis == y_inner)) {
        if (wide >= 0) {
            stop("a matmul is too wide in its sums and in its result");
        }
        const Sizes sizes = px != nullptr && px->axis == x_inner ? px->sizes
                            : py != nullptr && py->axis == y_inner
                                ? py->sizes
                                : chunks(inner, inner_limit(most, "x", x_inner, "y", y_inner));
        const auto xs = cut_operand("x", x_inner, sizes), ys = cut_operand("y", y_inner, sizes);
        std::vector<mil::Value> partial;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            partial.push_back(b.matmul(xs[i], ys[i], tx, ty));
        }
        note(in_parts(sizes, "terms a sum") + ", whose sums are added", Equality::mathematics);
        emission_.replace(*operation_, {sum(partial)});
        return true;
    }
    const bool rows = (px != nullptr && px->axis == x_rows) || wide == rank - 2;
    const bool columns = (py != nullptr && py->axis == y_columns) || wide == rank - 1;
    if (!rows && !columns) {
        if (wide >= 0 || px != nullptr || py != nullptr) {
            stop("a matmul is too wide along a leading axis");
        }
        return false;
    }
    if (rows && columns) {
        stop("a matmul is too wide in rows and columns");
    }
    const int axis = rank - (rows ? 2 : 1);
    const Parts* parted = rows ? px : py;
    const Sizes sizes =
        parted != nullptr ? parted->sizes : chunks_of(operation_->results.front().type, axis);
    std::vector<mil::Value> values;
    const auto cut_ones =
        rows ? cut_operand("x", x_rows, sizes) : cut_operand("y", y_columns, sizes);
    const mil::Value other = *emission_.operand(*operation_, rows ? "y" : "x");
    for (const mil::Value& one : cut_ones) {
        values.push_back(rows ? b.matmul(one, other, tx, ty) : b.matmul(other, one, tx, ty));
    }
    finish(axis, sizes, std::move(values), "matmul: " + in_parts(sizes, rows ? "rows" : "columns"));
    return true;
}

void Splitter::sum_over_inputs(int x_axis, const Sizes& sizes, std::string_view unit) {
    const auto xs = cut_operand("x", x_axis, sizes), ws = cut_operand("weight", 1, sizes);
    std::vector<mil::Value> partial;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        std::set<std::string, std::less<>> dropped;
        if (i > 0) {
            dropped.insert("bias");
        }
        partial.push_back(
            emission_.again(*operation_, {{"x", xs[i]}, {"weight", ws[i]}}, dropped).front());
    }
    note(fmt::format("{}: {}, whose sums are added", operation_->op, in_parts(sizes, unit)),
         Equality::mathematics);
    emission_.replace(*operation_, {sum(partial)});
}

void Splitter::join_outputs(int axis, std::string_view unit) {
    const Parts* pw = parts_of("weight");
    const Sizes sizes =
        pw != nullptr ? pw->sizes : chunks_of(operation_->results.front().type, axis);
    const auto ws = cut_operand("weight", 0, sizes);
    std::vector<mil::Value> biases, values;
    if (in_->has("bias")) {
        biases = cut_operand("bias", 0, sizes);
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        Changed changed{{"weight", ws[i]}};
        if (!biases.empty()) {
            changed["bias"] = biases[i];
        }
        values.push_back(emission_.again(*operation_, changed).front());
    }
    finish(axis, sizes, std::move(values),
           fmt::format("{}: {}", operation_->op, in_parts(sizes, unit)));
}

bool Splitter::take_conv(int wide) {
    const Parts *px = parts_of("x"), *pw = parts_of("weight");
    const std::int64_t channels = in_->type("x").shape[1], most = limits().conv_input_channels;
    const bool inner = (most > 0 && channels > most) || (px != nullptr && px->axis == 1);
    if (!inner && wide < 0 && px == nullptr && pw == nullptr) {
        return false;
    }
    if (in_->integer("groups") != 1) {
        stop("a grouped conv with too many channels; write it as several convs");
    }
    if (inner) {
        if (wide >= 0) {
            stop("a conv has too many input and output channels");
        }
        sum_over_inputs(1, px != nullptr ? px->sizes : chunks(channels, most), "input channels");
        return true;
    }
    if (px != nullptr || (pw != nullptr && pw->axis != 0) || (wide >= 0 && wide != 1)) {
        stop("a conv is too wide along another axis than its channels");
    }
    join_outputs(1, "output channels");
    return true;
}

bool Splitter::take_linear(int wide) {
    const Parts *px = parts_of("x"), *pw = parts_of("weight");
    const int last = in_->type("x").shape.rank() - 1;
    const std::int64_t inner = in_->type("x").shape[-1], most = limits().max_inner;
    const bool in_columns = (px != nullptr && px->axis == last) || (pw != nullptr && pw->axis == 1);
    if ((most > 0 && inner > most) || in_columns) {
        if (wide >= 0) {
            stop("a linear is too wide in its sums and in its result");
        }
        sum_over_inputs(last,
                        px != nullptr   ? px->sizes
                        : pw != nullptr ? pw->sizes
                                        : chunks(inner, inner_limit(most, "x", last, "weight", 1)),
                        "terms a sum");
        return true;
    }
    if (wide < 0 && px == nullptr && pw == nullptr) {
        return false;
    }
    if (px != nullptr || (pw != nullptr && pw->axis != 0) || (wide >= 0 && wide != last)) {
        stop("a linear is too wide along another axis than its outputs");
    }
    join_outputs(last, "outputs");
    return true;
}

}  // namespace pome::device::legalizing
