// Values with an axis beyond the chip's limit, and sums with too many terms: computed in parts.
//
// A value that is too wide exists only as parts along one axis. Operations on it are done part by
// part, until a result is small enough (then the parts are joined) or leaves the program (then it
// has several outputs).
#include <algorithm>
#include <map>

#include "device/legalize/parts.h"
#include "device/legalize/rules.h"

namespace pome::device::legalizing {

const RewriteInfo wide_info{"wide",
                            "an axis exceeds limits.max_width, max_channels or max_batch, a "
                            "matmul's sums exceed max_inner, "
                            "a conv's input channels exceed conv_input_channels",
                            "matmul, conv and linear are done in chunks of columns, rows or output "
                            "channels (the same bits); "
                            "long sums in partial sums that are added (other roundings)",
                            Equality::mathematics};

namespace {

/// Why a function cannot be split.
struct Unsplittable {
    std::string reason;
};

using Sizes = std::vector<std::int64_t>;

struct Parts {
    int axis = 0;
    Sizes sizes;
    std::vector<mil::Value> values;
};

/// `size` in as few parts of at most `limit` as are equal; if that takes twice as many as needed,
/// unequal ones of a multiple of 32.
Sizes chunks(std::int64_t size, std::int64_t limit) {
    const std::int64_t least = (size + limit - 1) / limit;
    for (std::int64_t n = least; n <= 2 * least; ++n) {
        if (size % n == 0) {
            return Sizes(static_cast<std::size_t>(n), size / n);
        }
    }
    std::int64_t chunk = (size + least - 1) / least;
    chunk = std::min((chunk + 31) / 32 * 32, limit);
    Sizes sizes;
    for (std::int64_t at = 0; at < size; at += chunk) {
        sizes.push_back(std::min(chunk, size - at));
    }
    return sizes;
}

constexpr std::string_view pointwise[] = {
    "add",           "sub",        "mul",   "real_div",   "maximum", "minimum",   "pow",
    "select",        "sigmoid",    "tanh",  "gelu",       "silu",    "erf",       "exp",
    "exp2",          "sqrt",       "log",   "rsqrt",      "inverse", "sin",       "cos",
    "abs",           "sign",       "floor", "ceil",       "round",   "square",    "relu",
    "clip",          "relu6",      "elu",   "leaky_relu", "cast",    "softplus",  "softsign",
    "identity",      "threshold",  "equal", "less",       "greater", "not_equal", "less_equal",
    "greater_equal", "logical_not"};

template <typename List>
bool contains(const List& list, std::string_view op) {
    return std::find(std::begin(list), std::end(list), op) != std::end(list);
}

class Splitter {
  public:
    Splitter(const mil::Function& from, const Work& work, mil::WeightFiles& weights)
        : from_(from), work_(work), weights_(weights), emission_(from, weights) {}

    mil::Function run() {
        for (const auto& parameter : from_.parameters) {
            take(parameter);
        }
        for (const auto& operation : from_.operations) {
            if (operation.op == "const" || mil::find_schema(operation.op) == nullptr) {
                refuse_parts_of(operation);
                emission_.keep(operation);
                continue;
            }
            operation_ = &operation;
            const mil::Arguments in(operation, *mil::find_schema(operation.op), emission_.lookup());
            in_ = &in;
            if (!take(operation)) {
                emission_.keep(operation);
            }
        }
        return emission_.take(take_outputs());
    }

    std::vector<Change> changes;
    Boundary boundary;

  private:
    const Limits& limits() const { return work_.profile.limits; }

    [[noreturn]] void stop(std::string reason) const { throw Unsplittable{std::move(reason)}; }

    /// The axis of a type that is too wide; -1 when there is none.
    int wide_axis(const mil::Type& type) const {
        int found = -1;
        if (!type.is_tensor() || !type.shape.is_static()) {
            return found;
        }
        for (int axis = 0; axis < type.shape.rank(); ++axis) {
            const std::int64_t limit = axis_limit(limits(), type.shape.rank(), axis);
            if (limit > 0 && type.shape[axis] > limit) {
                if (found >= 0) {
                    stop(fmt::format("{} is too wide along two axes", type.text()));
                }
                found = axis;
            }
        }
        return found;
    }

    Sizes chunks_of(const mil::Type& type, int axis) const {
        return chunks(type.shape[axis], axis_limit(limits(), type.shape.rank(), axis));
    }

    /// An operation that cannot be looked into must not meet a value in parts.
    void refuse_parts_of(const mil::Operation& operation) const {
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                const auto* name = std::get_if<std::string>(&operand);
                if (name != nullptr && parts_.contains(*name)) {
                    stop(fmt::format("'{}' is too wide, and {} cannot be done in parts", *name,
                                     operation.op));
                }
            }
        }
    }

    void note(std::string what, Equality equality) {
        changes.push_back({std::string(wide_info.rule), operation_->position.line,
                           operation_->results.front().name, std::move(what), equality});
    }

    void take(const mil::NamedType& parameter) {
        const int axis = wide_axis(parameter.type);
        if (axis < 0) {
            emission_.parameter(parameter);
            return;
        }
        Parts parts{axis, chunks_of(parameter.type, axis), {}};
        BoundaryChange& change = change_of(boundary, true, parameter);
        const BoundaryPart whole = part_of(boundary, true, parameter);
        std::erase_if(change.parts, [&](const auto& part) { return part.name == parameter.name; });
        std::vector<mil::NamedType> inputs;
        std::int64_t at = 0;
        for (const std::int64_t size : parts.sizes) {
            const std::string name =
                emission_.fresh(fmt::format("{}_{}", parameter.name, inputs.size()));
            inputs.push_back({name, parameter.type});
            inputs.back().type.shape[axis] = size;
            add_part(change, whole, inputs.back(), axis, at, size);
            at += size;
        }
        emission_.parameter_instead(inputs);
        for (const auto& input : inputs) {
            parts.values.push_back(emission_.value(input.name));
        }
        emission_.declare(parameter);
        changes.push_back(
            {std::string(wide_info.rule), from_.position.line, parameter.name,
             fmt::format("{} became {} inputs of {} along axis {}", parameter.type.text(),
                         inputs.size(), parts.sizes.front(), axis),
             Equality::bits});
        parts_[parameter.name] = std::move(parts);
    }

    static void add_part(BoundaryChange& change, const BoundaryPart& whole,
                         const mil::NamedType& value, int axis, std::int64_t at,
                         std::int64_t size) {
        BoundaryPart part = whole;
        part.name = value.name;
        part.type = value.type;
        part.begin[static_cast<std::size_t>(axis)] += at;
        part.size[axis] = size;
        part.placed = part.size;
        change.parts.push_back(std::move(part));
    }

    std::vector<std::string> take_outputs() {
        std::vector<std::string> outputs;
        for (const auto& name : from_.outputs) {
            const auto found = parts_.find(name);
            if (found == parts_.end()) {
                outputs.push_back(name);
                continue;
            }
            const Parts& parts = found->second;
            const mil::NamedType old{name, *from_.find_type(name)};
            BoundaryChange& change = change_of(boundary, false, old);
            const BoundaryPart whole = part_of(boundary, false, old);
            std::erase_if(change.parts, [&](const auto& part) { return part.name == name; });
            std::int64_t at = 0;
            for (std::size_t i = 0; i < parts.values.size(); ++i) {
                const mil::Value& value = parts.values[i];
                if (emission_.producer(value.name) == nullptr) {
                    stop(fmt::format("output '{}' is an input", name));
                }
                outputs.push_back(value.name);
                add_part(change, whole, {value.name, value.type}, parts.axis, at, parts.sizes[i]);
                at += parts.sizes[i];
            }
        }
        return outputs;
    }

    /// Parts of an argument's operand along an axis.
    std::vector<mil::Value> cut_operand(std::string_view argument, int axis, const Sizes& sizes) {
        const mil::Argument* given = operation_->find_argument(argument);
        const auto* name = std::get_if<std::string>(&given->operands.front());
        if (name != nullptr) {
            if (const auto found = parts_.find(*name); found != parts_.end()) {
                if (found->second.axis != axis || found->second.sizes != sizes) {
                    stop(fmt::format("'{}' is too wide, and {} needs it in other parts", *name,
                                     operation_->op));
                }
                return found->second.values;
            }
        }
        std::vector<mil::Value> values;
        std::int64_t at = 0;
        if (const mil::Literal* constant = in_->constant(argument)) {
            if (!is_readable(*constant, weights_)) {
                stop(fmt::format("the weight file of {}'s {} was not given", operation_->op,
                                 argument));
            }
            const mil::Literal plain{constant->type, weights_.resolve(*constant)};
            const std::string hint = name == nullptr ? std::string(argument) : *name;
            for (const std::int64_t size : sizes) {
                values.push_back(
                    emission_.constant_like(*constant, cut(plain, axis, at, size),
                                            fmt::format("{}_{}", hint, values.size())));
                at += size;
            }
            return values;
        }
        const mil::Operation* producer = name == nullptr ? nullptr : emission_.producer(*name);
        if (producer != nullptr && producer->op.starts_with("constexpr_")) {
            stop(fmt::format("the weight '{}' comes from {}; write it out as a const", *name,
                             producer->op));
        }
        const mil::Value whole = *emission_.operand(*operation_, argument);
        Shape size = whole.shape();
        std::vector<std::int64_t> begin(static_cast<std::size_t>(size.rank()), 0);
        for (const std::int64_t count : sizes) {
            size[axis] = count;
            begin[static_cast<std::size_t>(axis)] = at;
            values.push_back(emission_.ops().slice(whole, begin, size.sizes()));
            at += count;
        }
        return values;
    }

    /// The parts of a named argument; nullptr when its value is whole.
    const Parts* parts_of(std::string_view argument) const {
        const mil::Argument* given = operation_->find_argument(argument);
        if (given == nullptr || given->operands.empty()) {
            return nullptr;
        }
        const auto* name = std::get_if<std::string>(&given->operands.front());
        const auto found = name == nullptr ? parts_.end() : parts_.find(*name);
        return found == parts_.end() ? nullptr : &found->second;
    }

    bool has_parts() const {
        for (const auto& argument : operation_->arguments) {
            for (const auto& operand : argument.operands) {
                const auto* name = std::get_if<std::string>(&operand);
                if (name != nullptr && parts_.contains(*name)) {
                    return true;
                }
            }
        }
        return false;
    }

    bool take(const mil::Operation& operation) {
        int wide = -1;
        for (const auto& result : operation.results) {
            wide = std::max(wide, wide_axis(result.type));
        }
        const std::string& op = operation.op;
        const bool parted = has_parts();
        if (op == "matmul") {
            return take_matmul(wide);
        }
        if (op == "conv") {
            return take_conv(wide);
        }
        if (op == "linear") {
            return take_linear(wide);
        }
        if (wide < 0 && !parted) {
            return false;
        }
        if (op == "concat") {
            take_concat();
        } else if (op == "transpose") {
            take_transpose(wide);
        } else if (op == "reshape" || op == "expand_dims" || op == "squeeze") {
            take_view(wide);
        } else if (op == "reduce_sum" || op == "reduce_max" || op == "reduce_min") {
            take_reduction();
        } else if (op == "softmax") {
            take_softmax(wide);
        } else if (contains(pointwise, op)) {
            take_pointwise(wide);
        } else {
            stop(fmt::format("{} with {} cannot be done in parts", op,
                             wide >= 0 ? "so wide a result" : "so wide an operand"));
        }
        return true;
    }

    /// Makes the results, given in parts: one value where it is small enough.
    void finish(int axis, const Sizes& sizes, std::vector<mil::Value> values,
                const std::string& what) {
        const mil::NamedType& result = operation_->results.front();
        if (wide_axis(result.type) < 0) {
            note(fmt::format("{}, joined along axis {}", what, axis), Equality::bits);
            emission_.replace(*operation_, {emission_.ops().concat(values, axis)});
            return;
        }
        note(what, Equality::bits);
        emission_.drop(*operation_);
        parts_[result.name] = {axis, sizes, std::move(values)};
    }

    std::string in_parts(const Sizes& sizes, std::string_view unit) const {
        const bool equal = std::all_of(sizes.begin(), sizes.end(),
                                       [&](std::int64_t size) { return size == sizes.front(); });
        std::int64_t total = 0;
        for (const std::int64_t size : sizes) {
            total += size;
        }
        return fmt::format("{} {} in {} chunks of {}{}", total, unit, sizes.size(),
                           equal ? "" : "at most ", *std::max_element(sizes.begin(), sizes.end()));
    }

    /// The sum of partial results, in their order.
    mil::Value sum(const std::vector<mil::Value>& partial) {
        mil::Value total = partial.front();
        for (std::size_t i = 1; i < partial.size(); ++i) {
            total = emission_.ops().add(total, partial[i]);
        }
        return total;
    }

    /// The terms that one sum may have: what the product takes, and its operands' axes.
    std::int64_t inner_limit(std::int64_t most, std::string_view x, int x_axis, std::string_view y,
                             int y_axis) const {
        for (const auto& [name, axis] : {std::pair(x, x_axis), std::pair(y, y_axis)}) {
            const std::int64_t one = axis_limit(limits(), in_->type(name).shape.rank(), axis);
            most = one > 0 && (most == 0 || one < most) ? one : most;
        }
        return most;
    }

    bool take_matmul(int wide) {
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
        finish(axis, sizes, std::move(values),
               "matmul: " + in_parts(sizes, rows ? "rows" : "columns"));
        return true;
    }

    bool take_conv(int wide) {
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
            const Sizes sizes = px != nullptr ? px->sizes : chunks(channels, most);
            const auto xs = cut_operand("x", 1, sizes), ws = cut_operand("weight", 1, sizes);
            std::vector<mil::Value> partial;
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                const std::set<std::string, std::less<>> dropped =
                    i == 0 ? std::set<std::string, std::less<>>{}
                           : std::set<std::string, std::less<>>{"bias"};
                partial.push_back(
                    emission_.again(*operation_, {{"x", xs[i]}, {"weight", ws[i]}}, dropped)
                        .front());
            }
            note("conv: " + in_parts(sizes, "input channels") + ", whose sums are added",
                 Equality::mathematics);
            emission_.replace(*operation_, {sum(partial)});
            return true;
        }
        if (px != nullptr || (pw != nullptr && pw->axis != 0) || (wide >= 0 && wide != 1)) {
            stop("a conv is too wide along another axis than its channels");
        }
        const Sizes sizes =
            pw != nullptr ? pw->sizes : chunks_of(operation_->results.front().type, 1);
        const auto ws = cut_operand("weight", 0, sizes);
        std::vector<mil::Value> biases, values;
        if (in_->has("bias")) {
            biases = cut_operand("bias", 0, sizes);
        }
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            std::map<std::string, mil::Value, std::less<>> changed{{"weight", ws[i]}};
            if (!biases.empty()) {
                changed["bias"] = biases[i];
            }
            values.push_back(emission_.again(*operation_, changed).front());
        }
        finish(1, sizes, std::move(values), "conv: " + in_parts(sizes, "output channels"));
        return true;
    }

    bool take_linear(int wide) {
        const Parts *px = parts_of("x"), *pw = parts_of("weight");
        const int last = in_->type("x").shape.rank() - 1;
        const std::int64_t inner = in_->type("x").shape[-1], most = limits().max_inner;
        const bool in_columns =
            (px != nullptr && px->axis == last) || (pw != nullptr && pw->axis == 1);
        if ((most > 0 && inner > most) || in_columns) {
            if (wide >= 0) {
                stop("a linear is too wide in its sums and in its result");
            }
            const Sizes sizes = px != nullptr ? px->sizes
                                : pw != nullptr
                                    ? pw->sizes
                                    : chunks(inner, inner_limit(most, "x", last, "weight", 1));
            const auto xs = cut_operand("x", last, sizes), ws = cut_operand("weight", 1, sizes);
            std::vector<mil::Value> partial;
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                const std::set<std::string, std::less<>> dropped =
                    i == 0 ? std::set<std::string, std::less<>>{}
                           : std::set<std::string, std::less<>>{"bias"};
                partial.push_back(
                    emission_.again(*operation_, {{"x", xs[i]}, {"weight", ws[i]}}, dropped)
                        .front());
            }
            note("linear: " + in_parts(sizes, "terms a sum") + ", whose sums are added",
                 Equality::mathematics);
            emission_.replace(*operation_, {sum(partial)});
            return true;
        }
        if (wide < 0 && px == nullptr && pw == nullptr) {
            return false;
        }
        if (px != nullptr || (pw != nullptr && pw->axis != 0) || (wide >= 0 && wide != last)) {
            stop("a linear is too wide along another axis than its outputs");
        }
        const Sizes sizes =
            pw != nullptr ? pw->sizes : chunks_of(operation_->results.front().type, last);
        const auto ws = cut_operand("weight", 0, sizes);
        std::vector<mil::Value> biases, values;
        if (in_->has("bias")) {
            biases = cut_operand("bias", 0, sizes);
        }
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            std::map<std::string, mil::Value, std::less<>> changed{{"weight", ws[i]}};
            if (!biases.empty()) {
                changed["bias"] = biases[i];
            }
            values.push_back(emission_.again(*operation_, changed).front());
        }
        finish(last, sizes, std::move(values), "linear: " + in_parts(sizes, "outputs"));
        return true;
    }

    /// Values joined along the axis that is too wide are its parts.
    void take_concat() {
        const Shape& shape = operation_->results.front().type.shape;
        const std::int64_t given = in_->integer("axis");
        const int axis = static_cast<int>(given < 0 ? given + shape.rank() : given);
        if (in_->boolean("interleave")) {
            stop("an interleaved concat cannot be done in parts");
        }
        Parts parts{axis, {}, {}};
        const mil::Argument* given_values = operation_->find_argument("values");
        const auto whole = whole_values();
        for (std::size_t i = 0; i < given_values->operands.size(); ++i) {
            const auto* name = std::get_if<std::string>(&given_values->operands[i]);
            const auto found = name == nullptr ? parts_.end() : parts_.find(*name);
            if (found == parts_.end()) {
                parts.sizes.push_back(whole[i].shape()[axis]);
                parts.values.push_back(whole[i]);
                continue;
            }
            if (found->second.axis != axis) {
                stop("a concat along another axis than that of its parts");
            }
            parts.sizes.insert(parts.sizes.end(), found->second.sizes.begin(),
                               found->second.sizes.end());
            parts.values.insert(parts.values.end(), found->second.values.begin(),
                                found->second.values.end());
        }
        finish(axis, parts.sizes, std::move(parts.values), "concat: its values stay apart");
    }

    /// The operands of `values` that are whole, in their places.
    std::vector<mil::Value> whole_values() {
        std::vector<mil::Value> values;
        for (const auto& operand : operation_->find_argument("values")->operands) {
            const auto* name = std::get_if<std::string>(&operand);
            if (name != nullptr && parts_.contains(*name)) {
                values.emplace_back();
            } else if (name != nullptr) {
                values.push_back(emission_.value(*name));
            } else {
                values.push_back(emission_.ops().constant(std::get<mil::Literal>(operand), "v"));
            }
        }
        return values;
    }

    void take_transpose(int wide) {
        const Parts* px = parts_of("x");
        const Shape& x = in_->type("x").shape;
        auto perm = in_->integers("perm");
        for (auto& axis : perm) {
            axis = axis < 0 ? axis + x.rank() : axis;
        }
        const int from =
            px != nullptr ? px->axis : static_cast<int>(perm[static_cast<std::size_t>(wide)]);
        const auto axis =
            static_cast<int>(std::find(perm.begin(), perm.end(), from) - perm.begin());
        if (wide >= 0 && wide != axis) {
            stop("a transpose is too wide along another axis than its operand");
        }
        const Sizes sizes =
            px != nullptr ? px->sizes : chunks_of(operation_->results.front().type, axis);
        std::vector<mil::Value> values;
        for (const mil::Value& one : cut_operand("x", from, sizes)) {
            values.push_back(emission_.ops().transpose(one, perm));
        }
        finish(axis, sizes, std::move(values), "transpose: " + in_parts(sizes, "positions"));
    }

    /// reshape, expand_dims, squeeze: an axis with as many elements before it as one of x's, and of
    /// its size, is that axis.
    void take_view(int wide) {
        const Parts* px = parts_of("x");
        const Shape& x = in_->type("x").shape;
        const Shape& y = operation_->results.front().type.shape;
        const auto same_axis = [](const Shape& of, int axis, const Shape& in) {
            std::int64_t before = 1;
            for (int i = 0; i < axis; ++i) {
                before *= of[i];
            }
            std::int64_t reached = 1;
            for (int i = 0; i < in.rank(); ++i) {
                if (reached == before && in[i] == of[axis]) {
                    return i;
                }
                reached *= in[i];
            }
            return -1;
        };
        const int from = px != nullptr ? px->axis : same_axis(y, wide, x);
        const int axis = from < 0 ? -1 : same_axis(x, from, y);
        if (axis < 0 || (wide >= 0 && wide != axis)) {
            stop(fmt::format("a {} from {} to {} mixes the axis that is too wide with others",
                             operation_->op, x.text(), y.text()));
        }
        const Sizes sizes =
            px != nullptr ? px->sizes : chunks_of(operation_->results.front().type, axis);
        std::vector<mil::Value> values;
        for (const mil::Value& one : cut_operand("x", from, sizes)) {
            Shape shape = y;
            shape[axis] = one.shape()[from];
            values.push_back(emission_.ops().reshape(one, shape));
        }
        finish(axis, sizes, std::move(values),
               operation_->op + ": " + in_parts(sizes, "positions"));
    }

    void take_reduction() {
        const Parts* px = parts_of("x");
        if (px == nullptr) {
            stop("a reduction's result is too wide where its operand is not");
        }
        const Shape& x = in_->type("x").shape;
        std::vector<bool> reduced(static_cast<std::size_t>(x.rank()), !in_->has("axes"));
        if (in_->has("axes")) {
            for (const std::int64_t axis : in_->integers("axes")) {
                reduced[static_cast<std::size_t>(axis < 0 ? axis + x.rank() : axis)] = true;
            }
        }
        std::vector<mil::Value> values;
        for (const mil::Value& one : px->values) {
            values.push_back(emission_.again(*operation_, {{"x", one}}).front());
        }
        if (!reduced[static_cast<std::size_t>(px->axis)]) {
            int axis = px->axis;
            if (!in_->boolean("keep_dims")) {
                axis -=
                    static_cast<int>(std::count(reduced.begin(), reduced.begin() + px->axis, true));
            }
            finish(axis, px->sizes, std::move(values),
                   operation_->op + ": " + in_parts(px->sizes, "positions"));
            return;
        }
        if (operation_->op == "reduce_sum") {
            note("reduce_sum: " + in_parts(px->sizes, "terms") + ", whose sums are added",
                 Equality::mathematics);
            emission_.replace(*operation_, {sum(values)});
            return;
        }
        const std::string_view op = operation_->op == "reduce_max" ? "maximum" : "minimum";
        mil::Value best = values.front();
        for (std::size_t i = 1; i < values.size(); ++i) {
            best = emission_.ops().call(op, {{"x", best}, {"y", values[i]}});
        }
        note(operation_->op + ": " + in_parts(px->sizes, "terms"), Equality::bits);
        emission_.replace(*operation_, {best});
    }

    void take_softmax(int wide) {
        const Parts* px = parts_of("x");
        const std::int64_t given = in_->integer("axis");
        const int rank = in_->type("x").shape.rank();
        if (px == nullptr || px->axis == (given < 0 ? given + rank : given) ||
            (wide >= 0 && wide != px->axis)) {
            stop("a softmax along the axis that is too wide; compute it on the host");
        }
        std::vector<mil::Value> values;
        for (const mil::Value& one : px->values) {
            values.push_back(emission_.again(*operation_, {{"x", one}}).front());
        }
        finish(px->axis, px->sizes, std::move(values),
               "softmax: " + in_parts(px->sizes, "positions"));
    }

    void take_pointwise(int wide) {
        const Shape& y = operation_->results.front().type.shape;
        int axis = wide;
        Sizes sizes;
        for (const auto& argument : operation_->arguments) {
            if (const Parts* parts = parts_of(argument.name)) {
                const int here = parts->axis + y.rank() - in_->type(argument.name).shape.rank();
                if ((axis >= 0 && here != axis) || (!sizes.empty() && sizes != parts->sizes)) {
                    stop(fmt::format("the operands of {} are in different parts", operation_->op));
                }
                axis = here;
                sizes = parts->sizes;
            }
        }
        if (sizes.empty()) {
            sizes = chunks_of(operation_->results.front().type, axis);
        }
        std::map<std::string, std::vector<mil::Value>, std::less<>> cut;
        for (const auto& argument : operation_->arguments) {
            const Shape& shape = in_->type(argument.name).shape;
            const int own = axis - (y.rank() - shape.rank());
            if (own >= 0 && shape[own] == y[axis] && shape[own] != 1) {
                cut[argument.name] = cut_operand(argument.name, own, sizes);
            }
        }
        std::vector<mil::Value> values;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            std::map<std::string, mil::Value, std::less<>> changed;
            for (const auto& [name, parts] : cut) {
                changed[name] = parts[i];
            }
            values.push_back(emission_.again(*operation_, changed).front());
        }
        finish(axis, sizes, std::move(values),
               operation_->op + ": " + in_parts(sizes, "positions"));
    }

    const mil::Function& from_;
    const Work& work_;
    mil::WeightFiles& weights_;
    Emission emission_;
    const mil::Operation* operation_ = nullptr;
    const mil::Arguments* in_ = nullptr;
    std::map<std::string, Parts, std::less<>> parts_;
};

/// What a refusal is about: the first value that is too wide.
Refusal refusal(const mil::Function& function, const Limits& limits, std::string reason) {
    Refusal found{std::string(wide_info.rule), function.position.line, function.name,
                  std::move(reason)};
    const auto is_wide = [&](const mil::Type& type) {
        for (int axis = 0; type.is_tensor() && axis < type.shape.rank(); ++axis) {
            const std::int64_t limit = axis_limit(limits, type.shape.rank(), axis);
            if (limit > 0 && type.shape[axis] > limit) {
                return true;
            }
        }
        return false;
    };
    for (const auto& parameter : function.parameters) {
        if (is_wide(parameter.type)) {
            found.value = parameter.name;
            return found;
        }
    }
    for (const auto& operation : function.operations) {
        for (const auto& result : operation.results) {
            if (operation.op != "const" && is_wide(result.type)) {
                found.value = result.name;
                found.line = operation.position.line;
                return found;
            }
        }
    }
    return found;
}

}  // namespace

mil::Function split_wide(const mil::Function& function, const Work& work) {
    mil::WeightFiles weights = work.weights;
    Splitter splitter(function, work, weights);
    splitter.boundary = work.boundary;
    try {
        mil::Function split = splitter.run();
        if (splitter.changes.empty()) {
            return function;
        }
        work.weights = std::move(weights);
        work.boundary = std::move(splitter.boundary);
        work.changes.insert(work.changes.end(), splitter.changes.begin(), splitter.changes.end());
        return split;
    } catch (const Unsplittable& problem) {
        work.refusals.push_back(refusal(function, work.profile.limits, problem.reason));
        return function;
    }
}

}  // namespace pome::device::legalizing
