#include "reference/ops.h"
#include "reference/spatial.h"

namespace pome::reference {
namespace {

/// One weight times every position of one channel that it meets: out(i) += factor * from(i * stride
/// + shift).
void add_tap(double factor, const double* from, const Spatial& in, double* to, const Spatial& out,
             const Spatial& stride, const Spatial& shift) {
    const Range along = inside(out[2], stride[2], shift[2], in[2]);
    for (std::int64_t d = 0; d < out[0]; ++d) {
        const std::int64_t from_d = d * stride[0] + shift[0];
        if (from_d < 0 || from_d >= in[0]) {
            continue;
        }
        for (std::int64_t h = 0; h < out[1]; ++h) {
            const std::int64_t from_h = h * stride[1] + shift[1];
            if (from_h < 0 || from_h >= in[1]) {
                continue;
            }
            const std::int64_t row =
                (from_d * in[1] + from_h) * in[2] + shift[2];  // may lie before the row
            double* target = to + (d * out[1] + h) * out[2];
            for (std::int64_t w = along.first; w < along.last; ++w) {
                target[w] += factor * from[row + w * stride[2]];
            }
        }
    }
}

}  // namespace

Tensor conv(const Tensor& x, const Tensor& weight, const Tensor* bias, const Window& window,
            std::int64_t groups, const Shape& result) {
    Tensor y(result);
    const Spatial in = spatial(x.shape), out = spatial(result), kernel = spatial(weight.shape);
    const Spatial stride = three(window.strides, 1), dilation = three(window.dilations, 1);
    const Spatial before = three(window.before, 0);
    const std::int64_t channels = x.shape[1], outputs = weight.shape[0], inner = weight.shape[1];
    for (std::int64_t n = 0; n < result[0]; ++n) {
        for (std::int64_t o = 0; o < outputs; ++o) {
            double* to = y.data.data() + (n * outputs + o) * volume(out);
            if (bias != nullptr) {
                std::fill_n(to, volume(out), bias->data[static_cast<std::size_t>(o)]);
            }
            const std::int64_t first_channel = o / (outputs / groups) * inner;
            const double* factor = weight.data.data() + o * inner * volume(kernel);
            for (std::int64_t c = 0; c < inner; ++c) {
                const double* from =
                    x.data.data() + (n * channels + first_channel + c) * volume(in);
                for (std::int64_t k = 0; k < volume(kernel); ++k) {
                    const Spatial tap{k / (kernel[1] * kernel[2]), k / kernel[2] % kernel[1],
                                      k % kernel[2]};
                    Spatial shift;
                    for (std::size_t a = 0; a < 3; ++a) {
                        shift[a] = tap[a] * dilation[a] - before[a];
                    }
                    add_tap(*factor++, from, in, to, out, stride, shift);
                }
            }
        }
    }
    return y;
}

}  // namespace pome::reference
