#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "device/emulator/emulator.h"
#include "train/corpus.h"
#include "train/prepare.h"
#include "train/trainer.h"

namespace pome::train {

/// A run small enough to repeat: text of our own, one layer.
inline Config small_config(const std::filesystem::path& data) {
    return parse_config(
        "[model]\nwidth = 32\nhidden = 64\nlayers = 2\nheads = 4\nkv_heads = 2\nvocabulary = "
        "320\nsequence = 32\n"
        "[train]\nsteps = 30\nbatch = 2\nreport_every = 1\nvalidate_every = 10\nsave_every = "
        "7\nvalidation_windows = 3\n",
        "test", {"data.directory=" + data.string()}, "/");
}

inline void prepare_data(const std::filesystem::path& directory) {
    write_file_atomic(directory / "text.txt", generate_stories(3, 60000));
    PrepareOptions options;
    options.inputs = {directory / "text.txt"};
    options.output = directory;
    options.vocabulary = 320;
    prepare(options);
}

inline std::vector<std::string> losses(const std::filesystem::path& run) {
    std::vector<std::string> result;
    std::ifstream lines(run / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
        const auto record = nlohmann::json::parse(line, nullptr, false);
        if (record.is_discarded()) {
            break;  // the line is being written, or was when its writer was killed
        }
        result.push_back(record["step"].dump() + " " + record["train_loss"].dump() + " " +
                         record["validation_loss"].dump() + " " + record["grad_norm"].dump());
    }
    return result;
}

inline void train_to_the_end(const std::filesystem::path& run, const Config* config) {
    ThreadPool pool(1);
    const auto device = device::emulator::make_emulator("m4", {}, pool);
    const std::atomic<bool> stop{false};
    const auto trainer = config != nullptr ? Trainer::create(*config, run, *device, pool)
                                           : Trainer::resume(run, *device, pool);
    trainer->run([](const Report&) {}, stop);
}

}  // namespace pome::train
