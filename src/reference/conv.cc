#include "reference/ops.h"

namespace pome::reference {

Tensor conv(const Tensor& x, const Tensor& weight, const Tensor* bias, const ConvForm& form,
            const Shape& result) {
    Tensor y(result);
    const std::int64_t height = x.shape[2], width = x.shape[3], channels = x.shape[1];
    const std::int64_t outputs = weight.shape[0], inner = weight.shape[1];
    const std::int64_t group_outputs = outputs / form.groups;
    for (std::int64_t n = 0; n < result[0]; ++n) {
        for (std::int64_t o = 0; o < outputs; ++o) {
            double* plane = y.data.data() + (n * outputs + o) * result[2] * result[3];
            for (std::int64_t i = 0; i < result[2] * result[3]; ++i) {
                plane[i] = bias != nullptr ? bias->data[static_cast<std::size_t>(o)] : 0.0;
            }
            for (std::int64_t c = 0; c < inner; ++c) {
                const double* from =
                    x.data.data() + (n * channels + o / group_outputs * inner + c) * height * width;
                for (std::int64_t kh = 0; kh < weight.shape[2]; ++kh) {
                    for (std::int64_t kw = 0; kw < weight.shape[3]; ++kw) {
                        const double factor = weight.data[static_cast<std::size_t>(
                            ((o * inner + c) * weight.shape[2] + kh) * weight.shape[3] + kw)];
                        for (std::int64_t oh = 0; oh < result[2]; ++oh) {
                            const std::int64_t h =
                                oh * form.strides[0] + kh * form.dilations[0] - form.pad_top;
                            if (h < 0 || h >= height) {
                                continue;
                            }
                            for (std::int64_t ow = 0; ow < result[3]; ++ow) {
                                const std::int64_t w =
                                    ow * form.strides[1] + kw * form.dilations[1] - form.pad_left;
                                if (w < 0 || w >= width) {
                                    continue;
                                }
                                plane[oh * result[3] + ow] += factor * from[h * width + w];
                            }
                        }
                    }
                }
            }
        }
    }
    return y;
}

}  // namespace pome::reference
