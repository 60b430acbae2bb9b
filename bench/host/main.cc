// What the host does of a training step besides matrix products, at the shapes of Stories110M with
// 256 tokens: what share of the machine's copy bandwidth each reaches, counting every array once in
// and once out (docs/performance.md, "The host's half of a step").
//   bench_host [--only TEXT] [--threads N] [--json FILE]

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "bandwidth.h"
#include "base/random.h"
#include "base/thread_pool.h"
#include "kernels/adamw.h"
#include "kernels/convert.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/rmsnorm.h"

namespace {

using namespace pome;

constexpr std::int64_t width = 768, positions = 256, vocabulary = 32000;
constexpr std::int64_t stream = width * positions;
constexpr std::int64_t parameters = 109'529'856, staged = 84'934'656;
// As many streams as the caches do not hold, in turns: in a step each is cold.
constexpr std::int64_t streams = 96;

template <typename Values>
Values normal(std::int64_t count, Random& random, double deviation) {
    Values values(static_cast<std::size_t>(count));
    constexpr std::size_t period = 65521;  // a prime: streams and rows differ
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] =
            i < period ? static_cast<float>(random.normal() * deviation) : values[i - period];
    }
    return values;
}

std::vector<std::int32_t> random_tokens(Random& random) {
    std::vector<std::int32_t> tokens(positions);
    for (auto& token : tokens) {
        token = static_cast<std::int32_t>(random.below(vocabulary));
    }
    return tokens;
}

bool near(double value, double expected, double tolerance) {
    return std::fabs(value - expected) <= tolerance * (1.0 + std::fabs(expected));
}

struct Op {
    std::string name;
    double bytes;  ///< a turn
    std::int64_t turns;
    std::function<void(std::int64_t turn)> run;
    std::function<bool()> is_right;  ///< after run(0) on fresh data
};

/// Memory of all ops: that of one is the input of the next.
struct Data {
    explicit Data(Random& random)
        : tokens(random_tokens(random)),
          x(normal<std::vector<float>>(streams * stream, random, 1.0)),
          y(x.size()),
          root(positions),
          gain(normal<std::vector<float>>(width, random, 1.0)),
          gain_gradient(width),
          weights(normal<LargeVector<float>>(parameters, random, 0.02)),
          gradient(normal<LargeVector<float>>(parameters, random, 0.001)),
          m(parameters),
          v(parameters),
          halves(static_cast<std::size_t>(parameters)),
          logits(normal<LargeVector<float>>(4 * positions * vocabulary, random, 1.0)) {}

    std::vector<std::int32_t> tokens;
    std::vector<float> x, y, root, gain, gain_gradient;
    // Memory of the kind that a step keeps them in.
    LargeVector<float> weights, gradient, m, v;
    LargeVector<fp16> halves;
    LargeVector<float> logits;
};

std::vector<Op> ops(Data& d, ThreadPool& pool) {
    const kernels::AdamW rule{1e-3F, 0.9F, 0.95F, 1e-8F, 0.1F, 0.5F, 1};
    const auto at = [](std::vector<float>& values, std::int64_t turn) {
        return values.data() + turn * stream;
    };
    const auto convert_streams = [&d, &pool](std::int64_t turn, bool narrow) {
        pool.for_ranges(stream, 16384, [&](std::int64_t begin, std::int64_t end, int) {
            float* values = d.x.data() + turn * stream + begin;
            fp16* halves = d.halves.data() + turn * stream + begin;
            narrow ? kernels::to_fp16(values, halves, end - begin, Rounding::nearest_even)
                   : kernels::to_float(halves, values, end - begin);
        });
    };
    const float first_weight = d.weights[0], first_logit = d.logits[7];
    double exponentials = 0.0;
    for (std::int64_t i = 0; i < vocabulary; ++i) {
        exponentials += std::exp(static_cast<double>(d.logits[static_cast<std::size_t>(i)]));
    }
    const double probability = std::exp(static_cast<double>(first_logit)) / exponentials;
    const std::span<const float> rows(d.weights);
    return {
        {"AdamW", 28.0 * parameters, 1,
         [&, rule](std::int64_t) { kernels::adamw(rule, d.gradient, d.weights, d.m, d.v, pool); },
         [&, first_weight] {  // of the first update: m / sqrt(v) is the sign of the gradient
             const double g = 0.5 * static_cast<double>(d.gradient[0]);
             return near(static_cast<double>(d.weights[0]),
                         static_cast<double>(first_weight) * (1.0 - 1e-4) -
                             1e-3 * g / (std::fabs(g) + 1e-8),
                         1e-6);
         }},
        {"gradients to zero", 4.0 * parameters, 1,
         [&](std::int64_t) {
             pool.for_ranges(parameters, 1 << 16, [&](std::int64_t begin, std::int64_t end, int) {
                 std::fill(d.m.data() + begin, d.m.data() + end, 0.0F);
             });
         },
         [&] { return d.m[12345] == 0.0F; }},
        {"norm of the gradients", 4.0 * parameters, 1,
         [&](std::int64_t) {
             d.root[0] = static_cast<float>(kernels::sum_of_squares(d.gradient, pool));
         },
         [&] {
             double sum = 0.0;
             for (const float g : d.gradient) {
                 sum += static_cast<double>(g) * static_cast<double>(g);
             }
             return near(static_cast<double>(d.root[0]), sum, 1e-5);
         }},
        {"staging of weights", 6.0 * staged, 1,
         [&](std::int64_t) {
             pool.for_ranges(staged, 1 << 16, [&](std::int64_t begin, std::int64_t end, int) {
                 kernels::to_fp16(d.weights.data() + begin, d.halves.data() + begin, end - begin,
                                  Rounding::nearest_even);
             });
         },
         [&] { return d.halves[777] == to_fp16(d.weights[777], Rounding::nearest_even); }},
        {"surface from a stream", 6.0 * stream, streams,
         [=](std::int64_t turn) { convert_streams(turn, true); },
         [&] { return d.halves[99] == to_fp16(d.x[99], Rounding::nearest_even); }},
        {"stream from a surface", 6.0 * stream, streams,
         [=](std::int64_t turn) { convert_streams(turn, false); },
         [&] { return d.x[99] == to_float(d.halves[99]); }},
        {"RMSNorm", 8.0 * stream, streams,
         [&, at](std::int64_t turn) {
             // Its result has one place for all blocks, as in a step.
             kernels::rmsnorm(width, positions, at(d.x, turn), d.gain.data(), 1e-5F, at(d.y, 0),
                              d.root.data(), pool);
         },
         [&] {
             double sum = 0.0;
             for (std::int64_t c = 0; c < width; ++c) {
                 const double value = d.x[static_cast<std::size_t>(c * positions)];
                 sum += value * value;
             }
             return near(static_cast<double>(d.y[0]),
                         static_cast<double>(d.gain[0]) * static_cast<double>(d.x[0]) /
                             std::sqrt(sum / width + 1e-5),
                         1e-5);
         }},
        {"RMSNorm, backward", 16.0 * stream, streams / 2,
         [&, at](std::int64_t turn) {
             kernels::rmsnorm_backward(width, positions, at(d.x, turn), d.gain.data(),
                                       d.root.data(), at(d.x, turn + streams / 2), at(d.y, turn),
                                       d.gain_gradient.data(), pool);
         },
         [&] { return std::isfinite(d.y[5]) && d.gain_gradient[3] != 0.0F; }},
        {"embedding", 8.0 * stream, streams,
         [&, at, rows](std::int64_t turn) {
             kernels::embedding_gather(rows.data(), width, d.tokens, at(d.y, turn), pool);
         },
         [&] { return d.y[1] == d.weights[static_cast<std::size_t>(d.tokens[1] * width)]; }},
        {"embedding, backward", 12.0 * stream, streams,
         [&, at](std::int64_t turn) {
             kernels::embedding_scatter(at(d.x, turn), width, d.tokens, d.gradient.data(), pool);
         },
         [&] { return std::isfinite(d.gradient[static_cast<std::size_t>(d.tokens[0] * width)]); }},
        {"cross-entropy", 8.0 * positions * vocabulary, 4,
         [&](std::int64_t turn) {
             kernels::cross_entropy(d.logits.data() + turn * positions * vocabulary, d.tokens,
                                    vocabulary, 1.0F, pool);
         },
         [&, probability] {
             return d.tokens[0] == 7 || near(static_cast<double>(d.logits[7]), probability, 1e-6);
         }}};
}

}  // namespace

int main(int argc, char** argv) {
    const bench::Options options = bench::read_options(argc, argv);
    ThreadPool pool(options.threads);
    bench::Table table("host", options, pool);
    Random random(1);
    Data data(random);
    for (const Op& op : ops(data, pool)) {
        op.run(0);
        if (!op.is_right()) {
            fmt::print("{}: a result is wrong\n", op.name);
            return 1;
        }
        if (op.name.find(options.only) == std::string::npos) {
            continue;
        }
        const auto turns = [&] {
            for (std::int64_t turn = 0; turn < op.turns; ++turn) {
                op.run(turn);
            }
        };
        table.add(op.name, op.bytes,
                  bench::median_seconds(turns, 7) / static_cast<double>(op.turns));
    }
    table.write();
    return 0;
}
