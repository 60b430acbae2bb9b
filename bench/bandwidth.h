#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/large_memory.h"
#include "base/thread_pool.h"

// What the benchmarks of memory-bound work share: their flags, the copy bandwidth that they compare
// with, and their table.
namespace pome::bench {

struct Options {
    std::string only;  ///< rows whose name has it; empty: all
    std::string json;  ///< a file for the figures; empty: none
    int threads = 2;
};

/// Ends the program with status 2 and the usage after a mistake.
inline Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view flag = argv[i];
        const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
        if (value != nullptr && flag == "--only") {
            options.only = value;
        } else if (value != nullptr && flag == "--json") {
            options.json = value;
        } else if (value != nullptr && flag == "--threads" && std::atoi(value) > 0) {
            options.threads = std::atoi(value);
        } else {
            fmt::print(stderr, "usage: {} [--only TEXT] [--threads N] [--json FILE]\n", argv[0]);
            std::exit(2);
        }
    }
    return options;
}

inline double seconds(const std::function<void()>& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The median of `samples` times of body(), after one that touches memory for the first time.
inline double median_seconds(const std::function<void()>& body, int samples) {
    body();
    std::vector<double> times;
    for (int i = 0; i < samples; ++i) {
        times.push_back(seconds(body));
    }
    const auto middle = times.begin() + samples / 2;
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
}

/// Memory that all threads copy: far more than the caches hold.
class Copy {
  public:
    explicit Copy(ThreadPool& pool) : pool_(pool), from_(size, 1), to_(size, 2) {}

    /// Bytes read and written a second.
    double bandwidth() {
        const auto copy = [&](std::int64_t begin, std::int64_t end, int) {
            std::memcpy(to_.data() + begin, from_.data() + begin,
                        static_cast<std::size_t>(end - begin));
        };
        return 2.0 * size / median_seconds([&] { pool_.for_ranges(size, 1 << 20, copy); }, 9);
    }

  private:
    static constexpr std::int64_t size = std::int64_t{256} << 20;
    ThreadPool& pool_;
    LargeVector<char> from_, to_;
};

/// Prints rows as they come, and keeps them for the file. How fast memory is changes while other
/// tenants of the machine come and go: each row is compared with copies before and after it.
class Table {
  public:
    Table(std::string_view task, const Options& options, ThreadPool& pool)
        : file_(options.json), copy_(pool), before_(copy_.bandwidth()) {
        fmt::print("copies of {} threads: {:.1f} GB/s (read and written)\n", pool.threads(),
                   before_ / 1e9);
        all_ = {{"task", task}, {"threads", pool.threads()}, {"copy_gb_per_s", before_ / 1e9}};
    }

    /// A row that was timed since the last one.
    void add(std::string_view name, double bytes, double time) {
        const double rate = bytes / time, after = copy_.bandwidth();
        const double bandwidth = (before_ + after) / 2.0;
        before_ = after;
        fmt::print("  {:40} {:9.3f} ms {:7.1f} GB/s {:5.0f} % of copies at {:.1f} GB/s\n", name,
                   time * 1e3, rate / 1e9, 100.0 * rate / bandwidth, bandwidth / 1e9);
        all_["ops"].push_back({{"op", name},
                               {"milliseconds", time * 1e3},
                               {"gb_per_s", rate / 1e9},
                               {"copy_gb_per_s", bandwidth / 1e9},
                               {"share_of_copy", rate / bandwidth}});
    }

    void write() const {
        if (!file_.empty()) {
            std::ofstream(file_) << all_.dump(2) << "\n";
        }
    }

  private:
    std::string file_;
    Copy copy_;
    double before_;  ///< bandwidth after the last row
    nlohmann::json all_;
};

}  // namespace pome::bench
