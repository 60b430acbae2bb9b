// The narrow adder of reduce_sum: lanes of a tile are aligned to few bits, tiles are added wide.
#include <cmath>
#include <optional>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

const std::string prefix = "numerics.reduction.";
constexpr std::size_t tests = 64, lanes = 192;
/// Further from lane 0 than any tile is long; what stands here is added wide.
constexpr std::size_t far = 128;
constexpr double large = 16384.0;  // 2^14: the unit of its last of 38 fraction bits is 2^-24

/// One row of lanes to add up: (lane, value) pairs, zeros elsewhere.
using Lanes = std::vector<std::pair<std::size_t, double>>;

/// Sums of 64 rows by one program. Their row of results is as long as every route wants it.
std::optional<std::vector<double>> sums(Bench& bench, const std::vector<Lanes>& rows) {
    std::vector<double> x(tests * lanes);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (const auto& [lane, value] : rows[i]) {
            x[i * lanes + lane] = value;
        }
    }
    Outcome outcome = bench.evaluate(
        {{plane(tests, lanes, std::move(x))},
         "tensor<fp16, [1, 1, 64, 1]> s = reduce_sum(x = x, axes = tensor<int32, [1]>([3]), "
         "keep_dims = bool(true)); tensor<fp16, [1, 1, 1, 64]> y = reshape(x = s, shape = "
         "tensor<int32, [4]>([1, 1, 1, 64]));"});
    if (!is_done(outcome)) {
        bench.open(prefix + "*", words(outcome));
        return std::nullopt;
    }
    return std::move(outcome.values);
}

void find_output(Bench& bench) {
    const auto found = sums(bench, {{{0, 2048}, {far, 1}}, {{0, 2048}, {far, 3}}});
    if (!found) {
        return;
    }
    const double even = (*found)[0], odd = (*found)[1];
    const std::string seen = fmt::format("sums of 2049 and 2051 become {} and {}", even, odd);
    const std::string name = even == 2050 && odd == 2052   ? "nearest_away"
                             : even == 2048 && odd == 2052 ? "nearest_even"
                             : even == 2048 && odd == 2050 ? "toward_zero"
                                                           : "";
    if (name.empty()) {
        bench.open(prefix + "output", seen);
    } else {
        bench.found(prefix + "output", name, seen);
    }
}

/// Fraction bits at which a lane is aligned to 2^14 beside it: 2^(14 - j) survives up to there.
std::optional<int> aligned_bits(Bench& bench) {
    constexpr int most = 38;
    std::vector<Lanes> rows;
    for (int j = 1; j <= most; ++j) {
        rows.push_back({{0, large}, {1, std::ldexp(large, -j)}, {far, -large}});
    }
    const auto found = sums(bench, rows);
    if (!found) {
        return std::nullopt;
    }
    int bits = 0;
    while (bits < most &&
           (*found)[static_cast<std::size_t>(bits)] == std::ldexp(large, -bits - 1)) {
        ++bits;
    }
    for (int j = bits; j < most; ++j) {
        if ((*found)[static_cast<std::size_t>(j)] != 0.0) {
            bench.open(prefix + "narrow",
                       fmt::format("2^14 + 2^{} in neighbouring lanes keeps {}", 13 - j,
                                   (*found)[static_cast<std::size_t>(j)]));
            return std::nullopt;
        }
    }
    return bits;
}

/// The first lane that 2^14 in lane 0 does not reach.
std::int64_t tile_of(Bench& bench, int bits) {
    const double lost = std::ldexp(large, -bits - 1);
    std::vector<Lanes> rows;
    for (std::size_t lane = 1; lane <= tests; ++lane) {
        rows.push_back({{0, large}, {lane, lost}, {far, -large}});
    }
    const auto found = sums(bench, rows);
    if (!found) {
        return 0;
    }
    std::size_t tile = 0;
    while (tile < tests && (*found)[tile] == 0.0) {
        ++tile;
    }
    for (std::size_t lane = tile; lane < tests; ++lane) {
        if ((*found)[lane] != lost) {
            return 0;
        }
    }
    return tile == tests ? 0 : static_cast<std::int64_t>(tile) + 1;
}

/// What becomes of the bits below the last that is kept.
void observe_alignment(Bench& bench, int bits) {
    const double unit = std::ldexp(large, -bits);
    const auto found = sums(bench, {{{0, large}, {1, 1.5 * unit}, {far, -large}},
                                    {{0, large}, {1, 1.75 * unit}, {far, -large}},
                                    {{0, -large}, {1, -1.5 * unit}, {far, large}}});
    if (!found) {
        return;
    }
    const double half = (*found)[0] / unit, more = (*found)[1] / unit, less = (*found)[2] / unit;
    bench.observed(
        prefix + "alignment",
        fmt::format("lanes of 1.5, 1.75 and -1.5 units become {}, {} and {}: {}", half, more, less,
                    half == 1 && more == 1 && less == -1   ? "cut toward zero"
                    : half == 1 && more == 1 && less == -2 ? "cut downward"
                    : half == 2 && more == 2 && less == -2 ? "rounded"
                                                           : "no known rule"));
}

}  // namespace

void probe_reductions(Bench& bench) {
    find_output(bench);
    const auto bits = aligned_bits(bench);
    if (!bits) {
        return;
    }
    const std::string seen =
        fmt::format("beside 2^14 a neighbouring lane keeps {} fraction bits", *bits);
    if (*bits >= 38) {
        bench.found(prefix + "narrow", false, seen + ", as many as fp16 can show");
        return;
    }
    const std::int64_t tile = tile_of(bench, *bits);
    if (tile == 0) {
        bench.open(prefix + "narrow", seen + ", but no tile of up to 64 lanes explains which");
        return;
    }
    bench.found(prefix + "narrow", true, seen);
    bench.found(prefix + "tile_fraction_bits", std::int64_t{*bits}, seen);
    bench.found(prefix + "tile", tile, fmt::format("lane {} is out of reach of lane 0", tile));
    observe_alignment(bench, *bits);
}

}  // namespace pome::device::probe
