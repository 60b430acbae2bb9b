#pragma once

#include "base/fp16.h"
#include "base/numerics.h"

namespace pome::reference::chip {

// Activations with parameters, one element. Parameters are fp16, as the engine stores them. Those
// without a table are computed exactly and rounded once, like every elementwise op; with tables
// disabled so are the others. Source: spec.md 2.3.5 for the path (PE or LUT) of each, from the
// guide's appendix A; how the stages of a composite are rounded is assumed: to fp16 after each.

fp16 relu6(fp16 x, const Numerics& numerics);
fp16 clip(fp16 x, fp16 low, fp16 high, const Numerics& numerics);
fp16 leaky_relu(fp16 x, fp16 alpha, const Numerics& numerics);
fp16 clamped_relu(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics);
fp16 thresholded_relu(fp16 x, fp16 alpha, const Numerics& numerics);
/// alpha x + beta in one rounding: the gain and offset of the planar engine.
fp16 linear_activation(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics);
fp16 sigmoid_hard(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics);

/// alpha times the table of e^x - 1 below 0.
fp16 elu(fp16 x, fp16 alpha, const Numerics& numerics);
/// alpha tanh(beta x): product, table, product.
fp16 scaled_tanh(fp16 x, fp16 alpha, fp16 beta, const Numerics& numerics);
/// log(1 + e^x): exp by table, a sum, log by table. A sum that reaches 2^15 gives 0.
/// Source: ANEForge issue 113 on an M5: 5 gives 5.008, 10 gives 10, but 11, 12, 88 and 1000 give 0,
/// although fp16 could hold e^11; the guide's chapter 3 has softplus(inf) = 0 on the M1. That the
/// limit is the 2^15 of the multiply-accumulate path, so x = 10.397, is assumed (spec.md 3.6).
fp16 softplus(fp16 x, const Numerics& numerics);
/// The log of a sum of exponentials, as reduce_log_sum_exp takes it: an infinite sum gives 0.
/// Source: coremltools PR 2726 on an M5: the op does not subtract the maximum and returns 0 beyond
/// x = ln(65504 / count).
fp16 log_of_exponentials(fp16 sum, const Numerics& numerics);
/// x times the table of 1 / (1 + |x|); infinity gives 0 (guide, chapter 3, M1).
fp16 softsign(fp16 x, const Numerics& numerics);

enum class GeluMode : std::uint8_t { exact, tanh, sigmoid };
/// The modes EXACT and TANH_APPROXIMATION are one table (guide, chapter 26); SIGMOID_APPROXIMATION,
/// which nobody measured, is x times the sigmoid table at 1.702 x: assumed.
fp16 gelu(GeluMode mode, fp16 x, const Numerics& numerics);

}  // namespace pome::reference::chip
