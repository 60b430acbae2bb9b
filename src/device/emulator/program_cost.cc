#include "device/emulator/program_cost.h"

#include <algorithm>
#include <map>
#include <set>

#include "mil/schema.h"

namespace pome::device::emulator {
namespace {

constexpr std::string_view here = "device.time_model";

bool is_one_of(std::string_view op, std::initializer_list<std::string_view> ops) {
    return std::find(ops.begin(), ops.end(), op) != ops.end();
}

bool is_free(std::string_view op) {
    return is_one_of(op, {"const", "reshape", "expand_dims", "squeeze", "flatten2d", "identity",
                          "cast", "quantize", "dequantize"}) ||
           op.starts_with("constexpr_");
}

bool is_product(std::string_view op) {
    return is_one_of(
        op, {"conv", "conv_transpose", "matmul", "linear", "scaled_dot_product_attention"});
}

bool is_movement(std::string_view op) {
    return is_one_of(op, {"transpose", "slice_by_size", "slice_by_index", "concat", "split",
                          "stack", "pad", "tile", "reverse", "gather", "gather_along_axis", "crop",
                          "pixel_shuffle", "pixel_unshuffle", "depth_to_space", "space_to_depth",
                          "batch_to_space", "space_to_batch"});
}

/// Ops whose result depends on more than one element of x: they cannot ride in an epilogue.
bool is_whole_row(std::string_view op) {
    return op.starts_with("reduce_") || op.ends_with("_norm") || op.ends_with("_pool") ||
           is_one_of(op, {"softmax", "cumsum", "topk", "select", "resize_bilinear",
                          "resize_nearest_neighbor", "upsample_bilinear",
                          "upsample_nearest_neighbor", "resample", "affine", "crop_resize"});
}

double stored_bytes(const mil::Type& type) {
    return static_cast<double>(type.shape.elements()) * static_cast<double>(bits(type.dtype)) / 8.0;
}

double bytes_of(const mil::Type& type) {
    if (!type.is_tensor() || !type.shape.is_static()) {
        fail(Code::malformed_program, here,
             "a value of type {} has no size before it is bound; give every axis a number",
             type.text());
    }
    return type.dtype == DType::string ? 0.0 : stored_bytes(type);
}

/// Whether a constant is data that the engine streams; axes, strides and scalars are part of the
/// program itself.
bool is_data(const mil::Type& type) {
    return type.is_tensor() && type.shape.rank() > 0 && type.dtype != DType::string &&
           type.dtype != DType::boolean && type.dtype != DType::int32;
}

/// Walks a function once.
class Counter {
  public:
    explicit Counter(const mil::Function& function) : function_(function) {}

    ProgramCost count() {
        for (const auto& parameter : function_.parameters) {
            values_[parameter.name] = {.type = parameter.type};
            cost_.input_bytes += bytes_of(parameter.type);
        }
        for (const auto& operation : function_.operations) {
            for (const auto& argument : operation.arguments) {
                for (const auto& operand : argument.operands) {
                    if (const auto* used = std::get_if<std::string>(&operand)) {
                        ++uses_[*used];
                        consumers_[*used].push_back(&operation);
                    }
                }
            }
        }
        for (const auto& output : function_.outputs) {
            ++uses_[output];
        }
        for (const auto& operation : function_.operations) {
            count(operation);
        }
        for (const auto& output : function_.outputs) {
            cost_.output_bytes += bytes_of(find(output).type);
        }
        return std::move(cost_);
    }

  private:
    struct Value {
        mil::Type type;
        bool constant = false;
        double stored = 0.0;  ///< bytes of the constant's data where it is kept
        std::string data{};   ///< where a constant's data lie: equal places are equal data
        bool int8 = false;    ///< dequantized from int8
        int producer = -1;    ///< the engine operation whose result this is, -1 for inputs
        const mil::Literal* literal = nullptr;
    };

    const Value& find(const std::string& name) const {
        const auto found = values_.find(name);
        if (found == values_.end()) {
            fail(Code::malformed_program, here, "value '{}' is used but not defined", name);
        }
        return found->second;
    }

    Value value_of(const mil::Operand& operand) const {
        if (const auto* literal = std::get_if<mil::Literal>(&operand)) {
            return {.type = literal->type, .constant = true, .literal = literal};
        }
        return find(std::get<std::string>(operand));
    }

    std::vector<Value> operands(const mil::Operation& operation, std::string_view argument) const {
        std::vector<Value> list;
        if (const auto* given = operation.find_argument(argument)) {
            for (const auto& operand : given->operands) {
                list.push_back(value_of(operand));
            }
        }
        return list;
    }

    Value operand(const mil::Operation& operation, std::string_view argument) const {
        auto list = operands(operation, argument);
        if (list.size() != 1) {
            fail(Code::malformed_program, here, "{} has no argument '{}' {}", operation.op,
                 argument, mil::where(operation));
        }
        return list.front();
    }

    bool flag(const mil::Operation& operation, std::string_view argument) const {
        const auto list = operands(operation, argument);
        return !list.empty() && list.front().literal != nullptr &&
               list.front().literal->numbers().front() != 0.0;
    }

    void count(const mil::Operation& operation) {
        if (mil::find_schema(operation.op) == nullptr && operation.op != "const" &&
            !operation.op.starts_with("constexpr_")) {
            fail(Code::malformed_program, here,
                 "'{}' is no op that has a price {}; `pome devices --verbose` lists the known ones",
                 operation.op, mil::where(operation));
        }
        if (operation.op == "const") {
            add_constant(operation);
        } else if (operation.op.starts_with("constexpr_")) {
            add_compressed(operation);
        } else if (is_free(operation.op)) {
            add_view(operation);
        } else {
            add_work(operation);
        }
    }

    static std::string place(const mil::Literal& literal, const std::string& otherwise) {
        const auto* blob = std::get_if<mil::Blob>(&literal.payload);
        return blob != nullptr ? fmt::format("{}+{}", blob->path, blob->offset) : otherwise;
    }

    void add_constant(const mil::Operation& operation) {
        for (const auto& result : operation.results) {
            const mil::Literal* literal = operation.find_attribute("val");
            Value value{.type = result.type, .constant = true, .literal = literal};
            value.stored = is_data(result.type) ? bytes_of(result.type) : 0.0;
            value.data = literal != nullptr ? place(*literal, result.name) : result.name;
            values_[result.name] = value;
        }
    }

    /// constexpr_*: a constant that is kept smaller than it is.
    void add_compressed(const mil::Operation& operation) {
        const mil::Type& type = operation.results.front().type;
        Value value{.type = type, .constant = true};
        const auto add = [&](const mil::Literal& literal) {
            value.stored += bytes_of(literal.type);
            value.data += place(literal, operation.results.front().name) + " ";
            value.int8 = value.int8 || literal.type.dtype == DType::int8;
        };
        for (const auto& attribute : operation.attributes) {
            if (attribute.name != "name" && attribute.value.type.is_tensor() &&
                attribute.value.type.dtype != DType::string) {
                add(attribute.value);
            }
        }
        for (const auto& argument : operation.arguments) {
            if (argument.name == "axis") {
                continue;
            }
            for (const auto& given : argument.operands) {
                const Value part = value_of(given);
                value.stored += part.stored;
                value.data += part.data + " ";
                value.int8 = value.int8 || part.type.dtype == DType::int8;
            }
        }
        values_[operation.results.front().name] = value;
    }

    /// The same elements under another shape or type.
    void add_view(const mil::Operation& operation) {
        Value source;
        for (const auto& argument : operation.arguments) {
            if (argument.name == "x" || argument.name == "input") {
                source = value_of(argument.operands.front());
            }
        }
        const bool was_int8 = source.int8 || source.type.dtype == DType::int8;
        for (const auto& result : operation.results) {
            Value value = source;
            value.type = result.type;
            value.int8 = operation.op != "quantize" && was_int8;
            values_[result.name] = value;
            // A view that is the only user of its source passes the right to fuse on.
            if (const auto* x = operation.find_argument(source.type.is_tensor() ? "x" : "input")) {
                if (const auto* used = std::get_if<std::string>(&x->operands.front());
                    used != nullptr && uses_[*used] > 1) {
                    uses_[result.name] = std::max(uses_[result.name], 2);
                }
            }
        }
        OperationCost cost;
        cost.op = operation.op;
        cost.result = operation.results.front().name;
        cost.line = operation.position.line;
        cost_.operations.push_back(cost);
    }

    void add_work(const mil::Operation& operation) {
        OperationCost cost;
        cost.op = operation.op;
        cost.result = operation.results.front().name;
        cost.line = operation.position.line;
        std::set<std::string> seen;
        std::vector<std::pair<std::string, Value>> live;
        for (const auto& argument : operation.arguments) {
            for (const auto& given : argument.operands) {
                const Value value = value_of(given);
                if (value.constant) {
                    // A constant is kept once, however often a program names it.
                    if (!value.data.empty() && weights_.insert(value.data).second) {
                        cost.weight_bytes += value.stored;
                    }
                    continue;
                }
                const auto& used = std::get<std::string>(given);
                if (seen.insert(used).second) {
                    // What comes out of a dequantize lies in memory as it went in.
                    const bool one_byte = value.int8 && value.type.dtype == DType::fp16;
                    cost.read_bytes += bytes_of(value.type) / (one_byte ? 2.0 : 1.0);
                    live.emplace_back(used, value);
                }
            }
        }
        for (const auto& result : operation.results) {
            cost.written_bytes += bytes_of(result.type);
        }
        if (is_product(operation.op)) {
            add_product(operation, cost);
        } else if (is_movement(operation.op)) {
            cost.work = Work::movement;
            // Only what is moved is read.
            cost.read_bytes = std::min(cost.read_bytes, cost.written_bytes);
            cost.fused = operation.op == "transpose" && folds(operation, live);
        } else {
            const bool reduces = operation.op.starts_with("reduce_");
            cost.work = reduces ? Work::reduction : Work::elementwise;
            cost.fused = !is_whole_row(operation.op) && live.size() == 1 && rides(live.front());
        }
        const int index = static_cast<int>(cost_.operations.size());
        for (const auto& result : operation.results) {
            values_[result.name] = {.type = result.type,
                                    .producer = cost.work == Work::movement ? -1 : index};
        }
        cost_.operations.push_back(cost);
    }

    /// Whether an operation may follow its operand's producer in that one's slots: nobody else
    /// wants the value between them.
    bool rides(const std::pair<std::string, Value>& operand) {
        if (operand.second.producer < 0 || uses_[operand.first] > 1) {
            return false;
        }
        const auto& producer = cost_.operations[static_cast<std::size_t>(operand.second.producer)];
        return !is_whole_row(producer.op);
    }

    /// A transpose costs nothing before or after a product, which reads and writes in any order.
    bool folds(const mil::Operation& operation,
               const std::vector<std::pair<std::string, Value>>& live) {
        if (live.size() == 1 && live.front().second.producer >= 0 &&
            is_product(
                cost_.operations[static_cast<std::size_t>(live.front().second.producer)].op)) {
            return true;
        }
        return feeds_products_only(operation.results.front().name);
    }

    bool feeds_products_only(const std::string& name) const {
        std::vector<std::string> open{name};
        bool any = false;
        while (!open.empty()) {
            const auto users = consumers_.find(open.back());
            open.pop_back();
            if (users == consumers_.end()) {
                return false;
            }
            for (const mil::Operation* user : users->second) {
                if (user->op == "reshape") {
                    open.push_back(user->results.front().name);
                } else if (!is_product(user->op)) {
                    return false;
                }
                any = true;
            }
        }
        return any;
    }

    void add_product(const mil::Operation& operation, OperationCost& cost) {
        const Shape& result = operation.results.front().type.shape;
        const auto elements = static_cast<double>(result.elements());
        cost.work = Work::matmul;
        if (operation.op == "conv" || operation.op == "conv_transpose") {
            add_convolution(operation, cost);
            return;
        }
        if (operation.op == "scaled_dot_product_attention") {
            const Value q = operand(operation, "query"), k = operand(operation, "key");
            const auto keys = static_cast<double>(k.type.shape[-2]);
            const auto rows = static_cast<double>(q.type.shape.elements() / q.type.shape[-1]);
            cost.inner = q.type.shape[-1];
            cost.outputs = k.type.shape[-2];
            cost.positions = q.type.shape[-2];
            cost.flops = 2.0 * rows * keys * static_cast<double>(q.type.shape[-1] + result[-1]);
            // The scores: written, normalised and read again.
            cost.read_bytes += 2.0 * 2.0 * rows * keys;
            cost.written_bytes += 2.0 * 2.0 * rows * keys;
            return;
        }
        const bool linear = operation.op == "linear";
        const Value x = operand(operation, "x"), y = operand(operation, linear ? "weight" : "y");
        const bool transposed = !linear && flag(operation, "transpose_x");
        cost.inner = x.type.shape[transposed ? -2 : -1];
        cost.flops = 2.0 * elements * static_cast<double>(cost.inner);
        cost.int8 = x.int8 && y.int8;
        // Channels of the constant's side; without one, the longer side.
        cost.outputs = x.constant   ? result[-2]
                       : y.constant ? result[-1]
                                    : std::max(result[-2], result[-1]);
        cost.positions = result.elements() / std::max<std::int64_t>(1, cost.outputs);
        if (x.constant || y.constant) {
            cost.work = Work::pointwise;
        }
    }

    void add_convolution(const mil::Operation& operation, OperationCost& cost) {
        const Value x = operand(operation, "x"), weight = operand(operation, "weight");
        const Shape& kernel = weight.type.shape;
        const Shape& result = operation.results.front().type.shape;
        std::int64_t window = 1;
        for (int axis = 2; axis < kernel.rank(); ++axis) {
            window *= kernel[axis];
        }
        const bool transpose = operation.op == "conv_transpose";
        // conv: every result is a sum over kernel[1] channels and the window; conv_transpose:
        // every operand goes to kernel[1] results of a window.
        const auto sums = static_cast<double>((transpose ? x.type.shape : result).elements());
        cost.flops = 2.0 * sums * static_cast<double>(kernel[1] * window);
        cost.inner = (transpose ? kernel[0] : kernel[1]) * window;
        cost.outputs = result[1];
        cost.positions = result.elements() / std::max<std::int64_t>(1, result[1]);
        cost.kernel_height = kernel.rank() > 2 ? kernel[2] : 1;
        cost.kernel_width = kernel[-1];
        cost.work = window == 1 ? Work::pointwise : Work::convolution;
        cost.int8 = x.int8 && weight.int8;
        for (const auto& strides : operands(operation, "strides")) {
            if (strides.literal != nullptr) {
                for (const double stride : strides.literal->numbers()) {
                    cost.stride_one = cost.stride_one && stride == 1.0;
                }
            }
        }
    }

    const mil::Function& function_;
    ProgramCost cost_;
    std::map<std::string, Value, std::less<>> values_;
    std::map<std::string, int, std::less<>> uses_;
    std::map<std::string, std::vector<const mil::Operation*>, std::less<>> consumers_;
    std::set<std::string> weights_;
};

}  // namespace

std::string_view name(Work work) {
    constexpr std::string_view names[] = {"1x1",       "conv",     "matmul", "elementwise",
                                          "reduction", "movement", "free"};
    return names[static_cast<int>(work)];
}

double ProgramCost::flops() const {
    double sum = 0.0;
    for (const auto& operation : operations) {
        sum += operation.flops;
    }
    return sum;
}

double ProgramCost::weight_bytes() const {
    double sum = 0.0;
    for (const auto& operation : operations) {
        sum += operation.weight_bytes;
    }
    return sum;
}

ProgramCost program_cost(const mil::Function& function) {
    return Counter(function).count();
}

}  // namespace pome::device::emulator
