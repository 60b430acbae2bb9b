#include "device/probe/bench.h"

#include <algorithm>
#include <cmath>

namespace pome::device::probe {

mil::Package Bench::package(const Program& program) const {
    return text_program(program.inputs, program.body, dialect_, program.constants);
}

Outcome Bench::evaluate(const Program& program) {
    return evaluate(package(program), program);
}

Outcome Bench::evaluate(const mil::Package& package, const Program& program) {
    ++report_.trials;
    Trial trial;
    trial.package = package;
    trial.inputs = program.inputs;
    trial.output_allocation = program.output_allocation;
    return std::move(runner_.run({&trial, 1}).front());
}

Outcome Bench::compile(const Program& program) {
    ++report_.trials;
    Trial trial;
    trial.package = package(program);
    trial.evaluate = false;
    return std::move(runner_.run({&trial, 1}).front());
}

std::vector<Outcome> Bench::evaluate_together(const std::vector<Program>& programs) {
    std::vector<Trial> trials;
    for (const Program& program : programs) {
        Trial& trial = trials.emplace_back();
        trial.package = package(program);
        trial.inputs = program.inputs;
    }
    report_.trials += static_cast<std::int64_t>(trials.size());
    return runner_.run(trials);
}

bool Bench::flag(std::string_view key, bool otherwise) const {
    const Value* value = report_.find(key);
    const bool* held = value == nullptr ? nullptr : std::get_if<bool>(value);
    return held == nullptr ? otherwise : *held;
}

std::int64_t Bench::integer(std::string_view key, std::int64_t otherwise) const {
    const Value* value = report_.find(key);
    const auto* held = value == nullptr ? nullptr : std::get_if<std::int64_t>(value);
    return held == nullptr ? otherwise : *held;
}

TextInput plane(std::int64_t rows, std::int64_t columns, std::vector<double> values) {
    return {"x", {1, 1, rows, columns}, DType::fp16, std::move(values), 0};
}

std::vector<double> ramp(std::int64_t count, double from, double step) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = from + static_cast<double>(i) * step;
    }
    return values;
}

std::string words(const Outcome& outcome) {
    switch (outcome.status) {
        case Outcome::Status::done:
            return "values that no known arithmetic gives";
        case Outcome::Status::refused:
            return "does not compile: " + outcome.message;
        case Outcome::Status::failed:
            return "does not evaluate: " + outcome.message;
        case Outcome::Status::stopped:
            return "was stopped: " + outcome.message;
    }
    return "";
}

bool is_done(const Outcome& outcome) {
    return outcome.status == Outcome::Status::done;
}

bool all_zero(const std::vector<double>& values) {
    return std::all_of(values.begin(), values.end(), [](double value) { return value == 0.0; });
}

std::string reaction(const Outcome& outcome, const std::vector<double>& expected) {
    switch (outcome.status) {
        case Outcome::Status::done:
            return outcome.values == expected ? "works" : all_zero(outcome.values) ? "zeros" : "";
        case Outcome::Status::refused:
            return "refused";
        case Outcome::Status::failed:
            return "failed";
        case Outcome::Status::stopped:
            break;
    }
    return "";
}

std::int64_t largest(std::int64_t accepted, std::int64_t refused,
                     const std::vector<std::int64_t>& guesses,
                     const std::function<bool(std::int64_t)>& accepts) {
    const auto ask = [&](std::int64_t n) {
        if (accepted < n && n < refused) {
            (accepts(n) ? accepted : refused) = n;
        }
    };
    for (const std::int64_t guess : guesses) {
        ask(guess + 1);
        ask(guess);
    }
    while (refused - accepted > 1) {
        ask(accepted + (refused - accepted) / 2);
    }
    return accepted;
}

}  // namespace pome::device::probe
