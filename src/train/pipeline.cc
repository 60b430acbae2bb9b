#include "train/pipeline.h"

#include "base/error.h"

namespace pome::train {

void Pipeline::restore_product_exponents(const std::vector<int>& exponents) {
    if (!exponents.empty()) {
        fail(Code::checkpoint_mismatch, "train.pipeline",
             "the checkpoint has scales for {} products, this pipeline scales none; set "
             "engine.product_scale as the run had it",
             exponents.size());
    }
}

}  // namespace pome::train
