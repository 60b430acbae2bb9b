#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "train/config.h"
#include "train/language_model.h"

namespace pome::train {

struct GenerateOptions {
    std::int64_t tokens = 256;  ///< to generate at most
    double temperature = 1.0;   ///< 0: always the likeliest
    std::uint64_t seed = 1;
};

/// Generates text token by token with forward programs of growing length (32, 64, ... positions),
/// each compiled when it is first needed.
class Generator {
  public:
    /// References must outlive this. `form` gives the way stages are written; its sequence is not
    /// used.
    Generator(const model::Architecture& architecture, const ParameterSet& weights,
              device::Device& device, ThreadPool& pool, const model::Form& form);
    ~Generator();

    /// Continues `prompt` (bos first) and calls `take` with every new token; ends at
    /// `options.tokens`, at the end of the model's sequence, or when a new text begins (bos or
    /// eos).
    void run(std::vector<std::int32_t> prompt, const GenerateOptions& options,
             const std::function<void(std::int32_t)>& take);

  private:
    struct Length;
    Length& at_least(std::int64_t positions);

    const model::Architecture& architecture_;
    const ParameterSet& weights_;
    device::Device& device_;
    ThreadPool& pool_;
    model::Form form_;
    std::vector<std::unique_ptr<Length>> lengths_;
};

}  // namespace pome::train
