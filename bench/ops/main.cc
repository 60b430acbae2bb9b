// Ops that move memory: what share of the machine's copy bandwidth the emulator reaches, counting
// the bytes that each must move (operands read once, the result written once), and how much memory
// a program needs beyond its live tensors.
//   bench_ops [--only TEXT] [--threads N] [--json FILE]

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string_view>

#include "bandwidth.h"
#include "base/random.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"
#include "mil/builder.h"

namespace {

using namespace pome;
using mil::Builder;
using mil::Type;
using mil::Value;

/// Of one evaluation; short ones are timed some at a time.
double median(const std::function<void()>& body) {
    body();
    const int repeats = 1 + static_cast<int>(0.005 / std::max(bench::seconds(body), 1e-6));
    const auto some = [&] {
        for (int repeat = 0; repeat < repeats; ++repeat) {
            body();
        }
    };
    return bench::median_seconds(some, 15) / repeats;
}

struct Task {
    const char* name;
    Shape x;
    std::function<Value(Builder&, const Value&)> op;  ///< y from x
    double other_elements = 0.0;                      ///< of a second operand
};

Value rmsnorm(Builder& b, const Value& x) {
    const auto mean =
        b.scale(b.reduce_sum(b.mul(x, x), {1}, true), 1.0 / static_cast<double>(x.shape()[1]));
    const auto root = b.pow(b.add(mean, b.number(DType::fp16, 1e-3)), -0.5);
    return b.mul(x, root);
}

Value rmsnorm_of_rows(Builder& b, const Value& x) {
    const auto mean =
        b.scale(b.reduce_sum(b.mul(x, x), {-1}, true), 1.0 / static_cast<double>(x.shape()[-1]));
    return b.mul(x, b.pow(b.add(mean, b.number(DType::fp16, 1e-3)), -0.5));
}

Value layer_norm(Builder& b, const Value& x) {
    const double n = static_cast<double>(x.shape()[-1]);
    const auto centred = b.sub(x, b.scale(b.reduce_sum(x, {-1}, true), 1.0 / n));
    const auto variance = b.scale(b.reduce_sum(b.mul(centred, centred), {-1}, true), 1.0 / n);
    return b.mul(centred, b.pow(b.add(variance, b.number(DType::fp16, 1e-3)), -0.5));
}

std::vector<Task> tasks() {
    const Shape wide{1, 4096, 1, 8192};  // 64 MB: beyond the caches
    const Shape rows{1, 128, 512, 512};
    const auto unary = [](const char* op) {
        return [op](Builder& b, const Value& x) { return b.unary(op, x); };
    };
    return {
        {"add of two", wide,
         [](Builder& b, const Value& x) { return b.add(x, b.input("b", x.type)); }, 1.0},
        {"mul by [1,C,1,1]", wide,
         [](Builder& b, const Value& x) {
             return b.mul(x, b.input("b", Type::tensor(DType::fp16, {1, x.shape()[1], 1, 1})));
         }},
        {"add of [1,1,1,S]", wide,
         [](Builder& b, const Value& x) {
             return b.add(x, b.input("b", Type::tensor(DType::fp16, {1, 1, 1, x.shape()[3]})));
         }},
        {"mul by a number", wide, [](Builder& b, const Value& x) { return b.scale(x, 0.7); }},
        {"maximum with a number", wide,
         [](Builder& b, const Value& x) {
             return b.call("maximum", {{"x", x}, {"y", b.number(DType::fp16, 0.1)}});
         }},
        {"relu", wide, unary("relu")},
        {"sigmoid", wide, unary("sigmoid")},
        {"gelu", wide,
         [](Builder& b, const Value& x) {
             return b.call("gelu", {{"x", x}, {"mode", b.text("EXACT")}});
         }},
        {"exp", wide, unary("exp")},
        {"silu", wide, unary("silu")},
        {"silu as sigmoid and mul", wide,
         [](Builder& b, const Value& x) { return b.mul(x, b.unary("sigmoid", x)); }},
        {"scale, mask, sigmoid, mul: a chain of 4", wide,
         [](Builder& b, const Value& x) {
             const auto m = b.input("b", Type::tensor(DType::fp16, {1, 1, 1, x.shape()[3]}));
             const auto y = b.add(b.scale(x, 0.5), m);
             return b.mul(y, b.unary("sigmoid", y));
         }},
        {"softmax over the last axis", rows,
         [](Builder& b, const Value& x) { return b.softmax(x, -1); }},
        {"scale, mask, softmax over the last axis", rows,
         [](Builder& b, const Value& x) {
             const auto m =
                 b.input("b", Type::tensor(DType::fp16, {1, 1, x.shape()[2], x.shape()[3]}));
             return b.softmax(b.add(b.scale(x, 0.125), m), -1);
         }},
        {"softmax over channels",
         {1, 4096, 1, 2048},
         [](Builder& b, const Value& x) { return b.softmax(x, 1); }},
        {"reduce_sum over channels", wide,
         [](Builder& b, const Value& x) { return b.reduce_sum(x, {1}, true); }},
        {"reduce_sum over the last axis", wide,
         [](Builder& b, const Value& x) { return b.reduce_sum(x, {-1}, true); }},
        {"reduce_max over the last axis", wide,
         [](Builder& b, const Value& x) {
             return b.call("reduce_max",
                           {{"x", x}, {"axes", b.integers({-1})}, {"keep_dims", b.boolean(true)}});
         }},
        {"RMSNorm over channels", wide, rmsnorm},
        {"RMSNorm over the last axis", rows, rmsnorm_of_rows},
        {"layer norm over the last axis", rows, layer_norm},
        {"stories110M: residual sum",
         {1, 768, 1, 256},
         [](Builder& b, const Value& x) { return b.add(x, b.input("b", x.type)); }},
        {"stories110M: silu of gate times up",
         {1, 2048, 1, 256},
         [](Builder& b, const Value& x) {
             return b.mul(b.unary("silu", x), b.input("b", x.type));
         }},
        {"stories110M: softmax",
         {1, 12, 256, 256},
         [](Builder& b, const Value& x) { return b.softmax(x, -1); }},
        {"stories110M: scale, mask, softmax",
         {1, 12, 256, 256},
         [](Builder& b, const Value& x) {
             const auto m =
                 b.input("b", Type::tensor(DType::fp16, {1, 1, x.shape()[2], x.shape()[3]}));
             return b.softmax(b.add(b.scale(x, 0.125), m), -1);
         }},
        {"stories110M: RMSNorm", {1, 768, 1, 256}, rmsnorm},
        {"slice, along channels", wide,
         [](Builder& b, const Value& x) {
             return b.slice(x, {0, 512, 0, 0}, {1, 2048, 1, x.shape()[3]});
         }},
        {"transpose [0,1,3,2]",
         {1, 32, 512, 512},
         [](Builder& b, const Value& x) {
             return b.transpose(x, {0, 1, 3, 2});
         }},
    };
}

mil::Package package_of(const Task& task, const Shape& shape) {
    Builder b;
    const auto x = b.input("a", Type::tensor(DType::fp16, shape));
    b.output(b.rename(task.op(b, x), "y"));
    return {mil::make_program(b.take()), {}};
}

struct Bound {
    std::unique_ptr<device::Executable> executable;
    std::vector<device::Surface> surfaces;
    device::Bindings bindings;
    double bytes = 0.0;

    Bound(device::Device& device, const mil::Package& package) {
        executable = device.compile(package);
        surfaces.reserve(executable->inputs().size() + 1);
        Random random(1);
        for (const auto& input : executable->inputs()) {
            auto& surface = surfaces.emplace_back(input.type);
            for (std::int64_t i = 0; i < surface.elements(); ++i) {
                surface.halves()[i] = to_fp16(
                    static_cast<double>(random.below(4097)) / 1024.0 - 2.0, Rounding::nearest_even);
            }
            bindings.inputs[input.name] = &surface;
            bytes += static_cast<double>(surface.elements()) * sizeof(fp16);
        }
        auto& y = surfaces.emplace_back(executable->outputs()[0].type);
        bindings.outputs[executable->outputs()[0].name] = &y;
        bytes += static_cast<double>(y.elements()) * sizeof(fp16);
    }
    void evaluate() { executable->evaluate(bindings); }
    const device::Surface& y() const { return surfaces.back(); }
};

/// The same program on small tensors: one thread and two, many steps and few, must agree in every
/// bit (the equality with the scalar model is the business of the tests).
bool agrees(const Task& task, device::Device& one, device::Device& two) {
    Shape small = task.x;
    for (int axis = 1; axis < small.rank(); ++axis) {
        if (small[axis] > 1) {
            small[axis] = std::max<std::int64_t>(small[axis] / 16, 8);
        }
    }
    if (task.name == std::string_view("slice, along channels")) {
        small = task.x;
    }
    Bound a(one, package_of(task, small)), b(two, package_of(task, small));
    a.evaluate();
    b.evaluate();
    return std::memcmp(a.y().halves(), b.y().halves(),
                       static_cast<std::size_t>(a.y().elements()) * sizeof(fp16)) == 0;
}

}  // namespace

int main(int argc, char** argv) {
    const bench::Options options = bench::read_options(argc, argv);
    ThreadPool one(1), pool(options.threads);
    // By e5rt: a route without rules about the rows of surfaces.
    const auto alone = device::emulator::make_emulator("m4/e5rt", {}, one);
    const auto device = device::emulator::make_emulator("m4/e5rt", {}, pool);
    bench::Table table("ops", options, pool);
    for (const Task& task : tasks()) {
        if (std::string_view(task.name).find(options.only) == std::string_view::npos) {
            continue;
        }
        if (!agrees(task, *alone, *device)) {
            fmt::print("{}: results of one and {} threads differ\n", task.name, options.threads);
            return 1;
        }
        Bound bound(*device, package_of(task, task.x));
        table.add(task.name, bound.bytes, median([&] { bound.evaluate(); }));
    }
    table.write();
    return 0;
}
