#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "formats/ane_model.h"
#include "mil/weights.h"
#include "model/architecture.h"
#include "train/parameters.h"

namespace pome::train {

/// What is minimized.
enum class Loss : std::uint8_t {
    mean_squared_error,  ///< mean over all elements of (y - target)^2
    cross_entropy,       ///< mean over positions of -log softmax over the channels, at the target
};

/// A model that is one MIL function: one input, weights, one output.
struct ProgramModel {
    mil::Function function;                        ///< trained weights are inputs
    mil::WeightFiles tables;                       ///< constants that are not trained
    std::vector<formats::AneModel::Weight> fixed;  ///< what the tables are made of
    std::vector<DType> storage;                    ///< of the trained weights in a file
    std::string input;                             ///< the parameter that is no weight
    std::string text;                              ///< of the program, as the file has it
    Loss loss = Loss::mean_squared_error;
};

/// A model and its weights in fp32: a program, or a language model of model/.
struct TrainableModel {
    std::string kind;    ///< of the file, in words
    std::string source;  ///< its name, for errors
    std::optional<ProgramModel> program;
    model::Architecture language;  ///< when there is no program
    ParameterSet weights;
    std::int64_t revision = 0;  ///< grows with every change of the weights
};

/// The model of a `.ane` file's content. Throws Error{malformed_file} when program and weights do
/// not fit, naming the weight; Error{malformed_program}.
TrainableModel trainable_from(const formats::AneModel& file, const std::string& source);

/// A `.ane` file, or whatever load_model() reads. A damaged weight blob is refused with what is
/// wrong with it.
TrainableModel load_trainable(const std::filesystem::path& path);

/// As the suffix says: .ane for a program, .bin or .safetensors for a language model. Throws
/// Error{invalid_argument} for another suffix or a model that has no place in that format.
void save_trainable(const TrainableModel& model, const std::filesystem::path& path);

/// How a program becomes a model.
struct ModelFromProgram {
    Loss loss = Loss::mean_squared_error;
    std::vector<std::string> fixed;     ///< constants that are not to be trained
    std::optional<std::uint64_t> seed;  ///< constants without a file start random, fan-in scaled
};

/// A `.ane` model of a program's function "main": its floating-point constants that lie in weight
/// files are the weights. Throws Error{invalid_argument} for a program that has not one input and
/// one output, or whose constants have no files and no seed is given.
formats::AneModel model_from_program(const mil::Program& program, const mil::WeightFiles& files,
                                     const ModelFromProgram& options);

std::string_view loss_name(Loss loss);
/// Throws Error{invalid_argument}.
Loss loss_from(std::string_view name);

}  // namespace pome::train
