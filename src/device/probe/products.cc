// The sums of products of matmul, conv and linear: what a product is rounded to, which are dropped,
// where sums end, how they are rounded.
#include <fmt/ranges.h>
#include <cmath>

#include <algorithm>
#include <limits>
#include <optional>

#include "device/probe/bench.h"

namespace pome::device::probe {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const std::string prefix = "numerics.multiply_accumulate.";

struct Term {
    double x, w;
};
/// Terms of one sum, at most `row`; the rest is zeros.
using Sum = std::vector<Term>;

/// The sums as the device computes them, 32 a program: row i of x times row i of a constant w.
/// nullopt, with the device's words among the open values, when a program does not run.
std::optional<std::vector<double>> sums(Bench& bench, const std::vector<Sum>& wanted) {
    std::vector<double> found;
    for (std::size_t first = 0; first < wanted.size(); first += row) {
        std::vector<double> x(row * row), w(row * row);
        const std::size_t count = std::min<std::size_t>(row, wanted.size() - first);
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t k = 0; k < wanted[first + i].size(); ++k) {
                x[i * row + k] = wanted[first + i][k].x;
                w[i * row + k] = wanted[first + i][k].w;
            }
        }
        const Outcome outcome = bench.evaluate(
            {{plane(row, row, std::move(x))},
             "tensor<fp16, [1, 1, 32, 32]> y = matmul(x = x, y = w, transpose_x = bool(false), "
             "transpose_y = bool(true));",
             {{"w", {1, 1, row, row}, DType::fp16, std::move(w)}}});
        if (!is_done(outcome)) {
            bench.open(prefix + "*", words(outcome));
            return std::nullopt;
        }
        for (std::size_t i = 0; i < count; ++i) {
            found.push_back(outcome.values[i * row + i]);
        }
    }
    return found;
}

/// 2^exponent * mantissa as a product of two factors of about equal exponents.
Term product(double left, double right, int exponent) {
    const int half = exponent >= 0 ? exponent / 2 : -((1 - exponent) / 2);
    return {std::ldexp(left, half), std::ldexp(right, exponent - half)};
}

/// (1 + a / 1024) (1 + b / 1024) 2^exponent less its part that is a multiple of 2^(exponent - 10):
/// a b 2^(exponent - 20) remains, if products keep so much.
Sum remainder(int a, int b, int exponent) {
    const double unit = 0x1p-10;
    const Term whole = product(1.0, 1.0 + (a + b) * unit, exponent);
    return {product(1.0 + a * unit, 1.0 + b * unit, exponent), {-whole.x, whole.w}};
}

constexpr int lowest = -4, highest = 12;  // exponents of the ladder: 2^-24 to 2^-8 remain

/// The fraction bits of products: the ladder of remainders is exact down to the last one. nullopt:
/// no fixed point of 8 to 24 bits.
std::optional<int> fraction_bits(const std::vector<double>& ladder) {
    int exact = highest + 1;
    for (int s = highest; s >= lowest; --s) {
        if (ladder[static_cast<std::size_t>(s - lowest)] != std::ldexp(1.0, s - 20)) {
            break;
        }
        exact = s;
    }
    if (exact > highest) {
        return std::nullopt;
    }
    // Below half a unit nothing may be left, as long as what is taken off is whole.
    for (int s = std::max(lowest, exact - 11); s < exact - 1; ++s) {
        if (ladder[static_cast<std::size_t>(s - lowest)] != 0.0) {
            return std::nullopt;
        }
    }
    return 20 - exact;
}

/// From halves and three quarters of a unit, in units: of an even whole, an odd one, and signed.
std::string rounding_of(double even_half, double odd_half, double more, double negative) {
    if (even_half == 1.0 && odd_half == 2.0 && more == 1.0 && negative == -1.0) {
        return "nearest_away";
    }
    if (even_half == 0.0 && odd_half == 2.0 && more == 1.0 && negative == 0.0) {
        return "nearest_even";
    }
    return even_half == 0.0 && odd_half == 1.0 && more == 0.0 && negative == 0.0 ? "toward_zero"
                                                                                 : "";
}

void find_rounding(Bench& bench, int bits) {
    const int half = 19 - bits, quarter = 18 - bits;
    Sum negative = remainder(1, 1, half);
    for (Term& term : negative) {
        term.x = -term.x;
    }
    const auto found = sums(
        bench, {remainder(1, 1, half), remainder(1, 3, half), remainder(1, 3, quarter), negative});
    if (!found) {
        return;
    }
    const auto units = [&](std::size_t i) { return std::ldexp((*found)[i], bits); };
    const std::string name = rounding_of(units(0), units(1), units(2), units(3));
    const std::string seen =
        fmt::format("products of 1/2, 3/2, 3/4 and -1/2 units of 2^-{} become {}, {}, {} and {}",
                    bits, units(0), units(1), units(2), units(3));
    if (name.empty()) {
        bench.open(prefix + "product", seen);
    } else {
        bench.found(prefix + "product", name, seen);
    }
}

/// Products 3.996 * 2^t: those that are left where rounding alone would leave something tell
/// whether exponents drop more.
void find_drop(Bench& bench, int bits) {
    constexpr int first = -28, last = 3;
    std::vector<Sum> wanted;
    for (int t = first; t <= last; ++t) {
        wanted.push_back({product(2.0 - 0x1p-10, 2.0 - 0x1p-10, t)});
    }
    const auto found = sums(bench, wanted);
    if (!found) {
        return;
    }
    int kept = last + 1;
    bool monotone = true;
    for (int t = last; t >= first; --t) {
        const bool here = (*found)[static_cast<std::size_t>(t - first)] != 0.0;
        monotone = monotone && (!here || kept == t + 1);
        kept = here ? t : kept;
    }
    const Value* rounding = nullptr;
    const bool truncates = [&] {
        rounding = bench.find(prefix + "product");
        return rounding != nullptr && text_of(*rounding) == "toward_zero";
    }();
    const int rounded = -bits - (truncates ? 1 : 2);  // the least t whose product rounds to a unit
    const std::string seen = fmt::format(
        "products 3.996 x 2^t are lost below t = {}, rounding to 2^-{} loses them below {}", kept,
        bits, rounded);
    if (!monotone || kept > last || kept < rounded) {
        bench.open(prefix + "drop", seen);
    } else if (kept == rounded) {
        bench.found(prefix + "drop", false, seen);
        bench.open(
            prefix + "drop_exponent",
            fmt::format("nothing is dropped, or by {} and less only, which rounding loses too",
                        rounded - 1));
    } else {
        bench.found(prefix + "drop", true, seen);
        bench.found(prefix + "drop_exponent", std::int64_t{kept} - 1, seen);
    }
}

/// Where sums end: 2^n alone, and 2^n - 2^n, which only a limit on partial sums can spoil.
void find_limit(Bench& bench) {
    constexpr int singles = 16, pairs = 31;
    std::vector<Sum> wanted;
    for (int n = 0; n < singles; ++n) {
        wanted.push_back({product(1.0, 1.0, n)});
    }
    for (int n = 0; n < pairs; ++n) {
        const Term term = product(1.0, 1.0, n);
        wanted.push_back({term, {-term.x, term.w}});
    }
    const auto found = sums(bench, wanted);
    if (!found) {
        return;
    }
    int single = 0, pair = 0;
    while (single < singles &&
           (*found)[static_cast<std::size_t>(single)] == std::ldexp(1.0, single)) {
        ++single;
    }
    while (pair < pairs && (*found)[static_cast<std::size_t>(singles + pair)] == 0.0) {
        ++pair;
    }
    bool clean = true;  // beyond the limit everything is infinite
    for (int n = single; n < singles; ++n) {
        clean = clean && (*found)[static_cast<std::size_t>(n)] == infinity;
    }
    const bool sticky = pair < pairs;
    clean = clean && (!sticky || (single == singles ? pair >= singles : pair == single));
    const std::string seen = fmt::format(
        "2^n is {} from n = {} on; 2^n - 2^n is {}", single < singles ? "infinite" : "finite",
        single < singles ? single : 0, sticky ? fmt::format("spoilt from n = {} on", pair) : "0");
    if (!clean) {
        bench.open(prefix + "limit_exponent", seen);
        return;
    }
    bench.found(prefix + "sticky", sticky, seen);
    if (single < singles || sticky) {
        bench.found(prefix + "limit_exponent", std::int64_t{sticky ? pair : single}, seen);
    } else {
        bench.open(prefix + "limit_exponent", "no limit below that of fp16 results");
    }
}

void find_output(Bench& bench) {
    const auto found =
        sums(bench, {{{2048, 1}, {1, 1}}, {{2048, 1}, {3, 1}}, {{-2048, 1}, {-1, 1}}});
    if (!found) {
        return;
    }
    const std::string seen = fmt::format("sums of 2049, 2051 and -2049 become {}, {} and {}",
                                         (*found)[0], (*found)[1], (*found)[2]);
    const std::string name = rounding_of((*found)[0] == 2050   ? 1
                                         : (*found)[0] == 2048 ? 0
                                                               : -1,
                                         (*found)[1] == 2052   ? 2
                                         : (*found)[1] == 2050 ? 1
                                                               : -1,
                                         (*found)[1] == 2052 ? 1 : 0,
                                         (*found)[2] == -2050   ? -1
                                         : (*found)[2] == -2048 ? 0
                                                                : 1);
    if (name.empty()) {
        bench.open(prefix + "output", seen);
    } else {
        bench.found(prefix + "output", name, seen);
    }
}

/// 2^23 + 1 - 2^23 and 2^24 + 1 - 2^24: 1 and 0 where sums are fp32.
bool sums_in_fp32(Bench& bench) {
    const auto found = sums(bench, {{{0x1p11, 0x1p12}, {1, 1}, {-0x1p11, 0x1p12}},
                                    {{0x1p12, 0x1p12}, {1, 1}, {-0x1p12, 0x1p12}}});
    return found && (*found)[0] == 1.0 && (*found)[1] == 0.0;
}

}  // namespace

void probe_products(Bench& bench) {
    std::vector<Sum> wanted;
    for (int s = lowest; s <= highest; ++s) {
        wanted.push_back(remainder(1, 1, s));
    }
    const auto ladder = sums(bench, wanted);
    if (!ladder) {
        return;
    }
    find_output(bench);
    if (sums_in_fp32(bench)) {
        bench.found(prefix + "fixed_point", false,
                    "2^23 + 1 - 2^23 is 1, 2^24 + 1 - 2^24 is 0: products exact, sums in fp32");
        return;
    }
    const auto bits = fraction_bits(*ladder);
    if (!bits) {
        bench.open(prefix + "fixed_point",
                   fmt::format("remainders 2^-24 to 2^-8 of products come out as {}",
                               fmt::join(*ladder, " ")));
        return;
    }
    const std::string seen =
        fmt::format("products keep a remainder of 2^-{} and nothing below half of it", *bits);
    bench.found(prefix + "fixed_point", true, seen);
    bench.found(prefix + "fraction_bits", std::int64_t{*bits}, seen);
    find_rounding(bench, *bits);
    find_drop(bench, *bits);
    find_limit(bench);
}

}  // namespace pome::device::probe
