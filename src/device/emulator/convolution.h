#pragma once

#include <cstdint>
#include <vector>

#include "device/emulator/plan.h"

namespace pome::device::emulator {

/// A two-dimensional convolution: sizes of x [batch, channels, height, width], of the weight
/// [outputs, channels / groups, kernel_height, kernel_width] and of the result.
struct ConvForm {
    std::int64_t batch, channels, height, width;
    std::int64_t outputs, kernel_height, kernel_width;
    std::int64_t out_height, out_width;
    std::int64_t groups;
    std::int64_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;

    std::int64_t group_channels() const { return channels / groups; }
    std::int64_t taps() const { return group_channels() * kernel_height * kernel_width; }
    bool is_pointwise() const {
        return kernel_height == 1 && kernel_width == 1 && stride_h == 1 && stride_w == 1 &&
               pad_top == 0 && pad_left == 0 && out_height == height && out_width == width;
    }
    /// What chips with `single_channel_bypass` do elementwise.
    bool is_single_channel() const { return is_pointwise() && channels == 1; }
    /// 3 x 3, stride 1: what chips with `winograd_width` transform. Groups and dilation are assumed
    /// to be direct; nobody has measured them.
    bool is_winograd() const {
        return kernel_height == 3 && kernel_width == 3 && stride_h == 1 && stride_w == 1 &&
               dilation_h == 1 && dilation_w == 1 && groups == 1;
    }
};

/// Products on the engine's multiply-accumulate path, by the run's numerics.
void multiply(const std::vector<kernels::MatmulJob>& jobs, Run& run);

/// Adds a 1 x 1 convolution of one input channel as elementwise products.
void add_bypass(Plan& plan, const ConvForm& form, int x, int weight, int result,
                const std::vector<float>& bias);

/// Adds the steps of a convolution by F(2,3) along the width (reference/chip/winograd.h).
void add_winograd(Plan& plan, const ConvForm& form, int x, int weight, int result,
                  std::vector<float> bias);

}  // namespace pome::device::emulator
