#include <fmt/core.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "device/legalize/boundary.h"
#include "formats/npy.h"
#include "mil/text.h"

namespace pome::cli {
namespace {

struct RunCommand {
    std::string program, weights, function = "main";
    std::vector<std::string> inputs, outputs;
    DeviceOptions device;
    bool json = false, count_vanished = false, legalize = false;
};

/// "NAME=FILE"
std::pair<std::string, std::string> split(const std::string& binding, std::string_view option) {
    const auto equals = binding.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == binding.size()) {
        fail(Code::invalid_argument, "cli.run", "{} '{}' is not of the form NAME=FILE.npy", option,
             binding);
    }
    return {binding.substr(0, equals), binding.substr(equals + 1)};
}

/// The array in the type that the program declares: floats convert among each other, everything
/// else must match.
device::Surface load(const std::string& path, const mil::NamedType& input) {
    const auto array = formats::read_npy(path);
    if (array.shape != input.type.shape) {
        fail(Code::surface_mismatch, "cli.run", "{} is {}, input '{}' is {}; reshape the array",
             path, array.shape.text(), input.name, input.type.text());
    }
    device::Surface surface(input.type);
    if (array.dtype == input.type.dtype) {
        std::memcpy(surface.bytes().data(), array.bytes.data(), array.bytes.size());
        return surface;
    }
    if (!is_floating(array.dtype) || !is_floating(input.type.dtype)) {
        fail(Code::surface_mismatch, "cli.run", "{} holds {}, input '{}' is {}", path,
             name(array.dtype), input.name, input.type.text());
    }
    const mil::Literal literal{mil::Type::tensor(array.dtype, array.shape), array.bytes};
    const auto converted = mil::Literal::tensor(input.type.dtype, array.shape, literal.numbers());
    const auto& bytes = std::get<mil::Literal::Bytes>(converted.payload);
    std::memcpy(surface.bytes().data(), bytes.data(), bytes.size());
    return surface;
}

nlohmann::json operations(const std::vector<device::OperationCounts>& counts) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& count : counts) {
        list.push_back({{"op", count.op},
                        {"value", count.value},
                        {"line", count.line},
                        {"saturated", count.saturated},
                        {"coerced_nans", count.coerced},
                        {"vanished", count.vanished}});
    }
    return list;
}

void run(const RunCommand& options) {
    mil::Package package;
    package.program = mil::read(read_text(options.program), options.program);
    if (!options.weights.empty()) {
        package.weights = mil::WeightFiles::load(package.program, options.weights);
    }
    ThreadPool pool(options.device.threads);
    const auto device = open_device(options.device, pool);
    const auto executable = options.legalize
                                ? device::compile_legalized(*device, package, options.function)
                                : device->compile(package, options.function);
    std::map<std::string, std::string> files;
    for (const auto& binding : options.inputs) {
        files.insert(split(binding, "--input"));
    }
    std::map<std::string, device::Surface> surfaces;
    device::Bindings bindings;
    for (const auto& input : executable->inputs()) {
        const auto found = files.find(input.name);
        if (found == files.end()) {
            fail(Code::binding_missing, "cli.run",
                 "input '{}' ({}) has no array; add --input {}=FILE.npy", input.name,
                 input.type.text(), input.name);
        }
        bindings.inputs[input.name] = &(surfaces["in " + input.name] = load(found->second, input));
        files.erase(found);
    }
    if (!files.empty()) {
        fail(Code::invalid_argument, "cli.run", "the program has no input '{}'",
             files.begin()->first);
    }
    for (const auto& output : executable->outputs()) {
        bindings.outputs[output.name] =
            &(surfaces["out " + output.name] = device::Surface(output.type));
    }
    executable->evaluate(bindings);
    report_engine(*device);
    const auto counts = executable->operation_counts();
    for (const auto& binding : options.outputs) {
        const auto [name, path] = split(binding, "--output");
        const auto found = bindings.outputs.find(name);
        if (found == bindings.outputs.end()) {
            fail(Code::invalid_argument, "cli.run", "the program has no output '{}'", name);
        }
        const auto bytes = found->second->bytes();
        formats::write_npy(path, {found->second->type().dtype,
                                  found->second->type().shape,
                                  {bytes.begin(), bytes.end()}});
    }
    if (options.json || options.outputs.empty()) {
        nlohmann::json record{{"device", device->name()}, {"outputs", nlohmann::json::object()}};
        for (const auto& output : executable->outputs()) {
            record["outputs"][output.name] = output.type.text();
        }
        record["saturated"] = executable->arithmetic().saturated;
        record["operations"] = operations(counts);
        if (const device::MemoryUse memory = executable->memory(); memory.live_bytes > 0) {
            record["memory"] = {{"peak_bytes", memory.peak_bytes},
                                {"live_bytes", memory.live_bytes}};
        }
        fmt::print("{}\n", record.dump());
    }
    if (!options.json) {
        for (const auto& count : counts) {
            fmt::print(stderr, "{} (line {}, %{}): {} infinite, {} coerced NaN, {} vanished\n",
                       count.op, count.line, count.value, count.saturated, count.coerced,
                       count.vanished);
        }
    }
}

}  // namespace

void add_run(CLI::App& app) {
    auto options = std::make_shared<RunCommand>();
    CLI::App* command =
        app.add_subcommand("run", "Run a MIL program once, with NumPy files in and out");
    command->add_option("program", options->program, "MIL text")
        ->required()
        ->check(CLI::ExistingFile);
    command
        ->add_option("--weights", options->weights,
                     "directory that stands for @model_path, or its weights/")
        ->check(CLI::ExistingDirectory);
    command->add_option("--function", options->function, "function to run")->capture_default_str();
    command->add_option("--input", options->inputs, "NAME=FILE.npy, one for each input");
    command->add_option("--output", options->outputs, "NAME=FILE.npy, for the outputs to be kept");
    options->device.add_to(*command);
    options->device.counting = device::emulator::Counting::results;
    command->add_flag("--count-vanished", options->count_vanished,
                      "also count, for each operation, products too small for the engine's sums");
    command->add_flag("--legalize", options->legalize,
                      "rewrite the program into one that the device accepts; inputs and outputs "
                      "stay as they are");
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->footer(
        "Example:\n  pome run examples/double.mil --input x=x.npy --output y=y.npy --device "
        "emulator:m4");
    command->callback([options] {
        if (options->count_vanished) {
            options->device.counting = device::emulator::Counting::vanishing;
        }
        run(*options);
    });
}

}  // namespace pome::cli
