#include "device/emulator/calibration.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "device/emulator/builtin_measurements.h"

namespace pome::device::emulator {
namespace {

constexpr std::string_view here = "device.calibration";

/// One row's table; every key of it is taken once.
class RowReader {
  public:
    RowReader(const toml::table& table, std::string_view file) : table_(table), file_(file) {
        name_ = table["name"].value_or(std::string("without a name"));
    }

    std::string text(std::string_view key, bool required) {
        const auto* node = find(key);
        const auto value = node != nullptr ? node->value_exact<std::string>() : std::nullopt;
        if ((node != nullptr && !value) || (required && (!value || value->empty()))) {
            refuse(key, "must be a text");
        }
        return value.value_or("");
    }
    double number(std::string_view key, bool required) {
        const auto* node = find(key);
        const auto value = node != nullptr ? node->value<double>() : std::nullopt;
        if ((node == nullptr && required) || (node != nullptr && (!value || !(*value > 0.0)))) {
            refuse(key, "must be a number above 0");
        }
        return value.value_or(0.0);
    }
    std::vector<std::int64_t> integers(std::string_view key) {
        std::vector<std::int64_t> list;
        for (const auto& node : array(key)) {
            const auto value = node.value_exact<std::int64_t>();
            if (!value) {
                refuse(key, "must be a list of integers");
            }
            list.push_back(*value);
        }
        return list;
    }
    std::vector<std::string> texts(std::string_view key) {
        std::vector<std::string> list;
        if (table_.contains(key)) {
            for (const auto& node : array(key)) {
                list.push_back(node.value_or(std::string()));
            }
        }
        return list;
    }
    void expect_all_known() const {
        for (const auto& [key, node] : table_) {
            if (!known_.contains(key.str())) {
                refuse(key.str(), "is no key of a measurement");
            }
        }
    }

  private:
    const toml::node* find(std::string_view key) {
        known_.emplace(key);
        return table_.get(key);
    }
    const toml::array& array(std::string_view key) {
        const auto* node = find(key);
        const toml::array* list = node != nullptr ? node->as_array() : nullptr;
        if (list == nullptr) {
            refuse(key, "must be a list");
        }
        return *list;
    }
    [[noreturn]] void refuse(std::string_view key, std::string_view what) const {
        fail(Code::malformed_file, here, "{}: row '{}': '{}' {}", file_, name_, key, what);
    }

    const toml::table& table_;
    std::string_view file_;
    std::string name_;
    std::set<std::string, std::less<>> known_;
};

Measurement read_row(const toml::table& table, std::string_view file, bool step) {
    RowReader reader(table, file);
    Measurement row;
    row.step = step;
    row.name = reader.text("name", true);
    row.device = reader.text("device", true);
    row.recipe = reader.text("recipe", true);
    row.sizes = reader.integers("sizes");
    row.options = reader.texts("options");
    row.milliseconds = reader.number("ms", true);
    row.watts = reader.number("watts", false);
    row.source = reader.text("source", true);
    row.note = reader.text("note", false);
    row.explained = reader.text("explained", false);
    reader.expect_all_known();
    return row;
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) {
        return *middle;
    }
    return (*middle + *std::max_element(values.begin(), middle)) / 2.0;
}

Accuracy::Group group(const std::vector<Comparison>& rows, bool step, bool held_out) {
    const auto wanted = [&](const Comparison& row) {
        return row.row->step == step && row.held_out == held_out;
    };
    return {static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), wanted)),
            median_error(rows, wanted).value_or(0.0)};
}

Accuracy::Group watts_group(const std::vector<Comparison>& rows, bool held_out) {
    std::vector<double> errors;
    for (const auto& row : rows) {
        if (row.row->watts > 0.0 && row.held_out == held_out) {
            errors.push_back(std::abs(row.watts_error()));
        }
    }
    return {errors.size(), errors.empty() ? 0.0 : median(errors)};
}

void add_table(std::string& text, const std::vector<Comparison>& rows, bool step) {
    text += step ? "| step | device | held out | measured ms | model ms | engine | host | error |\n"
                   "|---|---|---|---|---|---|---|---|\n"
                 : "| program | device | held out | measured ms | model ms | bound | error | "
                   "measured W | model W |\n|---|---|---|---|---|---|---|---|---|\n";
    for (const auto& row : rows) {
        if (row.row->step != step) {
            continue;
        }
        const std::string start =
            fmt::format("| {} | {} | {} | {:.3g} | {:.3g} |", row.row->name, row.row->device,
                        row.held_out ? "yes" : "", row.row->milliseconds, row.milliseconds());
        const std::string error =
            fmt::format("{:+.0f} %{}", 100.0 * row.error(), row.factor() > 2.0 ? " (x2)" : "");
        if (step) {
            text += fmt::format("{} {:.3g} | {:.3g} | {} |\n", start, row.engine.total(),
                                row.host_ms, error);
        } else {
            const std::string watts =
                row.row->watts > 0.0 ? fmt::format("{:.2f} | {:.2f}", row.row->watts, row.watts)
                                     : " | ";
            text +=
                fmt::format("{} {} | {} | {} |\n", start, name(row.engine.bound()), error, watts);
        }
    }
}

}  // namespace

std::vector<Measurement> read_measurements(std::string_view text, std::string_view source) {
    toml::table table;
    try {
        table = toml::parse(text, source);
    } catch (const toml::parse_error& error) {
        fail(Code::malformed_file, here, "{}:{}: {}", source, error.source().begin.line,
             error.description());
    }
    std::vector<Measurement> rows;
    std::set<std::string> names;
    for (const auto& [key, node] : table) {
        const toml::array* list = node.as_array();
        if (list == nullptr || (key.str() != "program" && key.str() != "step")) {
            fail(Code::malformed_file, here, "{}: '{}' is not a list 'program' or 'step'", source,
                 key.str());
        }
        for (const auto& item : *list) {
            const toml::table* row = item.as_table();
            if (row == nullptr) {
                fail(Code::malformed_file, here, "{}: '{}' holds something that is no row", source,
                     key.str());
            }
            rows.push_back(read_row(*row, source, key.str() == "step"));
            if (!names.insert(rows.back().name).second) {
                fail(Code::malformed_file, here, "{}: two rows are called '{}'", source,
                     rows.back().name);
            }
        }
    }
    return rows;
}

const std::vector<Measurement>& measurements() {
    static const std::vector<Measurement> rows =
        read_measurements(builtin_measurements(), "measurements.toml");
    return rows;
}

bool is_held_out(std::string_view name) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char letter : name) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
    }
    return hash % 5 < 2;
}

PricedWork price(const PublishedWork& work) {
    PricedWork priced;
    priced.host = work.host;
    for (const auto& program : work.programs) {
        priced.programs.push_back({program.name, program_cost(program.function), program.count});
    }
    return priced;
}

double Comparison::factor() const {
    const double ratio = milliseconds() / row->milliseconds;
    return std::max(ratio, 1.0 / ratio);
}

Comparison compare(const Measurement& row, const PricedWork& work, const Profile& profile) {
    Comparison result;
    result.row = &row;
    result.held_out = is_held_out(row.name);
    double joules = 0.0;
    for (const auto& program : work.programs) {
        const Prediction one = predict(program.cost, profile);
        const auto count = static_cast<double>(program.count);
        for (double Milliseconds::*part :
             {&Milliseconds::wake, &Milliseconds::dispatch, &Milliseconds::compute,
              &Milliseconds::weights, &Milliseconds::activations}) {
            result.engine.*part += one.time.*part * count;
        }
        joules += one.joules * count;
    }
    result.watts = joules / result.engine.total() * 1e3;
    result.host_ms = row.step ? predict_host(work.host, profile) : 0.0;
    return result;
}

std::vector<Comparison> compare_all() {
    std::vector<Comparison> rows;
    for (const auto& row : measurements()) {
        rows.push_back(compare(row, price(published_work(row.recipe, row.sizes, row.options)),
                               find_profile(row.device)));
    }
    return rows;
}

std::optional<double> median_error(const std::vector<Comparison>& rows,
                                   const std::function<bool(const Comparison&)>& wanted) {
    std::vector<double> errors;
    for (const auto& row : rows) {
        if (wanted(row)) {
            errors.push_back(std::abs(row.error()));
        }
    }
    return errors.empty() ? std::nullopt : std::optional(median(std::move(errors)));
}

Accuracy accuracy(const std::vector<Comparison>& rows) {
    Accuracy result;
    result.held_out_programs = group(rows, false, true);
    result.fitted_programs = group(rows, false, false);
    result.held_out_steps = group(rows, true, true);
    result.fitted_steps = group(rows, true, false);
    result.held_out_watts = watts_group(rows, true);
    result.fitted_watts = watts_group(rows, false);
    for (const auto& row : rows) {
        if (row.factor() > 2.0) {
            ++result.worse_than_two;
            result.unexplained += row.row->explained.empty() ? 1 : 0;
        }
    }
    return result;
}

std::string calibration_text(const std::vector<Comparison>& rows) {
    const Accuracy a = accuracy(rows);
    std::string text;
    const auto line = [&](std::string_view what, const Accuracy::Group& held,
                          const Accuracy::Group& fitted) {
        text += fmt::format("| {} | {} | {:.1f} % | {} | {:.1f} % |\n", what, held.rows,
                            100.0 * held.median, fitted.rows, 100.0 * fitted.median);
    };
    text += "Model against published measurements; \"held out\" rows took no part in any fit.\n\n";
    text +=
        "| median absolute error | rows held out | of these | rows fitted | of these |\n"
        "|---|---|---|---|---|\n";
    line("single programs, ms", a.held_out_programs, a.fitted_programs);
    line("training steps, ms", a.held_out_steps, a.fitted_steps);
    line("engine power, W", a.held_out_watts, a.fitted_watts);
    text += fmt::format("\n{} of {} rows are off by more than two, {} of them unexplained.\n\n",
                        a.worse_than_two, rows.size(), a.unexplained);
    add_table(text, rows, false);
    text += "\n";
    add_table(text, rows, true);
    text += "\nRows off by more than two:\n\n";
    for (const auto& row : rows) {
        if (row.factor() > 2.0) {
            text += fmt::format("- {} ({:+.0f} %): {}\n", row.row->name, 100.0 * row.error(),
                                row.row->explained.empty() ? "unexplained" : row.row->explained);
        }
    }
    return text;
}

}  // namespace pome::device::emulator
