#include "device/emulator/plan.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "device/emulator/counting.h"
#include "device/op_support.h"
#include "kernels/convert.h"

namespace pome::device::emulator {
namespace {

constexpr std::string_view here = "emulator.compile";
constexpr std::int64_t conversion_grain = 16384;
constexpr std::size_t alignment = 64;  // elements: slots start on cache lines

/// What may cross a program's boundary (spec.md 2.1).
bool crosses(DType dtype) {
    return dtype == DType::fp16 || dtype == DType::fp32 || dtype == DType::int8 ||
           dtype == DType::uint8 || dtype == DType::int16 || dtype == DType::uint16;
}

/// Integers of a surface as halves: exact for 8 bits, ties away beyond 2048.
template <typename Integer>
void load_integers(const Surface& surface, fp16* target) {
    for (std::int64_t i = 0; i < surface.elements(); ++i) {
        Integer value;
        std::memcpy(&value, surface.bytes().data() + i * static_cast<std::int64_t>(sizeof value),
                    sizeof value);
        target[i] = to_fp16(static_cast<float>(value), Rounding::nearest_away);
    }
}

/// Halves as integers: fractions cut off, values beyond the range at its ends, NaN 0.
template <typename Integer>
void store_integers(const fp16* source, Surface& surface) {
    constexpr auto low = static_cast<float>(std::numeric_limits<Integer>::lowest()),
                   high = static_cast<float>(std::numeric_limits<Integer>::max());
    for (std::int64_t i = 0; i < surface.elements(); ++i) {
        const float value = to_float(source[i]);
        const auto stored = static_cast<Integer>(value >= low  ? std::min(value, high)
                                                 : value < low ? low
                                                               : 0.0F);
        std::memcpy(surface.bytes().data() + i * static_cast<std::int64_t>(sizeof stored), &stored,
                    sizeof stored);
    }
}

/// Calls `use` with an integer of the type that `dtype` is.
template <typename Use>
void with_integer(DType dtype, Use use) {
    switch (dtype) {
        case DType::int8:
            return use(std::int8_t{});
        case DType::uint8:
            return use(std::uint8_t{});
        case DType::int16:
            return use(std::int16_t{});
        default:
            return use(std::uint16_t{});
    }
}

/// The elements of a float literal as the engine stores them.
std::vector<fp16> halves(const mil::Literal& literal, const mil::WeightFiles& weights) {
    const auto bytes = weights.resolve(literal);
    std::vector<fp16> result(static_cast<std::size_t>(literal.type.shape.elements()));
    if (literal.type.dtype == DType::fp16) {
        std::memcpy(result.data(), bytes.data(), result.size() * sizeof(fp16));
        return result;
    }
    if (literal.type.dtype == DType::fp32) {
        std::vector<float> floats(result.size());
        std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
        kernels::to_fp16(floats.data(), result.data(), static_cast<std::int64_t>(floats.size()),
                         Rounding::nearest_even);
        return result;
    }
    mil::Literal plain{literal.type, bytes};
    const auto numbers = plain.numbers();
    std::transform(numbers.begin(), numbers.end(), result.begin(),
                   [](double value) { return to_fp16(value, Rounding::nearest_even); });
    return result;
}

}  // namespace

void Plan::refuse(const mil::Operation& operation, const std::string& reason) {
    fail(Code::compile_failed, here, "{}: {} {}", operation.op, reason, mil::where(operation));
}

Plan::Plan(const mil::Package& package, const mil::Function& function, const Profile& profile,
           Tables& tables, Counting counting)
    : package_(&package),
      numerics_(profile.numerics),
      capabilities_(profile.capabilities),
      tables_(tables),
      counting_(counting) {
    add_inputs(function);
    for (const auto& operation : function.operations) {
        add_operation(operation);
    }
    add_outputs(function);
    fuse();
    lay_out();
    // Only needed while planning; the literals they point to belong to the caller.
    package_ = nullptr;
    known_.clear();
    producers_.clear();
    folded_.clear();
    constant_slots_.clear();
}

int Plan::make_slot(std::int64_t elements) {
    Slot slot;
    slot.elements = elements;
    slots_.push_back(std::move(slot));
    return static_cast<int>(slots_.size()) - 1;
}

void Plan::add_inputs(const mil::Function& function) {
    for (const auto& parameter : function.parameters) {
        const int slot = make_slot(parameter.type.shape.elements());
        places_[parameter.name] = {slot, parameter.type.shape};
        known_[parameter.name] = {parameter.type};
        if (parameter.type.dtype == DType::fp16) {
            slots_[static_cast<std::size_t>(slot)].kind = Kind::input;
            slots_[static_cast<std::size_t>(slot)].boundary = parameter.name;
        } else if (crosses(parameter.type.dtype)) {
            loads_.push_back({parameter.name, slot, parameter.type.bytes()});
        } else {
            fail(Code::compile_failed, here,
                 "input '{}' is {}: the engine takes fp16, fp32 and integers of 8 and 16 bits; "
                 "cast outside",
                 parameter.name, parameter.type.text());
        }
    }
}

void Plan::add_operation(const mil::Operation& operation) {
    const mil::Schema* schema = mil::find_schema(operation.op);
    const auto maker = makers().find(operation.op);
    if (operation.op == "const") {
        for (const auto& result : operation.results) {
            known_[result.name] = {result.type, operation.find_attribute("val")};
        }
        return;
    }
    if (schema == nullptr || maker == makers().end()) {
        const OpSupport* support = find_op_support(operation.op);
        if (support != nullptr && !support->unmodelled.empty()) {
            refuse(operation, "not emulated: " + support->unmodelled + "; use " + support->remedy);
        }
        refuse(operation,
               "the emulator does not know this op; `pome devices --verbose` lists those it knows");
    }
    const mil::Arguments arguments = arguments_of(operation);
    const std::size_t first = steps_.size();
    maker->second(*this, operation, arguments);
    if (steps_.size() > first) {
        count_from(operation);
    }
    for (const auto& result : operation.results) {
        known_.try_emplace(result.name, mil::Known{result.type});
        producers_[result.name] = &operation;
    }
}

void Plan::count_from(const mil::Operation& operation) {
    Counted counted;
    counted.counts.op = operation.op;
    counted.counts.value = operation.results.front().name;
    counted.counts.line = operation.position.line;
    counted.end = steps_.size();
    if (counting_ != Counting::products && !only_moves(operation.op)) {
        counted.result = places_.find(operation.results.front().name)->second;
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                const auto* name = std::get_if<std::string>(&operand);
                const auto* literal = std::get_if<mil::Literal>(&operand);
                if (const auto place = name == nullptr ? places_.end() : places_.find(*name);
                    place != places_.end()) {
                    counted.operands.push_back(place->second);
                } else if (const auto known = name == nullptr ? known_.end() : known_.find(*name);
                           known != known_.end()) {
                    literal = known->second.constant;
                }
                if (const auto slot = constant_slots_.find(literal);
                    literal != nullptr && slot != constant_slots_.end()) {
                    counted.operands.push_back({slot->second, literal->type.shape});
                }
            }
        }
    }
    counted_.push_back(std::move(counted));
}

void Plan::count_operands(Counted& counted, const Run& run) const {
    const auto values = [&](const Place& place) {
        return run.slots[static_cast<std::size_t>(place.slot)];
    };
    if (!numerics_.elementwise.coerce_nan) {
        return;
    }
    for (const Place& operand : counted.operands) {
        counted.counts.coerced += count_nan(values(operand), operand.shape.elements());
    }
    const std::string& op = counted.counts.op;
    if (counted.operands.size() == 2 &&
        (op == "add" || op == "sub" || op == "mul" || op == "real_div")) {
        const Place &x = counted.operands[0], &y = counted.operands[1];
        counted.counts.coerced +=
            count_indeterminate(op, values(x), x.shape, values(y), y.shape, counted.result.shape);
    }
}

void Plan::count_result(Counted& counted, const Run& run, std::int64_t saturated) const {
    const bool scan = counting_ != Counting::products && counted.result.slot >= 0;
    counted.counts.saturated +=
        scan ? count_infinite(run.slots[static_cast<std::size_t>(counted.result.slot)],
                              counted.result.shape.elements())
             : saturated;
}

std::vector<OperationCounts> Plan::counts() const {
    std::vector<OperationCounts> counts;
    for (const Counted& counted : counted_) {
        if (counted.counts.saturated + counted.counts.coerced + counted.counts.vanished > 0) {
            counts.push_back(counted.counts);
        }
    }
    return counts;
}

mil::Lookup Plan::lookup() const {
    return [this](std::string_view name) -> const mil::Known* {
        const auto found = known_.find(name);
        return found == known_.end() ? nullptr : &found->second;
    };
}

mil::Arguments Plan::arguments_of(const mil::Operation& operation) const {
    return {operation, *mil::find_schema(operation.op), lookup(), &package_->weights};
}

mil::Arguments Plan::arguments_with(const mil::Operation& operation,
                                    const std::map<std::string, mil::Known>& replaced) const {
    return {operation, *mil::find_schema(operation.op),
            [this, &replaced](std::string_view name) -> const mil::Known* {
                if (const auto found = replaced.find(std::string(name)); found != replaced.end()) {
                    return &found->second;
                }
                const auto found = known_.find(name);
                return found == known_.end() ? nullptr : &found->second;
            },
            &package_->weights};
}

const mil::Operation* Plan::producer(const mil::Arguments& arguments, std::string_view name) const {
    const mil::Argument* argument = arguments.operation().find_argument(name);
    if (argument == nullptr || argument->operands.size() != 1) {
        return nullptr;
    }
    const auto* value = std::get_if<std::string>(&argument->operands.front());
    const auto found = value != nullptr ? producers_.find(*value) : producers_.end();
    return found == producers_.end() ? nullptr : found->second;
}

std::optional<reference::Tensor> Plan::elements(const mil::Arguments& arguments,
                                                std::string_view name) const {
    if (!arguments.has(name)) {
        return std::nullopt;
    }
    if (arguments.constant(name) != nullptr) {
        return arguments.tensor(name);
    }
    const mil::Argument* argument = arguments.operation().find_argument(name);
    const auto* value =
        argument != nullptr ? std::get_if<std::string>(&argument->operands.front()) : nullptr;
    const auto found = value != nullptr ? known_.find(*value) : known_.end();
    if (found == known_.end() || found->second.tensor == nullptr) {
        return std::nullopt;
    }
    return *found->second.tensor;
}

int Plan::constants(std::vector<fp16> values) {
    const int slot = make_slot(static_cast<std::int64_t>(values.size()));
    slots_[static_cast<std::size_t>(slot)].kind = Kind::constant;
    slots_[static_cast<std::size_t>(slot)].constant = std::move(values);
    touched_.push_back(slot);
    return slot;
}

void Plan::fold(const mil::Operation& operation, std::vector<reference::Tensor> results) {
    for (std::size_t i = 0; i < operation.results.size(); ++i) {
        const auto& result = operation.results[i];
        folded_.push_back(std::move(results[i]));
        std::vector<fp16> values;
        for (const double value : folded_.back().data) {
            values.push_back(to_fp16(value, Rounding::nearest_even));
        }
        places_[result.name] = {constants(std::move(values)), result.type.shape};
        known_[result.name] = {result.type, nullptr, &folded_.back()};
    }
    touched_.clear();
}

int Plan::constant_slot(const mil::Literal& literal) {
    const auto found = constant_slots_.find(&literal);
    if (found != constant_slots_.end()) {
        return found->second;
    }
    const int slot = make_slot(literal.type.shape.elements());
    slots_[static_cast<std::size_t>(slot)].kind = Kind::constant;
    slots_[static_cast<std::size_t>(slot)].constant = halves(literal, package_->weights);
    constant_slots_[&literal] = slot;
    return slot;
}

Place Plan::place_of(const mil::Operand& operand, const mil::Type& type,
                     const mil::Operation& operation) {
    if (const auto* literal = std::get_if<mil::Literal>(&operand)) {
        const int slot = constant_slot(*literal);
        touched_.push_back(slot);
        return {slot, type.shape};
    }
    const auto& name = std::get<std::string>(operand);
    if (const auto known = known_.find(name);
        known != known_.end() && known->second.constant != nullptr) {
        const int slot = constant_slot(*known->second.constant);
        touched_.push_back(slot);
        return {slot, type.shape};
    }
    const auto found = places_.find(name);
    if (found == places_.end()) {
        refuse(operation, "'" + name + "' is not a value that the engine computes");
    }
    touched_.push_back(found->second.slot);
    return found->second;
}

Place Plan::operand(const mil::Arguments& arguments, std::string_view name) {
    const mil::Argument* argument = arguments.operation().find_argument(name);
    if (argument == nullptr || argument->operands.size() != 1) {
        refuse(arguments.operation(), "argument '" + std::string(name) + "' must be given");
    }
    return place_of(argument->operands.front(), arguments.type(name), arguments.operation());
}

std::vector<Place> Plan::operands(const mil::Arguments& arguments, std::string_view name) {
    const mil::Argument* argument = arguments.operation().find_argument(name);
    const auto types = arguments.types(name);
    std::vector<Place> places;
    for (std::size_t i = 0; i < types.size(); ++i) {
        places.push_back(place_of(argument->operands[i], types[i], arguments.operation()));
    }
    return places;
}

Place Plan::result(const mil::Operation& operation, std::size_t index) {
    const auto& result = operation.results[index];
    // Integers are held as the halves that they are: indices are exact below 2048, as on the
    // engine.
    if (!crosses(result.type.dtype) && result.type.dtype != DType::boolean &&
        result.type.dtype != DType::int32) {
        refuse(operation, "a result of " + result.type.text() + " does not live on the engine");
    }
    const Place place{make_slot(result.type.shape.elements()), result.type.shape};
    places_[result.name] = place;
    touched_.push_back(place.slot);
    return place;
}

int Plan::scratch(std::int64_t elements) {
    const int slot = make_slot(elements);
    touched_.push_back(slot);
    return slot;
}

void Plan::alias(const mil::Operation& operation, const Place& source) {
    touched_.clear();
    places_[operation.results[0].name] = {source.slot, operation.results[0].type.shape};
}

void Plan::add_outputs(const mil::Function& function) {
    for (const auto& output : output_types(function)) {
        const auto found = places_.find(output.name);
        if (found == places_.end()) {
            fail(Code::compile_failed, here, "output '{}' is a constant; compute it on the host",
                 output.name);
        }
        Slot& slot = slots_[static_cast<std::size_t>(found->second.slot)];
        const bool loaded = std::any_of(loads_.begin(), loads_.end(), [&](const Transfer& load) {
            return load.slot == found->second.slot;
        });
        if (output.type.dtype == DType::fp16 && slot.kind == Kind::arena && !loaded) {
            slot.kind = Kind::output;
            slot.boundary = output.name;
        } else if (crosses(output.type.dtype)) {
            stores_.push_back({output.name, found->second.slot, output.type.bytes()});
        } else {
            fail(Code::compile_failed, here,
                 "output '{}' is {}: the engine gives fp16, fp32 and integers of 8 and 16 bits",
                 output.name, output.type.text());
        }
    }
}

void Plan::lay_out() {
    for (auto& slot : slots_) {
        slot.first = steps_.size();
    }
    for (std::size_t step = 0; step < steps_.size(); ++step) {
        for (const int touched : steps_[step].touched) {
            Slot& slot = slots_[static_cast<std::size_t>(touched)];
            slot.first = std::min(slot.first, step);
            slot.last = std::max(slot.last, step);
        }
    }
    for (const auto& load : loads_) {
        slots_[static_cast<std::size_t>(load.slot)].first = 0;
    }
    for (const auto& store : stores_) {
        slots_[static_cast<std::size_t>(store.slot)].last = steps_.size();
    }
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (slots_[i].kind == Kind::arena && slots_[i].first <= slots_[i].last) {
            order.push_back(i);
        }
    }
    // Neither order is always the better one.
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return slots_[a].elements > slots_[b].elements;
    });
    const auto by_size = order;
    const std::size_t size_end = place(by_size);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return slots_[a].first < slots_[b].first;
    });
    std::size_t end = place(order);
    if (size_end < end) {
        end = place(by_size);
    }
    arena_.resize(end);
}

std::size_t Plan::place(const std::vector<std::size_t>& order) {
    const auto size_of = [](const Slot& slot) {
        return (static_cast<std::size_t>(slot.elements) + alignment - 1) / alignment * alignment;
    };
    std::size_t end = 0;
    std::vector<std::size_t> placed;  // sorted by offset
    for (const std::size_t index : order) {
        Slot& slot = slots_[index];
        const std::size_t size = size_of(slot);
        std::size_t offset = 0;
        for (const std::size_t other : placed) {
            const Slot& taken = slots_[other];
            if (taken.last < slot.first || slot.last < taken.first) {
                continue;
            }
            if (offset + size <= taken.offset) {
                break;
            }
            offset = std::max(offset, taken.offset + size_of(taken));
        }
        slot.offset = offset;
        end = std::max(end, offset + size);
        placed.insert(std::upper_bound(placed.begin(), placed.end(), index,
                                       [&](std::size_t a, std::size_t b) {
                                           return slots_[a].offset < slots_[b].offset;
                                       }),
                      index);
    }
    return end;
}

std::int64_t Plan::bytes() const {
    std::int64_t elements = static_cast<std::int64_t>(arena_.size());
    for (const Slot& slot : slots_) {
        elements += slot.kind == Kind::arena ? 0 : slot.elements;
    }
    std::int64_t bytes = elements * static_cast<std::int64_t>(sizeof(fp16));
    for (const Transfer& load : loads_) {
        bytes += load.bytes;
    }
    for (const Transfer& store : stores_) {
        bytes += store.bytes;
    }
    return bytes;
}

void Plan::evaluate(const Bindings& bindings, ThreadPool& pool, kernels::MatmulScratch& scratch,
                    kernels::MatmulStatistics& statistics) {
    Run run{std::vector<fp16*>(slots_.size()), numerics_, pool, scratch, statistics};
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        Slot& slot = slots_[i];
        switch (slot.kind) {
            case Kind::arena:
                run.slots[i] = arena_.data() + slot.offset;
                break;
            case Kind::constant:
                run.slots[i] = slot.constant.data();
                break;
            // Steps never write to inputs; one pointer type for all slots keeps them simple.
            case Kind::input:
                run.slots[i] =
                    const_cast<fp16*>(bindings.inputs.find(slot.boundary)->second->halves());
                break;
            case Kind::output:
                run.slots[i] = bindings.outputs.find(slot.boundary)->second->halves();
                break;
        }
    }
    for (const auto& load : loads_) {
        const Surface& surface = *bindings.inputs.find(load.name)->second;
        fp16* target = run.slots[static_cast<std::size_t>(load.slot)];
        if (surface.type().dtype != DType::fp32) {
            with_integer(surface.type().dtype,
                         [&](auto integer) { load_integers<decltype(integer)>(surface, target); });
            continue;
        }
        const float* source = surface.floats();
        pool.for_ranges(slots_[static_cast<std::size_t>(load.slot)].elements, conversion_grain,
                        [&](std::int64_t begin, std::int64_t end, int) {
                            kernels::to_fp16(source + begin, target + begin, end - begin,
                                             numerics_.elementwise.output);
                        });
    }
    std::size_t step = 0;
    for (Counted& counted : counted_) {
        if (counting_ == Counting::vanishing) {
            run.vanished = &counted.counts.vanished;
        }
        const std::int64_t saturated = statistics.saturated;
        count_operands(counted, run);
        for (; step < counted.end; ++step) {
            steps_[step].step->run(run);
        }
        count_result(counted, run, statistics.saturated - saturated);
    }
    for (const auto& store : stores_) {
        Surface& surface = *bindings.outputs.find(store.name)->second;
        const fp16* source = run.slots[static_cast<std::size_t>(store.slot)];
        if (surface.type().dtype == DType::fp16) {
            std::memcpy(surface.halves(), source, surface.bytes().size());
        } else if (surface.type().dtype == DType::fp32) {
            kernels::to_float(source, surface.floats(), surface.elements());
        } else {
            with_integer(surface.type().dtype,
                         [&](auto integer) { store_integers<decltype(integer)>(source, surface); });
        }
    }
}

const std::map<std::string_view, Maker>& makers() {
    static const std::map<std::string_view, Maker> table = [] {
        std::map<std::string_view, Maker> all;
        for (const auto& family :
             {product_makers(), elementwise_makers(), activation_makers(), compare_makers(),
              reduction_makers(), norm_makers(), pooling_makers(), layout_makers(),
              rearranging_makers(), indexing_makers(), resize_makers(), sampling_makers(),
              quantization_makers(), filling_makers()}) {
            all.insert(family.begin(), family.end());
        }
        return all;
    }();
    return table;
}

}  // namespace pome::device::emulator
