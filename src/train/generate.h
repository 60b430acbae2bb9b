#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/thread_pool.h"
#include "train/decoder.h"

namespace pome::train {

struct GenerateOptions {
    std::int64_t tokens = 256;  ///< to generate at most
    double temperature = 1.0;   ///< 0: always the likeliest
    std::uint64_t seed = 1;
};

/// Generates text token by token with a key/value cache (decoder.h), which grows with the text.
class Generator {
  public:
    /// References must outlive this. `form` gives the way stages are written; its sequence is not
    /// used.
    Generator(const model::Architecture& architecture, const ParameterSet& weights,
              device::Device& device, ThreadPool& pool, const model::Form& form);

    /// Continues `prompt` (bos first) and calls `take` with every new token; ends at
    /// `options.tokens`, at the end of the model's sequence, or when a new text begins (bos or
    /// eos).
    void run(const std::vector<std::int32_t>& prompt, const GenerateOptions& options,
             const std::function<void(std::int32_t)>& take);

  private:
    const model::Architecture& architecture_;
    Decoder decoder_;
};

}  // namespace pome::train
