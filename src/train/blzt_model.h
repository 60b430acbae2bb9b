#pragma once

#include <string_view>

#include "formats/blzt.h"
#include "train/model_file.h"

namespace pome::train {

/// A BLZT checkpoint as a model that computes what its trainer's forward pass computes:
///   version 2 has no rotary positions: neither has the model (ModelConfig::rope);
///   version 4 multiplies both branches by 1/sqrt(2 layers) before it adds them: wo and w2 are
///   multiplied by it; its query head h reads key/value head h mod kv_heads, ours h / (heads /
///   kv_heads): its heads are put in our order.
/// What that changes and what of the checkpoint is left behind stands in `notes`. Throws
/// Error{unsupported} when the heads do not fill the width (the Qwen3-0.6B shape).
LoadedModel from_blzt(const formats::BlztCheckpoint& checkpoint, std::string_view source);

}  // namespace pome::train
