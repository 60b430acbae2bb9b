#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "train/dataset.h"
#include "train/language_model.h"

namespace pome::train {

struct Evaluation {
    double loss = 0.0;        ///< mean cross-entropy in nats
    std::int64_t tokens = 0;  ///< positions counted
    double perplexity() const;
};

/// Mean loss over `windows` windows spread evenly over the data (all of them when windows is 0 or
/// more than there are).
Evaluation evaluate(LanguageModel& language_model, const ParameterSet& weights,
                    const TokenDataset& dataset, std::int64_t windows);

}  // namespace pome::train
