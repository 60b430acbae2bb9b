#include "train/offload.h"

#include <fmt/ranges.h>

#include "base/error.h"

namespace pome::train {

const std::vector<Extra>& all_extras() {
    static const std::vector<Extra> all{Extra::final_norm, Extra::classifier, Extra::softmax,
                                        Extra::norm_backward};
    return all;
}

std::string_view extra_name(Extra extra) {
    switch (extra) {
        case Extra::final_norm:
            return "final_norm";
        case Extra::classifier:
            return "classifier";
        case Extra::softmax:
            return "softmax";
        case Extra::norm_backward:
            break;
    }
    return "norm_backward";
}

Extra extra_from(std::string_view name) {
    std::vector<std::string_view> names;
    for (const Extra extra : all_extras()) {
        names.push_back(extra_name(extra));
        if (name == names.back()) {
            return extra;
        }
    }
    fail(Code::invalid_argument, "train.config", "engine.extras names '{}'; the extras are {}",
         name, fmt::join(names, ", "));
}

}  // namespace pome::train
