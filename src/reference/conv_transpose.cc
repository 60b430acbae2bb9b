#include "reference/ops.h"
#include "reference/spatial.h"

namespace pome::reference {
namespace {

/// One weight times every position of one channel: to(i * stride + shift) += factor * from(i),
/// where that lies in `out`.
void add_tap(double factor, const double* from, const Spatial& in, double* to, const Spatial& out,
             const Spatial& stride, const Spatial& shift) {
    const Range along = inside(in[2], stride[2], shift[2], out[2]);
    for (std::int64_t d = 0; d < in[0]; ++d) {
        const std::int64_t to_d = d * stride[0] + shift[0];
        if (to_d < 0 || to_d >= out[0]) {
            continue;
        }
        for (std::int64_t h = 0; h < in[1]; ++h) {
            const std::int64_t to_h = h * stride[1] + shift[1];
            if (to_h < 0 || to_h >= out[1]) {
                continue;
            }
            const std::int64_t row = (to_d * out[1] + to_h) * out[2] + shift[2];
            const double* source = from + (d * in[1] + h) * in[2];
            for (std::int64_t w = along.first; w < along.last; ++w) {
                to[row + w * stride[2]] += factor * source[w];
            }
        }
    }
}

}  // namespace

Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor* bias,
                      const Window& window, std::int64_t groups, const Shape& result) {
    Tensor y(result);
    const Spatial in = spatial(x.shape), out = spatial(result), kernel = spatial(weight.shape);
    const Spatial stride = three(window.strides, 1), dilation = three(window.dilations, 1);
    const Spatial before = three(window.before, 0);
    const std::int64_t channels = x.shape[1], group_outputs = weight.shape[1], outputs = result[1];
    for (std::int64_t n = 0; n < result[0]; ++n) {
        for (std::int64_t o = 0; bias != nullptr && o < outputs; ++o) {
            std::fill_n(y.data.data() + (n * outputs + o) * volume(out), volume(out),
                        bias->data[static_cast<std::size_t>(o)]);
        }
        const double* factor = weight.data.data();
        for (std::int64_t c = 0; c < channels; ++c) {
            const double* from = x.data.data() + (n * channels + c) * volume(in);
            const std::int64_t first_output = c / (channels / groups) * group_outputs;
            for (std::int64_t o = 0; o < group_outputs; ++o) {
                double* to = y.data.data() + (n * outputs + first_output + o) * volume(out);
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
