#include "train/sampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace pome::train {

std::int32_t sample_token(std::span<const float> logits, double temperature, Random& random) {
    const auto largest = std::max_element(logits.begin(), logits.end());
    if (largest == logits.end() || !std::isfinite(*largest)) {
        fail(Code::diverged, "train.generate",
             "the logits are not finite: the model is broken or left the engine's range");
    }
    if (temperature == 0.0) {
        return static_cast<std::int32_t>(largest - logits.begin());
    }
    std::vector<double> cumulative(logits.size());
    double sum = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        sum += std::exp((static_cast<double>(logits[i]) - *largest) / temperature);
        cumulative[i] = sum;
    }
    const double draw = random.uniform() * sum;
    const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), draw);
    return static_cast<std::int32_t>(std::min<std::ptrdiff_t>(
        found - cumulative.begin(), static_cast<std::ptrdiff_t>(logits.size()) - 1));
}

}  // namespace pome::train
