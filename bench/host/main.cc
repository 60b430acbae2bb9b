// What the host does of a training step besides matrix products, at the shapes of Stories110M with
// 256 tokens: what share of the machine's copy bandwidth each reaches, counting every array once in
// and once out (docs/performance.md, "The host's half of a step").
//   bench_host [--threads N] [--json FILE]

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

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

double seconds(const std::function<void()>& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(const std::function<void(std::int64_t turn)>& body, std::int64_t turns) {
    std::vector<double> times;
    for (int i = 0; i < 8; ++i) {
        const double all = seconds([&] {
            for (std::int64_t turn = 0; turn < turns; ++turn) {
                body(turn);
            }
        });
        if (i > 0) {  // the first one touches memory for the first time
            times.push_back(all / static_cast<double>(turns));
        }
    }
    std::nth_element(times.begin(), times.begin() + 3, times.end());
    return times[3];
}

std::vector<float> normal(std::int64_t count, Random& random, double deviation) {
    std::vector<float> values(static_cast<std::size_t>(count));
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
          x(normal(streams * stream, random, 1.0)),
          y(x.size()),
          root(positions),
          gain(normal(width, random, 1.0)),
          gain_gradient(width),
          weights(normal(parameters, random, 0.02)),
          gradient(normal(parameters, random, 0.001)),
          m(parameters),
          v(parameters),
          halves(static_cast<std::size_t>(parameters)),
          logits(normal(4 * positions * vocabulary, random, 1.0)) {}

    std::vector<std::int32_t> tokens;
    std::vector<float> x, y, root, gain, gain_gradient, weights, gradient, m, v;
    std::vector<fp16> halves;
    std::vector<float> logits;
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
             kernels::rmsnorm(width, positions, at(d.x, turn), d.gain.data(), 1e-5F, at(d.y, turn),
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

double copy_bandwidth(ThreadPool& pool) {
    constexpr std::int64_t size = std::int64_t{256} << 20;
    std::vector<char> from(size, 1), to(size, 2);
    return 2.0 * size /
           median(
               [&](std::int64_t) {
                   pool.for_ranges(size, 1 << 20, [&](std::int64_t begin, std::int64_t end, int) {
                       std::memcpy(to.data() + begin, from.data() + begin,
                                   static_cast<std::size_t>(end - begin));
                   });
               },
               1);
}

}  // namespace

int main(int argc, char** argv) {
    std::string file;
    int threads = 2;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view flag = argv[i];
        const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
        if (value != nullptr && flag == "--json") {
            file = value;
        } else if (value != nullptr && flag == "--threads" && std::atoi(value) > 0) {
            threads = std::atoi(value);
        } else {
            fmt::print(stderr, "usage: bench_host [--threads N] [--json FILE]\n");
            return 2;
        }
    }
    ThreadPool pool(threads);
    const double bandwidth = copy_bandwidth(pool);
    fmt::print("copy bandwidth of {} threads {:.1f} GB/s (read and written)\n", threads,
               bandwidth / 1e9);
    nlohmann::json all{{"task", "host"}, {"threads", threads}, {"copy_gb_per_s", bandwidth / 1e9}};
    Random random(1);
    Data data(random);
    for (const Op& op : ops(data, pool)) {
        op.run(0);
        if (!op.is_right()) {
            fmt::print("{}: a result is wrong\n", op.name);
            return 1;
        }
        const double time = median(op.run, op.turns), rate = op.bytes / time;
        fmt::print("  {:24} {:9.3f} ms {:7.1f} GB/s {:5.0f} % of copy\n", op.name, time * 1e3,
                   rate / 1e9, 100.0 * rate / bandwidth);
        all["ops"].push_back({{"op", op.name},
                              {"milliseconds", time * 1e3},
                              {"gb_per_s", rate / 1e9},
                              {"share_of_copy", rate / bandwidth}});
    }
    if (!file.empty()) {
        std::ofstream(file) << all.dump(2) << "\n";
    }
    return 0;
}
