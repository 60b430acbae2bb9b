#include "cli/bench/report.h"

#include <fmt/core.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "cli/bench/commit.h"
#include "kernels/libraries.h"

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace pome::cli::bench {
namespace {

std::string processor() {
#ifdef __APPLE__
    char name[256] = {};
    std::size_t size = sizeof name - 1;
    if (sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0) {
        return name;
    }
#else
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (const auto colon = line.find(": ");
            line.starts_with("model name") && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
#endif
    return "unknown";
}

/// Four figures, without an exponent.
std::string number(double value) {
    const double size = std::abs(value);
    if (size == 0.0 || size >= 1000.0) {
        return fmt::format("{:.0f}", value);
    }
    const int digits = 3 - static_cast<int>(std::floor(std::log10(size)));
    return fmt::format("{:.{}f}", value, std::min(digits, 6));
}

std::string written(const Cell& cell) {
    if (const auto* text = std::get_if<std::string>(&cell)) {
        return *text;
    }
    const auto* value = std::get_if<double>(&cell);
    return value != nullptr ? number(*value) : "";
}

}  // namespace

nlohmann::json machine() {
    utsname system{};
    uname(&system);
    return {{"processor", processor()},
            {"processors", std::thread::hardware_concurrency()},
            {"system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
            {"compiler", __VERSION__}};
}

nlohmann::json libraries() {
    return {{"blas", kernels::blas_library()},
            {"vector_target", kernels::vector_target()},
            {"fmt", FMT_VERSION}};
}

Report::Report(std::string task, std::string device, std::string origin)
    : task_(std::move(task)), device_(std::move(device)), origin_(std::move(origin)) {}

void Report::define(std::string word, std::string meaning) {
    definitions_.emplace_back(std::move(word), std::move(meaning));
}

void Report::row(std::vector<Cell> cells) {
    rows_.push_back(std::move(cells));
}

Cell Report::share(double rate, double peak) {
    constexpr double rounding = 1e-3;  // published rates have three figures
    if (rate <= peak) {
        return 100.0 * rate / peak;
    }
    if (rate <= peak * (1.0 + rounding)) {
        return 100.0;
    }
    const std::string warning =
        "'above peak': an error of the measurement or of the peak, so no share is given";
    if (std::find(notes_.begin(), notes_.end(), warning) == notes_.end()) {
        note(warning);
    }
    return "above peak";
}

std::string Report::text() const {
    std::string out = fmt::format("{} on {}: {}\n", task_, device_, origin_);
    for (const auto& [word, meaning] : definitions_) {
        out += fmt::format("  {}: {}\n", word, meaning);
    }
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::size_t width = columns_[i].title.size();
        for (const auto& row : rows_) {
            width = std::max(width, written(row[i]).size());
        }
        widths.push_back(width);
    }
    const auto line = [&](const auto& cell) {
        std::string joined;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            // The first column and the last, a source, are words.
            const bool words = i == 0 || i + 1 == columns_.size();
            joined += words ? fmt::format("{:<{}}  ", cell(i), widths[i])
                            : fmt::format("{:>{}}  ", cell(i), widths[i]);
        }
        joined.erase(joined.find_last_not_of(' ') + 1);
        out += joined + "\n";
    };
    line([&](std::size_t i) { return columns_[i].title; });
    for (const auto& row : rows_) {
        line([&](std::size_t i) { return written(row[i]); });
    }
    for (const auto& note : notes_) {
        out += note + "\n";
    }
    return out;
}

nlohmann::json Report::record() const {
    nlohmann::json definitions = nlohmann::json::object(), rows = nlohmann::json::array();
    for (const auto& [word, meaning] : definitions_) {
        definitions[word] = meaning;
    }
    for (const auto& row : rows_) {
        nlohmann::json cells = nlohmann::json::object();
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            if (const auto* text = std::get_if<std::string>(&row[i])) {
                cells[columns_[i].key] = *text;
            } else if (const auto* value = std::get_if<double>(&row[i])) {
                cells[columns_[i].key] = *value;
            } else {
                cells[columns_[i].key] = nullptr;
            }
        }
        rows.push_back(std::move(cells));
    }
    nlohmann::json record{{"task", task_},
                          {"device", device_},
                          {"origin", origin_},
                          {"definitions", definitions},
                          {"rows", rows},
                          {"notes", notes_},
                          {"commit", commit()},
                          {"machine", machine()},
                          {"libraries", libraries()}};
    record.update(fields_);
    return record;
}

void Report::finish(const std::string& path) const {
    fmt::print("{}", text());
    if (!path.empty()) {
        write_file_atomic(path, record().dump(1) + "\n");
    }
}

}  // namespace pome::cli::bench
