#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace pome::cli::bench {

inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

/// Milliseconds that `body` takes.
template <typename Body>
double milliseconds(Body&& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
}

/// The median of at least three runs: as many as fit into a quarter of a second, 15 at most.
template <typename Body>
double median_ms(Body&& body) {
    std::vector<double> times;
    double all = 0.0;
    while (times.size() < 3 || (times.size() < 15 && all < 250.0)) {
        times.push_back(milliseconds(body));
        all += times.back();
    }
    return median(std::move(times));
}

}  // namespace pome::cli::bench
