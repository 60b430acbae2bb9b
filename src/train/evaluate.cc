#include "train/evaluate.h"

#include <algorithm>
#include <cmath>

namespace pome::train {

double Evaluation::perplexity() const {
    return std::exp(loss);
}

Evaluation evaluate(LanguageModel& language_model, const ParameterSet& weights,
                    const TokenDataset& dataset, std::int64_t windows) {
    const std::int64_t all = dataset.windows();
    const std::int64_t count = windows > 0 ? std::min(windows, all) : all;
    Evaluation result;
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
        const Window window = dataset.window(i * all / count * dataset.sequence());
        sum += language_model.forward(window.tokens, window.targets, weights);
        result.tokens += dataset.sequence();
    }
    result.loss = sum / static_cast<double>(result.tokens);
    return result;
}

}  // namespace pome::train
