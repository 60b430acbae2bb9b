// conv, linear and matmul: everything that runs on the multiply-accumulate path.
#include <algorithm>
#include <cstring>

#include "device/emulator/convolution.h"
#include "device/emulator/counting.h"

namespace pome::device::emulator {
void multiply(const std::vector<kernels::MatmulJob>& jobs, Run& run) {
    const auto& rules = run.numerics.multiply_accumulate;
    if (run.vanished != nullptr) {
        *run.vanished += vanished_products(jobs, rules);
    }
    if (rules.fixed_point) {
        kernels::matmul_exact(jobs, rules, run.pool, run.matmul_scratch, &run.statistics);
    } else {
        kernels::matmul_fast(jobs, run.pool, run.matmul_scratch);
    }
}

namespace {

/// One product of a batch: where its operands start within their slots, in elements.
struct Offsets {
    std::int64_t a = 0, b = 0, y = 0;
};

/// y[m,n] = a[m,k] b[k,n] for every element of a batch; a, b and y are slots.
class ProductStep final : public Step {
  public:
    ProductStep(int a, int b, int y, kernels::MatmulJob form, std::vector<Offsets> batch,
                std::vector<float> bias = {})
        : a_(a), b_(b), y_(y), form_(form), batch_(std::move(batch)), bias_(std::move(bias)) {}

    void run(Run& run) const override {
        std::vector<kernels::MatmulJob> jobs(batch_.size(), form_);
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            jobs[i].a.data = run.slots[static_cast<std::size_t>(a_)] + batch_[i].a;
            jobs[i].b.data = run.slots[static_cast<std::size_t>(b_)] + batch_[i].b;
            jobs[i].y = run.slots[static_cast<std::size_t>(y_)] + batch_[i].y;
            jobs[i].bias = bias_.empty() ? nullptr : bias_.data();
        }
        multiply(jobs, run);
    }

  private:
    int a_, b_, y_;
    kernels::MatmulJob form_;
    std::vector<Offsets> batch_;
    std::vector<float> bias_;
};

/// A matrix [.., rows, columns] of a row-major tensor, transposed on request.
kernels::Matrix matrix(const Shape& shape, bool transposed) {
    const std::int64_t rows = shape[-2], columns = shape[-1];
    if (transposed) {
        return {nullptr, columns, rows, 1, columns};
    }
    return {nullptr, rows, columns, columns, 1};
}

/// Element offsets of every matrix of a batch, broadcast to `result`'s leading axes.
std::vector<std::int64_t> batch_offsets(const Shape& shape, const Shape& result) {
    const int leading = result.rank() - 2;
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(leading)),
        strides(static_cast<std::size_t>(leading), 0);
    std::int64_t stride = shape[-1] * shape[-2];
    for (int axis = leading - 1; axis >= 0; --axis) {
        const int own = axis - (result.rank() - shape.rank());
        sizes[static_cast<std::size_t>(axis)] = result[axis];
        if (own < 0) {
            continue;
        }
        if (shape[own] != 1) {
            strides[static_cast<std::size_t>(axis)] = stride;
        }
        stride *= shape[own];
    }
    std::vector<std::int64_t> offsets{0};
    for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
        std::vector<std::int64_t> next;
        for (const std::int64_t offset : offsets) {
            for (std::int64_t i = 0; i < sizes[axis]; ++i) {
                next.push_back(offset + i * strides[axis]);
            }
        }
        offsets = std::move(next);
    }
    return offsets;
}

void make_matmul(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"), y = plan.operand(arguments, "y");
    if (x.shape.rank() < 2 || y.shape.rank() < 2) {
        Plan::refuse(operation, "operands of rank below 2");
    }
    if (x.shape.rank() > 4) {
        Plan::refuse(operation, "batched products of rank 5 do not run on the engine");
    }
    const Place result = plan.result(operation);
    kernels::MatmulJob form{};
    form.a = matrix(x.shape, arguments.boolean("transpose_x"));
    form.b = matrix(y.shape, arguments.boolean("transpose_y"));
    form.y_row_stride = result.shape[-1];
    const auto a = batch_offsets(x.shape, result.shape), b = batch_offsets(y.shape, result.shape);
    const auto out = batch_offsets(result.shape, result.shape);
    std::vector<Offsets> batch(out.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
        batch[i] = {a[i], b[i], out[i]};
    }
    plan.add(std::make_unique<ProductStep>(x.slot, y.slot, result.slot, form, std::move(batch)));
}

std::vector<float> bias_of(Plan& plan, const mil::Operation& operation,
                           const mil::Arguments& arguments) {
    if (!arguments.has("bias")) {
        return {};
    }
    const mil::Literal* literal = arguments.constant("bias");
    if (literal == nullptr) {
        Plan::refuse(operation, "bias must be a constant");
    }
    mil::Literal plain{literal->type, plan.weights().resolve(*literal)};
    const auto numbers = plain.numbers();
    return {numbers.begin(), numbers.end()};
}

/// y[.., N] = x[.., K] weight[N, K]^T + bias: the transposed product weight x^T would leave y
/// transposed, so x's rows are the rows of the result, and the bias runs along them.
void make_linear(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"), weight = plan.operand(arguments, "weight");
    const auto bias = bias_of(plan, operation, arguments);
    if (std::any_of(bias.begin(), bias.end(), [](float value) { return value != 0.0F; })) {
        Plan::refuse(operation, "a bias along the last axis: add it in an op of its own");
    }
    const Place result = plan.result(operation);
    const std::int64_t inner = x.shape[-1],
                       rows = x.shape.elements() / std::max<std::int64_t>(1, inner);
    kernels::MatmulJob form{};
    form.a = {nullptr, rows, inner, inner, 1};
    form.b = matrix(weight.shape, true);
    form.y_row_stride = weight.shape[0];
    plan.add(std::make_unique<ProductStep>(x.slot, weight.slot, result.slot, form,
                                           std::vector<Offsets>(1)));
}

/// Lays the inputs of every output position out as a column: columns[(c, kh, kw)][(oh, ow)].
/// Padding is zero and contributes nothing to the sum.
class ColumnsStep final : public Step {
  public:
    ColumnsStep(int x, int columns, const ConvForm& form) : x_(x), columns_(columns), form_(form) {}

    void run(Run& run) const override {
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        fp16* columns = run.slots[static_cast<std::size_t>(columns_)];
        const ConvForm& f = form_;
        const std::int64_t rows = f.batch * f.channels * f.kernel_height * f.kernel_width;
        const std::int64_t positions = f.out_height * f.out_width;
        run.pool.for_ranges(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t row = begin; row < end; ++row) {
                fill(x, columns + row * positions, row);
            }
        });
    }

  private:
    void fill(const fp16* x, fp16* out, std::int64_t row) const {
        const ConvForm& f = form_;
        const std::int64_t kw = row % f.kernel_width, kh = row / f.kernel_width % f.kernel_height;
        const fp16* plane = x + row / (f.kernel_width * f.kernel_height) * f.height * f.width;
        for (std::int64_t oh = 0; oh < f.out_height; ++oh) {
            const std::int64_t h = oh * f.stride_h + kh * f.dilation_h - f.pad_top;
            for (std::int64_t ow = 0; ow < f.out_width; ++ow) {
                const std::int64_t w = ow * f.stride_w + kw * f.dilation_w - f.pad_left;
                const bool inside = h >= 0 && h < f.height && w >= 0 && w < f.width;
                *out++ = inside ? plane[h * f.width + w] : fp16{0};
            }
        }
    }

    int x_, columns_;
    ConvForm form_;
};

ConvForm conv_form(const mil::Operation& operation, const mil::Arguments& arguments, const Shape& x,
                   const Shape& weight, const Shape& y) {
    if (x.rank() != 4) {
        Plan::refuse(operation, "only two-dimensional convolutions run on the engine");
    }
    ConvForm f{};
    f.batch = x[0], f.channels = x[1], f.height = x[2], f.width = x[3];
    f.outputs = weight[0], f.kernel_height = weight[2], f.kernel_width = weight[3];
    f.out_height = y[2], f.out_width = y[3];
    f.groups = arguments.integer("groups");
    const auto strides = arguments.integers("strides"), dilations = arguments.integers("dilations");
    f.stride_h = strides[0], f.stride_w = strides[1], f.dilation_h = dilations[0],
    f.dilation_w = dilations[1];
    const std::string& type = arguments.text("pad_type");
    if (type == "custom") {
        const auto pad = arguments.integers("pad");
        f.pad_top = pad[0], f.pad_left = pad[2];
    } else if (type == "same" || type == "same_lower") {
        const auto before = [&](std::int64_t in, std::int64_t out, std::int64_t kernel,
                                std::int64_t stride, std::int64_t dilation) {
            const std::int64_t total =
                std::max<std::int64_t>(0, (out - 1) * stride + (kernel - 1) * dilation + 1 - in);
            return type == "same" ? total / 2 : total - total / 2;
        };
        f.pad_top = before(f.height, f.out_height, f.kernel_height, f.stride_h, f.dilation_h);
        f.pad_left = before(f.width, f.out_width, f.kernel_width, f.stride_w, f.dilation_w);
    }
    return f;
}

void make_conv(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"), weight = plan.operand(arguments, "weight");
    const ConvForm f =
        conv_form(operation, arguments, x.shape, weight.shape, operation.results[0].type.shape);
    const auto bias = bias_of(plan, operation, arguments);
    const std::int64_t positions = f.out_height * f.out_width, taps = f.taps(),
                       outputs = f.outputs / f.groups;
    const Numerics& numerics = plan.numerics();
    if (numerics.convolution.winograd_width && numerics.multiply_accumulate.fixed_point &&
        f.is_winograd()) {
        add_winograd(plan, f, x.slot, weight.slot, plan.result(operation).slot, bias);
        return;
    }
    if (numerics.convolution.single_channel_bypass && f.is_single_channel()) {
        add_bypass(plan, f, x.slot, weight.slot, plan.result(operation).slot, bias);
        return;
    }
    int columns = x.slot;
    if (!f.is_pointwise()) {
        columns = plan.scratch(f.batch * f.groups * taps * positions);
        plan.add(std::make_unique<ColumnsStep>(x.slot, columns, f));
    }
    const Place result = plan.result(operation);
    kernels::MatmulJob form{};
    form.a = {nullptr, outputs, taps, taps, 1};
    form.b = {nullptr, taps, positions, positions, 1};
    form.y_row_stride = positions;
    for (std::int64_t group = 0; group < f.groups; ++group) {
        std::vector<Offsets> batch;
        for (std::int64_t n = 0; n < f.batch; ++n) {
            batch.push_back({group * outputs * taps, (n * f.groups + group) * taps * positions,
                             (n * f.groups + group) * outputs * positions});
        }
        std::vector<float> part;
        if (!bias.empty()) {
            part.assign(bias.begin() + group * outputs, bias.begin() + (group + 1) * outputs);
        }
        plan.touch(columns);
        plan.touch(weight.slot);
        plan.touch(result.slot);
        plan.add(std::make_unique<ProductStep>(weight.slot, columns, result.slot, form,
                                               std::move(batch), std::move(part)));
    }
}

}  // namespace

Makers product_makers() {
    return {{"conv", make_conv}, {"linear", make_linear}, {"matmul", make_matmul}};
}

}  // namespace pome::device::emulator
