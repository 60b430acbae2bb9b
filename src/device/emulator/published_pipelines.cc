#include "device/emulator/program_pieces.h"
#include "device/emulator/published_programs.h"

namespace pome::device::emulator {
namespace {

using mil::Value;

constexpr double fp32 = 4.0;

// The static pipeline: six programs a layer, weights baked in.

mil::Function forward_attention(const PipelineSizes& m) {
    ProgramPieces p;
    const Value normal = p.rms_norm(p.input("x", {1, m.width, 1, m.positions}));
    const Value q = p.conv(normal, m.query_width()), k = p.conv(normal, m.kv_width()),
                v = p.conv(normal, m.kv_width());
    const Value attended = p.join_heads(
        p.ops().matmul(p.probabilities(p.split_heads(q, m.heads), p.split_heads(k, m.heads)),
                       p.split_heads(v, m.heads)));
    return p.finish(p.ops().concat({p.conv(attended, m.width), q, k, v, attended, normal}, 1));
}

Value silu(ProgramPieces& p, const Value& x) {
    return p.ops().mul(x, p.ops().unary("sigmoid", x));
}

mil::Function forward_feed_forward(const PipelineSizes& m) {
    ProgramPieces p;
    const Value normal = p.rms_norm(p.input("x", {1, m.width, 1, m.positions}));
    const Value h1 = p.conv(normal, m.hidden), h3 = p.conv(normal, m.hidden);
    const Value gate = p.ops().mul(silu(p, h1), h3);
    return p.finish(p.ops().concat({p.conv(gate, m.width), h1, h3, gate, normal}, 1));
}

/// dh1 and dh3 from the gradient of silu(h1) * h3.
std::pair<Value, Value> gate_gradients(ProgramPieces& p, const Value& dgate, const Value& h1,
                                       const Value& h3) {
    mil::Builder& b = p.ops();
    const Value s = b.unary("sigmoid", h1);
    const Value dh3 = b.mul(dgate, b.mul(h1, s));
    const Value slope = b.mul(s, b.add(b.mul(h1, b.add(b.negate(s), b.number(DType::fp16, 1.0))),
                                       b.number(DType::fp16, 1.0)));
    return {b.mul(b.mul(dgate, h3), slope), dh3};
}

mil::Function backward_feed_forward(const PipelineSizes& m) {
    ProgramPieces p;
    const Value x = p.input("x", {1, m.width + 2 * m.hidden, 1, m.positions});
    const Value dgate = p.conv(p.channels(x, 0, m.width), m.hidden);
    const auto [dh1, dh3] = gate_gradients(p, dgate, p.channels(x, m.width, m.hidden),
                                           p.channels(x, m.width + m.hidden, m.hidden));
    const Value dx = p.ops().add(p.conv(dh1, m.width), p.conv(dh3, m.width));
    return p.finish(p.ops().concat({dx, dh1, dh3}, 1));
}

mil::Function attention_scores_gradient(const PipelineSizes& m, bool projects) {
    ProgramPieces p;
    const std::int64_t q = m.query_width();
    const Value x = p.input("x", {1, 4 * q, 1, m.positions});
    const Value queries = p.split_heads(p.channels(x, 0, q), m.heads);
    const Value keys = p.split_heads(p.channels(x, q, q), m.heads);
    const Value values = p.split_heads(p.channels(x, 2 * q, q), m.heads);
    const Value dy = p.channels(x, 3 * q, q);
    const Value da = p.split_heads(projects ? p.conv(dy, q) : dy, m.heads);
    const Value probabilities = p.probabilities(queries, keys);
    const Value dv = p.ops().matmul(probabilities, da, true, false);
    const Value dp = p.ops().matmul(da, values, false, true);
    const auto flat = [&](const Value& scores) {
        return p.ops().reshape(p.ops().transpose(scores, {0, 1, 3, 2}),
                               {1, m.heads * m.positions, 1, m.positions});
    };
    return p.finish(p.ops().concat({p.join_heads(dv), flat(probabilities), flat(dp)}, 1));
}

mil::Function attention_operands_gradient(const PipelineSizes& m) {
    ProgramPieces p;
    const std::int64_t q = m.query_width(), scores = m.heads * m.positions;
    const Value x = p.input("x", {1, 2 * scores + 2 * q, 1, m.positions});
    const Value probabilities = p.split_heads(p.channels(x, 0, scores), m.heads);
    const Value dp = p.split_heads(p.channels(x, scores, scores), m.heads);
    const Value queries = p.split_heads(p.channels(x, 2 * scores, q), m.heads);
    const Value keys = p.split_heads(p.channels(x, 2 * scores + q, q), m.heads);
    const Value ds = p.softmax_gradient(probabilities, dp);
    const Value dq = p.ops().matmul(ds, keys), dk = p.ops().matmul(ds, queries, true, false);
    return p.finish(p.ops().concat({p.join_heads(dq), p.join_heads(dk)}, 1));
}

mil::Function backward_projections(const PipelineSizes& m) {
    ProgramPieces p;
    const std::int64_t q = m.query_width(), kv = m.kv_width();
    const Value x = p.input("x", {1, q + 2 * kv, 1, m.positions});
    const Value dq = p.conv(p.channels(x, 0, q), m.width);
    const Value dk = p.conv(p.channels(x, q, kv), m.width);
    const Value dv = p.conv(p.channels(x, q + kv, kv), m.width);
    return p.finish(p.ops().add(p.ops().add(dq, dk), dv));
}

mil::Function backward_norm(const PipelineSizes& m) {
    ProgramPieces p;
    const Value x = p.input("x", {1, 2 * m.width, 1, m.positions});
    const Value dy = p.channels(x, 0, m.width), y = p.channels(x, m.width, m.width);
    mil::Builder& b = p.ops();
    const Value r = b.pow(b.reduce_sum(b.mul(y, y), {1}, true), -0.5);
    const Value wdy = b.mul(dy, p.constant({1, m.width, 1, 1}));
    const Value dot = b.reduce_sum(b.mul(wdy, y), {1}, true);
    return p.finish(b.mul(b.sub(wdy, b.mul(y, b.mul(dot, b.mul(r, r)))), r));
}

mil::Function one_conv(std::int64_t in, std::int64_t out, std::int64_t positions) {
    ProgramPieces p;
    return p.finish(p.conv(p.input("x", {1, in, 1, positions}), out));
}

mil::Function final_norm(const PipelineSizes& m) {
    ProgramPieces p;
    return p.finish(p.rms_norm(p.input("x", {1, m.width, 1, m.positions})));
}

mil::Function channel_softmax(const PipelineSizes& m) {
    ProgramPieces p;
    return p.finish(p.ops().softmax(p.input("x", {1, m.vocabulary, 1, m.positions}), 1));
}

// The dynamic pipeline: weights travel in the surfaces, packed beside the activations, or as inputs
// of their own.

/// One surface of a dynamic program: activations and weights side by side.
class DynamicSurface {
  public:
    DynamicSurface(ProgramPieces& pieces, std::int64_t rows, std::vector<std::int64_t> widths,
                   bool packed)
        : pieces_(pieces), widths_(std::move(widths)) {
        std::int64_t total = 0;
        for (const std::int64_t width : widths_) {
            total += width;
        }
        if (packed) {
            inputs_.push_back(pieces.input("x", {1, rows, 1, total}));
            return;
        }
        for (const std::int64_t width : widths_) {
            inputs_.push_back(
                pieces.input(fmt::format("x{}", inputs_.size()), {1, rows, 1, width}));
        }
    }

    /// Part `index` as a matrix [1, 1, rows, width].
    Value part(std::size_t index) {
        if (inputs_.size() > 1) {
            const Value& x = inputs_[index];
            return pieces_.ops().reshape(x, {1, 1, x.shape()[1], x.shape()[3]});
        }
        std::int64_t begin = 0;
        for (std::size_t i = 0; i < index; ++i) {
            begin += widths_[i];
        }
        return pieces_.columns(inputs_.front(), begin, widths_[index]);
    }

    /// act^T (S x C) times W (C x out), as [1, out, 1, S].
    Value product(std::size_t activations, std::size_t weights) {
        mil::Builder& b = pieces_.ops();
        const Value y = b.matmul(part(activations), part(weights), true, false);
        return b.reshape(b.transpose(y, {0, 1, 3, 2}), {1, y.shape()[3], 1, y.shape()[2]});
    }

  private:
    ProgramPieces& pieces_;
    std::vector<std::int64_t> widths_;
    std::vector<Value> inputs_;
};

mil::Function dynamic_attention(const PipelineSizes& m, bool packed) {
    ProgramPieces p;
    mil::Builder& b = p.ops();
    DynamicSurface x(p, m.width, {m.positions, m.query_width(), m.kv_width(), m.kv_width()},
                     packed);
    const Value normal = b.reshape(x.part(0), {1, m.width, 1, m.positions});
    const auto rotate = [&](const Value& value) {
        const std::int64_t pairs = value.shape()[1] / 2;
        const Value paired = b.reshape(value, {1, pairs, 2, m.positions});
        const Value even = b.slice(paired, {0, 0, 0, 0}, {1, pairs, 1, m.positions});
        const Value odd = b.slice(paired, {0, 0, 1, 0}, {1, pairs, 1, m.positions});
        const Value cosine = p.constant({1, pairs, 1, m.positions}, "cos");
        const Value sine = p.constant({1, pairs, 1, m.positions}, "sin");
        return b.reshape(b.concat({b.sub(b.mul(even, cosine), b.mul(odd, sine)),
                                   b.add(b.mul(even, sine), b.mul(odd, cosine))},
                                  2),
                         value.shape());
    };
    const auto repeat = [&](const Value& value) {
        return m.heads == m.kv_heads
                   ? value
                   : b.concat(
                         std::vector<Value>(static_cast<std::size_t>(m.heads / m.kv_heads), value),
                         1);
    };
    const Value q = rotate(x.product(0, 1)), k = rotate(x.product(0, 2)), v = x.product(0, 3);
    const Value attended = p.join_heads(
        b.matmul(p.probabilities(p.split_heads(q, m.heads), p.split_heads(repeat(k), m.heads)),
                 p.split_heads(repeat(v), m.heads)));
    return p.finish(b.concat({attended, q, k, v, normal}, 1));
}

mil::Function dynamic_product(std::int64_t rows, std::int64_t positions, std::int64_t out,
                              bool packed) {
    ProgramPieces p;
    DynamicSurface x(p, rows, {positions, out}, packed);
    return p.finish(x.product(0, 1));
}

mil::Function dynamic_feed_forward(const PipelineSizes& m, bool packed) {
    ProgramPieces p;
    mil::Builder& b = p.ops();
    DynamicSurface x(p, m.width, {m.positions, m.positions, m.hidden, m.hidden, m.hidden}, packed);
    const Value h1 = x.product(0, 2), h3 = x.product(0, 3);
    const Value gate = b.mul(silu(p, h1), h3);
    const Value columns = b.reshape(gate, {1, 1, m.hidden, m.positions});
    const Value ffn = b.reshape(b.matmul(x.part(4), columns), {1, m.width, 1, m.positions});
    const Value skip = b.reshape(x.part(1), {1, m.width, 1, m.positions});
    return p.finish(b.concat({b.add(skip, b.scale(ffn, 0.2)), h1, h3, gate}, 1));
}

mil::Function dynamic_sum_of_two(std::int64_t rows, std::int64_t positions, std::int64_t out,
                                 bool packed) {
    ProgramPieces p;
    DynamicSurface x(p, rows, {positions, positions, out, out}, packed);
    return p.finish(p.ops().add(x.product(0, 2), x.product(1, 3)));
}

double surface_bytes(const std::vector<Evaluations>& programs) {
    double bytes = 0.0;
    for (const auto& program : programs) {
        const ProgramCost cost = program_cost(program.function);
        bytes += (cost.input_bytes + cost.output_bytes) * static_cast<double>(program.count);
    }
    return bytes;
}

/// Weight gradients and the classifier's three products. `classifier` of those three are the
/// host's.
double host_products(const PipelineSizes& m, double classifier) {
    const auto s = static_cast<double>(m.positions);
    return 2.0 * s * m.layer_weights() * static_cast<double>(m.layers) +
           classifier * 2.0 * s * static_cast<double>(m.width) * static_cast<double>(m.vocabulary);
}

/// Passes over fp32 arrays [channels, positions], a read or a write each.
double passes(const PipelineSizes& m, double channels, double count) {
    return fp32 * channels * static_cast<double>(m.positions) * count;
}

}  // namespace

double PipelineSizes::layer_weights() const {
    const auto w = static_cast<double>(width), h = static_cast<double>(hidden);
    const auto q = static_cast<double>(query_width()), kv = static_cast<double>(kv_width());
    return 2.0 * w * q + 2.0 * w * kv + 3.0 * w * h;
}

std::vector<Evaluations> static_forward(const PipelineSizes& m) {
    return {{"fwdAttn", forward_attention(m), m.layers},
            {"fwdFFN", forward_feed_forward(m), m.layers}};
}

PublishedWork static_step(const PipelineSizes& m, bool extras) {
    PublishedWork work;
    work.programs = static_forward(m);
    work.programs.push_back({"ffnBwd", backward_feed_forward(m), m.layers});
    work.programs.push_back({"sdpaBwd1", attention_scores_gradient(m, true), m.layers});
    work.programs.push_back({"sdpaBwd2", attention_operands_gradient(m), m.layers});
    work.programs.push_back({"qkvBwd", backward_projections(m), m.layers});
    const auto layers = static_cast<double>(m.layers), width = static_cast<double>(m.width);
    const auto vocabulary = static_cast<double>(m.vocabulary);
    // fp16 <-> fp32 of what the host keeps, and the captures for weight gradients.
    work.host.bytes = surface_bytes(work.programs) * 3.0;
    // Residuals and the two norms' backward, of every layer.
    work.host.bytes += passes(m, width, 20.0 * layers);
    if (extras) {
        work.programs.push_back({"rmsBwd", backward_norm(m), 2 * m.layers});
        work.programs.push_back({"finalNorm", final_norm(m), 1});
        work.programs.push_back({"classifier", one_conv(m.width, m.vocabulary, m.positions), 1});
        work.programs.push_back({"softmax", channel_softmax(m), 1});
    }
    // Cross entropy: maximum, exponentials, sum, gradient; the engine's softmax leaves the
    // gradient.
    work.host.bytes += passes(m, vocabulary, extras ? 4.0 : 8.0);
    work.host.flops = host_products(m, m.vocabulary == 0 ? 0.0 : extras ? 2.0 : 3.0);
    return work;
}

PublishedWork dynamic_step(const PipelineSizes& m, bool packed) {
    PublishedWork work;
    const std::int64_t s = m.positions, q = m.query_width(), kv = m.kv_width();
    work.programs = {
        {"sdpaFwd", dynamic_attention(m, packed), m.layers},
        {"woFwd", dynamic_product(q, s, m.width, packed), m.layers},
        {"ffnFused", dynamic_feed_forward(m, packed), m.layers},
        {"ffnBwdW2t", dynamic_product(m.width, s, m.hidden, packed), m.layers},
        {"ffnBwdW13t", dynamic_sum_of_two(m.hidden, s, m.width, packed), m.layers},
        {"wotBwd", dynamic_product(m.width, s, q, packed), m.layers},
        {"sdpaBwd1", attention_scores_gradient(m, false), m.layers},
        {"sdpaBwd2", attention_operands_gradient(m), m.layers},
        {"qBwd", dynamic_product(q, s, m.width, packed), m.layers},
        {"kvBwd", dynamic_sum_of_two(kv, s, m.width, packed), m.layers},
    };
    const auto layers = static_cast<double>(m.layers), width = static_cast<double>(m.width);
    // Weights are staged once an update, outside the step: only activations are converted.
    const double weights = 2.0 * layers * m.layer_weights() * 2.0;
    work.host.bytes = std::max(0.0, surface_bytes(work.programs) - weights) * 3.0;
    work.host.bytes += passes(m, width, 28.0 * layers);
    // The derivative of silu, which this pipeline leaves to the host.
    work.host.bytes += passes(m, static_cast<double>(m.hidden), 12.0 * layers);
    work.host.bytes += passes(m, static_cast<double>(m.vocabulary), 8.0);
    work.host.flops = host_products(m, 3.0);
    return work;
}

}  // namespace pome::device::emulator
