#include "train/trainable_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/random.h"
#include "formats/weight_blob_repair.h"
#include "mil/passes/weights_as_inputs.h"
#include "mil/text.h"
#include "mil/verifier.h"
#include "train/model_file.h"

namespace pome::train {
namespace {

constexpr std::string_view here = "train.model_file";

std::string weight_path(const std::string& name) {
    return "@model_path/weights/" + name + ".bin";
}

bool is_float(const mil::Type* type) {
    return type != nullptr && type->is_tensor() && type->shape.is_static() &&
           (type->dtype == DType::fp16 || type->dtype == DType::fp32);
}

std::vector<double> doubles(const std::vector<float>& values) {
    return {values.begin(), values.end()};
}

void expect_classes(const mil::Type& y, const std::string& source) {
    if (y.shape.rank() != 4 || y.shape[0] != 1 || y.shape[2] != 1) {
        fail(Code::malformed_file, here,
             "{}: cross entropy needs an output [1, classes, 1, positions], not {}", source,
             y.text());
    }
}

/// fan-in: everything but the axis of outputs, which is the first that is not 1.
double deviation_of(const Shape& shape) {
    std::int64_t outputs = 1;
    for (const std::int64_t size : shape) {
        if (size != 1) {
            outputs = size;
            break;
        }
    }
    const std::int64_t inputs = shape.elements() / std::max<std::int64_t>(outputs, 1);
    return inputs <= 1 ? 0.0 : std::sqrt(1.0 / static_cast<double>(inputs));  // vectors start at 0
}

}  // namespace

std::string_view loss_name(Loss loss) {
    return loss == Loss::mean_squared_error ? "mean_squared_error" : "cross_entropy";
}

Loss loss_from(std::string_view name) {
    for (const Loss loss : {Loss::mean_squared_error, Loss::cross_entropy}) {
        if (name == loss_name(loss)) {
            return loss;
        }
    }
    fail(Code::invalid_argument, here, "loss '{}' is not mean_squared_error or cross_entropy",
         name);
}

TrainableModel trainable_from(const formats::AneModel& file, const std::string& source) {
    const auto program = mil::read(file.program, source + " (program)");
    mil::verify(program);
    const mil::Function* function = program.find_function("main");
    if (function == nullptr || function->outputs.size() != 1) {
        fail(Code::malformed_file, here, "{}: the program has no function 'main' with one output",
             source);
    }
    ProgramModel made;
    made.function = *function;
    made.text = file.program;
    made.loss = loss_from(file.loss);
    std::vector<model::Parameter> parameters;
    std::vector<const formats::AneModel::Weight*> trained;
    for (const auto& weight : file.weights) {
        if (!std::all_of(weight.values.begin(), weight.values.end(),
                         [](float v) { return std::isfinite(v); })) {
            fail(Code::malformed_file, here, "{}: weight '{}' has elements that are not finite",
                 source, weight.name);
        }
        if (!weight.trained) {
            made.tables.store(weight_path(weight.name), weight.dtype, weight.shape,
                              doubles(weight.values));
            made.fixed.push_back(weight);
            continue;
        }
        const auto found =
            std::find_if(function->parameters.begin(), function->parameters.end(),
                         [&](const mil::NamedType& p) { return p.name == weight.name; });
        if (found == function->parameters.end() || found->type.shape != weight.shape ||
            !is_float(&found->type)) {
            fail(Code::malformed_file, here,
                 "{}: weight '{}' is {}, the program's input of that name is {}", source,
                 weight.name, weight.shape.text(),
                 found == function->parameters.end() ? "missing" : found->type.text());
        }
        parameters.push_back({weight.name, weight.shape, 0.0, weight.shape.rank() > 1});
        made.storage.push_back(weight.dtype);
        trained.push_back(&weight);
    }
    for (const auto& path : mil::blob_paths(program)) {
        if (!made.tables.files().contains(path)) {
            fail(Code::malformed_file, here,
                 "{}: the program reads '{}', which is no weight of the file", source, path);
        }
    }
    for (const auto& parameter : function->parameters) {
        const bool is_weight = std::any_of(parameters.begin(), parameters.end(),
                                           [&](const auto& p) { return p.name == parameter.name; });
        if (is_weight) {
            continue;
        }
        if (!made.input.empty() || !is_float(&parameter.type)) {
            fail(Code::malformed_file, here,
                 "{}: '{}' is {}: the program must have one input of fp16 or fp32 besides its "
                 "weights",
                 source, parameter.name, parameter.type.text());
        }
        made.input = parameter.name;
    }
    const mil::Type* output = function->find_type(function->outputs.front());
    if (made.input.empty() || !is_float(output) || trained.empty()) {
        fail(Code::malformed_file, here,
             "{}: the program must have an input, weights that are trained and an output of fp16 "
             "or fp32",
             source);
    }
    if (made.loss == Loss::cross_entropy) {
        expect_classes(*output, source);
    }
    TrainableModel model{"program", source, std::move(made), {}, ParameterSet(parameters), 0};
    for (std::size_t i = 0; i < trained.size(); ++i) {
        std::copy(trained[i]->values.begin(), trained[i]->values.end(),
                  model.weights.values(i).begin());
    }
    return model;
}

TrainableModel load_trainable(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path)) {
        fail(Code::io, here, "{}: there is no such file", path.string());
    }
    if (!std::filesystem::is_directory(path) && path.extension() != ".safetensors") {
        const MappedFile file(path);
        if (formats::is_ane_model(file.bytes())) {
            return trainable_from(formats::parse_ane_model(file.bytes(), path.string()),
                                  path.string());
        }
        const auto blob = formats::diagnose_blob(file.bytes());
        if (blob.fault == formats::BlobFault::none) {
            formats::parse_ane_model(file.bytes(), path.string());  // says what is missing
        }
        if (blob.repairable) {
            fail(Code::malformed_file, here, "{}: {}; `pome convert {} REPAIRED.bin` repairs it",
                 path.string(), blob.explanation, path.string());
        }
        if (path.extension() == ".ane") {
            fail(Code::malformed_file, here, "{}: no .ane model: {}", path.string(),
                 blob.explanation);
        }
    }
    LoadedModel loaded = load_model(path);
    return {loaded.kind,
            path.string(),
            std::nullopt,
            std::move(loaded.architecture),
            std::move(loaded.weights),
            0};
}

void save_trainable(const TrainableModel& model, const std::filesystem::path& path) {
    if (!model.program) {
        save_model({model.language, model.weights, model.kind, {}}, path);
        return;
    }
    if (path.extension() != ".ane") {
        fail(Code::invalid_argument, here, "{}: a model that is a program is written as .ane",
             path.string());
    }
    formats::AneModel file{model.program->text, std::string(loss_name(model.program->loss)), {}};
    for (std::size_t i = 0; i < model.weights.size(); ++i) {
        const auto values = model.weights.values(i);
        const auto& parameter = model.weights.parameter(i);
        file.weights.push_back({parameter.name,
                                model.program->storage[i],
                                parameter.shape,
                                true,
                                {values.begin(), values.end()}});
    }
    file.weights.insert(file.weights.end(), model.program->fixed.begin(),
                        model.program->fixed.end());
    formats::write_ane_model(path, file);
}

formats::AneModel model_from_program(const mil::Program& program, const mil::WeightFiles& files,
                                     const ModelFromProgram& options) {
    mil::verify(program);
    const mil::Function* function = program.find_function("main");
    if (function == nullptr || function->parameters.size() != 1 || function->outputs.size() != 1) {
        fail(Code::invalid_argument, here,
             "a model is made of a program with a function 'main' of one input and one output; its "
             "weights are its constants in weight files");
    }
    Random random(options.seed.value_or(0));
    formats::AneModel model;
    model.loss = loss_name(options.loss);
    std::vector<std::string> trained;
    std::set<std::string> unknown(options.fixed.begin(), options.fixed.end());
    for (const auto& constant : mil::passes::blob_constants(*function)) {
        formats::AneModel::Weight weight{constant.name,
                                         constant.type.dtype,
                                         constant.type.shape,
                                         unknown.erase(constant.name) == 0,
                                         {}};
        if (files.files().contains(constant.blob.path)) {
            const mil::Literal held{
                constant.type, files.resolve(mil::Literal::blob(constant.type, constant.blob))};
            for (const double value : held.numbers()) {
                weight.values.push_back(static_cast<float>(value));
            }
        } else if (options.seed) {
            const double deviation = deviation_of(weight.shape);
            weight.values.resize(static_cast<std::size_t>(weight.shape.elements()));
            for (float& value : weight.values) {
                value = static_cast<float>(deviation * random.normal());
            }
        } else {
            fail(Code::invalid_argument, here,
                 "weight '{}' has no file '{}'; give the directory of the weight files, or a seed "
                 "for random ones",
                 constant.name, constant.blob.path);
        }
        if (weight.trained) {
            trained.push_back(weight.name);
            weight.dtype = DType::fp32;  // small updates must not be lost in the file
        }
        model.weights.push_back(std::move(weight));
    }
    if (!unknown.empty()) {
        fail(Code::invalid_argument, here, "the program has no constant '{}' in a weight file",
             *unknown.begin());
    }
    mil::Program written = program;
    std::erase_if(written.functions, [](const mil::Function& f) { return f.name != "main"; });
    mil::Function& main = written.functions.front();
    main = mil::passes::constants_to_inputs(main, trained);
    for (auto& operation : main.operations) {  // what is left reads the model's own files
        for (auto& attribute : operation.attributes) {
            if (attribute.name == "val" && attribute.value.is_blob()) {
                attribute.value = mil::Literal::blob(
                    attribute.value.type, {weight_path(operation.results.front().name), 64});
            }
        }
    }
    model.program = mil::write(written);
    trainable_from(model, "the model");  // what cannot be read again is refused here
    return model;
}

}  // namespace pome::train
