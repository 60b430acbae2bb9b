// conv, conv_transpose, linear and matmul: everything that runs on the multiply-accumulate path.
#include <algorithm>
#include <array>
#include <cstring>

#include "device/emulator/convolution.h"
#include "device/emulator/counting.h"
#include "device/emulator/elementwise.h"
#include "device/emulator/quantized_products.h"
#include "kernels/fast_paths.h"
#include "kernels/layout.h"
#include "kernels/matrix_vector.h"

namespace pome::device::emulator {
void multiply(const std::vector<kernels::MatmulJob>& jobs, Run& run) {
    const auto& rules = run.numerics.multiply_accumulate;
    if (run.vanished != nullptr) {
        *run.vanished += vanished_products(jobs, rules);
    }
    const bool vectors =
        kernels::fast_paths() && std::all_of(jobs.begin(), jobs.end(), kernels::is_matrix_vector);
    if (vectors && !rules.fixed_point) {
        kernels::matrix_vector_fast(jobs, run.pool);
    } else if (vectors && rules == Numerics::MultiplyAccumulate{}) {
        kernels::matrix_vector_exact(jobs, run.pool, run.matmul_scratch, &run.statistics);
    } else if (rules.fixed_point) {
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

/// How 8-bit operands reach a product a[m, k] b[k, n].
enum class Streams : std::uint8_t { none, a, b, both };

/// Whether scales along `axis` of a tensor of rank `rank` are one, or one for each index of the
/// axis that the product keeps.
bool fits(const std::optional<Quantized>& operand, int axis) {
    return operand && (operand->axis == -1 || operand->axis == axis);
}

/// Both quantized: integer products. One of them a constant of integers: its integers are summed
/// and the sum is scaled. Else: neither.
Streams streams_of(const std::optional<Quantized>& a, int a_axis, const std::optional<Quantized>& b,
                   int b_axis) {
    const bool a_fits = fits(a, a_axis), b_fits = fits(b, b_axis);
    return a_fits && b_fits        ? Streams::both
           : b_fits && b->streamed ? Streams::b
           : a_fits && a->streamed ? Streams::a
                                   : Streams::none;
}

/// a[m, k] b[k, n] for every element of a batch, by whatever path its operands take; `row_axis` and
/// `column_axis` are axes of the result.
void add_products(Plan& plan, Place a, const std::optional<Quantized>& a_quantized, Place b,
                  const std::optional<Quantized>& b_quantized, Streams streams, const Place& result,
                  const kernels::MatmulJob& form, const std::vector<Offsets>& batch, int row_axis,
                  int column_axis) {
    if (streams == Streams::a || streams == Streams::both) {
        a.slot = quantized_integers(plan, *a_quantized).slot;
    }
    if (streams == Streams::b || streams == Streams::both) {
        b.slot = quantized_integers(plan, *b_quantized).slot;
    }
    if (streams == Streams::both) {
        IntegerProducts products{
            a.slot, b.slot, result.slot, form, {}, a_quantized->scales, b_quantized->scales};
        for (const Offsets& offsets : batch) {
            products.batch.push_back({offsets.a, offsets.b, offsets.y});
        }
        add_integer_products(plan, std::move(products));
        return;
    }
    for (const int slot : {a.slot, b.slot, result.slot}) {
        plan.touch(slot);
    }
    plan.add(std::make_unique<ProductStep>(a.slot, b.slot, result.slot, form, batch));
    if (streams == Streams::a) {
        add_scales(plan, result, row_axis, a_quantized->scales, {});
    } else if (streams == Streams::b) {
        add_scales(plan, result, column_axis, b_quantized->scales, {});
    }
}

void make_matmul(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    for (const char* name : {"x", "y"}) {
        expect_no_integers(operation, arguments, name);
    }
    const Place x = plan.operand(arguments, "x"), y = plan.operand(arguments, "y");
    if (x.shape.rank() < 2 || y.shape.rank() < 2) {
        Plan::refuse(operation, "operands of rank below 2");
    }
    const Place result = plan.result(operation);
    if (result.shape.rank() > 4) {
        Plan::refuse(operation, "batched products of rank 5 do not run on the engine");
    }
    const bool tx = arguments.boolean("transpose_x"), ty = arguments.boolean("transpose_y");
    kernels::MatmulJob form{};
    form.a = matrix(x.shape, tx);
    form.b = matrix(y.shape, ty);
    form.y_row_stride = result.shape[-1];
    const auto a = batch_offsets(x.shape, result.shape), b = batch_offsets(y.shape, result.shape);
    const auto out = batch_offsets(result.shape, result.shape);
    std::vector<Offsets> batch(out.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
        batch[i] = {a[i], b[i], out[i]};
    }
    const auto qx = quantized_operand(plan, arguments, "x"),
               qy = quantized_operand(plan, arguments, "y");
    const int rank = result.shape.rank();
    const Streams streams =
        streams_of(qx, x.shape.rank() - (tx ? 1 : 2), qy, y.shape.rank() - (ty ? 2 : 1));
    add_products(plan, x, qx, y, qy, streams, result, form, batch, rank - 2, rank - 1);
}

/// A constant bias in fp32, as it may be stored.
std::vector<float> bias_of(Plan& plan, const mil::Operation& operation,
                           const mil::Arguments& arguments) {
    if (!arguments.has("bias")) {
        return {};
    }
    const auto bias = plan.elements(arguments, "bias");
    if (!bias) {
        Plan::refuse(operation, "bias must be a constant; add a computed one in an op of its own");
    }
    return {bias->data.begin(), bias->data.end()};
}

/// y[.., N] = x[.., K] weight[N, K]^T; a bias has become an addition of its own
/// (mil/passes/decompose.cc).
void make_linear(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"), weight = plan.operand(arguments, "weight");
    if (x.shape.rank() > 4) {
        Plan::refuse(operation, "ANE cannot support Linear with input rank >= 5");
    }
    const Place result = plan.result(operation);
    const std::int64_t inner = x.shape[-1],
                       rows = x.shape.elements() / std::max<std::int64_t>(1, inner);
    kernels::MatmulJob form{};
    form.a = {nullptr, rows, inner, inner, 1};
    form.b = matrix(weight.shape, true);
    form.y_row_stride = weight.shape[0];
    const auto qx = quantized_operand(plan, arguments, "x"),
               qw = quantized_operand(plan, arguments, "weight");
    // Scales of x along its rows would be those of one leading axis: only one scale fits.
    const Streams streams = streams_of(qx, -1, qw, 0);
    add_products(plan, x, qx, weight, qw, streams, result, form, std::vector<Offsets>(1), -1,
                 result.shape.rank() - 1);
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

/// The columns of a transposed convolution: columns[(c, kh, kw)][(oh, ow)] is the x that this tap
/// carries to the position, zero where there is none.
class TransposedColumnsStep final : public Step {
  public:
    TransposedColumnsStep(int x, int columns, const ConvForm& form)
        : x_(x), columns_(columns), form_(form) {}

    void run(Run& run) const override {
        const fp16* x = run.slots[static_cast<std::size_t>(x_)];
        fp16* columns = run.slots[static_cast<std::size_t>(columns_)];
        const ConvForm& f = form_;
        const std::int64_t rows = f.batch * f.channels * f.kernel_height * f.kernel_width;
        run.pool.for_ranges(rows, 1, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t row = begin; row < end; ++row) {
                fill(x, columns + row * f.out_height * f.out_width, row);
            }
        });
    }

  private:
    static std::int64_t source(std::int64_t at, std::int64_t stride, std::int64_t size) {
        return at >= 0 && at % stride == 0 && at / stride < size ? at / stride : -1;
    }

    void fill(const fp16* x, fp16* out, std::int64_t row) const {
        const ConvForm& f = form_;
        const std::int64_t kw = row % f.kernel_width, kh = row / f.kernel_width % f.kernel_height;
        const fp16* plane = x + row / (f.kernel_width * f.kernel_height) * f.height * f.width;
        for (std::int64_t oh = 0; oh < f.out_height; ++oh) {
            const std::int64_t h = source(oh + f.pad_top - kh * f.dilation_h, f.stride_h, f.height);
            for (std::int64_t ow = 0; ow < f.out_width; ++ow) {
                const std::int64_t w =
                    source(ow + f.pad_left - kw * f.dilation_w, f.stride_w, f.width);
                *out++ = h >= 0 && w >= 0 ? plane[h * f.width + w] : fp16{0};
            }
        }
    }

    int x_, columns_;
    ConvForm form_;
};

/// One axis of three is a plane of height 1.
Shape as_plane(const mil::Operation& operation, const Shape& shape) {
    if (shape.rank() == 3) {
        return {shape[0], shape[1], 1, shape[2]};
    }
    if (shape.rank() != 4) {
        Plan::refuse(operation, "only one- and two-dimensional convolutions run on the engine");
    }
    return shape;
}

/// Constant `name` for height and width, `absent` where it is not given.
std::array<std::int64_t, 2> for_plane(const mil::Arguments& arguments, std::string_view name,
                                      std::int64_t absent) {
    std::array<std::int64_t, 2> values{absent, absent};
    if (arguments.has(name)) {
        const auto given = arguments.integers(name);
        std::copy(given.begin(), given.end(),
                  values.end() - static_cast<std::ptrdiff_t>(given.size()));
    }
    return values;
}

/// Padding in front of height and width. `total` gives it for pad_type same.
template <typename Total>
void set_padding(ConvForm& f, const mil::Arguments& arguments, Total total) {
    const std::string& type = arguments.text("pad_type");
    if (type == "custom" && arguments.has("pad")) {
        const auto pad = arguments.integers("pad");
        f.pad_left = pad[pad.size() - 2];
        f.pad_top = pad.size() == 4 ? pad[0] : 0;
    } else if (type == "same" || type == "same_lower") {
        const auto before = [&](std::int64_t all) {
            all = std::max<std::int64_t>(0, all);
            return type == "same" ? all / 2 : all - all / 2;
        };
        const auto [high, wide] = total();
        f.pad_top = before(high), f.pad_left = before(wide);
    }
}

ConvForm conv_form(const mil::Operation& operation, const mil::Arguments& arguments, const Shape& x,
                   const Shape& weight, const Shape& y) {
    ConvForm f{};
    f.batch = x[0], f.channels = x[1], f.height = x[2], f.width = x[3];
    f.outputs = y[1], f.kernel_height = weight[2], f.kernel_width = weight[3];
    f.out_height = y[2], f.out_width = y[3];
    f.groups = arguments.integer("groups");
    const auto strides = for_plane(arguments, "strides", 1),
               dilations = for_plane(arguments, "dilations", 1);
    f.stride_h = strides[0], f.stride_w = strides[1], f.dilation_h = dilations[0],
    f.dilation_w = dilations[1];
    if (operation.op == "conv") {
        set_padding(f, arguments, [&] {
            return std::array{
                (f.out_height - 1) * f.stride_h + (f.kernel_height - 1) * f.dilation_h + 1 -
                    f.height,
                (f.out_width - 1) * f.stride_w + (f.kernel_width - 1) * f.dilation_w + 1 - f.width};
        });
    } else {
        set_padding(f, arguments, [&] {
            return std::array{
                (f.height - 1) * f.stride_h + (f.kernel_height - 1) * f.dilation_h + 1 -
                    f.out_height,
                (f.width - 1) * f.stride_w + (f.kernel_width - 1) * f.dilation_w + 1 - f.out_width};
        });
    }
    return f;
}

/// weight[o, taps] times columns[taps, positions] for every group and image.
void add_conv_products(Plan& plan, const ConvForm& f, const Place& weight,
                       const std::optional<Quantized>& qw, const Place& columns,
                       const std::optional<Quantized>& qx, Streams streams, const Place& result,
                       const std::vector<float>& bias) {
    const std::int64_t positions = f.out_height * f.out_width, taps = f.taps(),
                       outputs = f.outputs / f.groups;
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
        if (!bias.empty() && streams == Streams::none) {
            part.assign(bias.begin() + group * outputs, bias.begin() + (group + 1) * outputs);
        }
        if (streams == Streams::both) {
            IntegerProducts products{weight.slot, columns.slot, result.slot, form,
                                     {},          qw->scales,   qx->scales};
            if (products.rows.size() > 1) {
                products.rows.assign(qw->scales.begin() + group * outputs,
                                     qw->scales.begin() + (group + 1) * outputs);
            }
            for (const Offsets& offsets : batch) {
                products.batch.push_back({offsets.a, offsets.b, offsets.y});
            }
            add_integer_products(plan, std::move(products));
            continue;
        }
        plan.touch(columns.slot);
        plan.touch(weight.slot);
        plan.touch(result.slot);
        plan.add(std::make_unique<ProductStep>(weight.slot, columns.slot, result.slot, form,
                                               std::move(batch), std::move(part)));
    }
    if (streams == Streams::none) {
        return;
    }
    std::vector<fp16> halves;
    for (const float value : bias) {
        halves.push_back(to_fp16(value, Rounding::nearest_even));
    }
    const Place whole{result.slot, {f.batch, f.outputs, f.out_height, f.out_width}};
    if (streams == Streams::a) {
        add_scales(plan, whole, 1, qw->scales, halves);
    } else if (!halves.empty()) {
        add_scales(plan, whole, 1, {fp16{0x3C00}}, halves);
    }
}

void make_conv(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    Place x = plan.operand(arguments, "x"), weight = plan.operand(arguments, "weight");
    const ConvForm f = conv_form(operation, arguments, as_plane(operation, x.shape),
                                 as_plane(operation, weight.shape),
                                 as_plane(operation, operation.results[0].type.shape));
    const auto bias = bias_of(plan, operation, arguments);
    const Numerics& numerics = plan.numerics();
    const auto qx = quantized_operand(plan, arguments, "x"),
               qw = quantized_operand(plan, arguments, "weight");
    // Only one scale of x fits, and integers of x stream with those of the weight only.
    Streams streams = streams_of(qw, 0, qx, -1);
    if (streams == Streams::b) {
        streams = Streams::none;
    }
    if (streams == Streams::none && numerics.convolution.single_channel_bypass &&
        f.is_single_channel()) {
        add_bypass(plan, f, x.slot, weight.slot, plan.result(operation).slot, bias);
        return;
    }
    if (streams == Streams::none && numerics.convolution.winograd_width &&
        numerics.multiply_accumulate.fixed_point && f.is_winograd()) {
        add_winograd(plan, f, x.slot, weight.slot, plan.result(operation).slot, bias);
        return;
    }
    if (streams != Streams::none) {
        weight.slot = quantized_integers(plan, *qw).slot;
    }
    if (streams == Streams::both) {
        x.slot = quantized_integers(plan, *qx).slot;
    }
    Place columns = x;
    if (!f.is_pointwise()) {
        columns.slot = plan.scratch(f.batch * f.groups * f.taps() * f.out_height * f.out_width);
        plan.touch(x.slot);
        plan.add(std::make_unique<ColumnsStep>(x.slot, columns.slot, f));
    }
    const Place result = plan.result(operation);
    add_conv_products(plan, f, weight, qw, columns, qx, streams, result, bias);
}

/// As a convolution over the columns of TransposedColumnsStep: the sum of each position runs over
/// input channels and taps in order; that it does on the engine is assumed (the sum without its
/// overflow does not depend on it).
void make_conv_transpose(Plan& plan, const mil::Operation& operation,
                         const mil::Arguments& arguments) {
    const Place x = plan.operand(arguments, "x"), weight = plan.operand(arguments, "weight");
    const ConvForm f = conv_form(operation, arguments, as_plane(operation, x.shape),
                                 as_plane(operation, weight.shape),
                                 as_plane(operation, operation.results[0].type.shape));
    const auto bias = bias_of(plan, operation, arguments);
    // weight[g, c, o, kh, kw] as weight[g, o, c, kh, kw].
    const int turned = plan.scratch(weight.shape.elements());
    const std::int64_t channels = f.group_channels(), outputs = f.outputs / f.groups,
                       kernel = f.kernel_height * f.kernel_width;
    plan.add_loop([=, groups = f.groups](Run& run) {
        kernels::permute(run.slots[static_cast<std::size_t>(weight.slot)],
                         run.slots[static_cast<std::size_t>(turned)],
                         {groups, channels, outputs, kernel}, {0, 2, 1, 3});
    });
    const int columns = plan.scratch(f.batch * f.groups * f.taps() * f.out_height * f.out_width);
    plan.touch(x.slot);
    plan.add(std::make_unique<TransposedColumnsStep>(x.slot, columns, f));
    add_conv_products(plan, f, {turned, {}}, std::nullopt, {columns, {}}, std::nullopt,
                      Streams::none, plan.result(operation), bias);
}

}  // namespace

Makers product_makers() {
    return {{"conv", make_conv},
            {"conv_transpose", make_conv_transpose},
            {"linear", make_linear},
            {"matmul", make_matmul}};
}

}  // namespace pome::device::emulator
