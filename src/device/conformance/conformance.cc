#include "device/conformance/conformance.h"

#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "device/conformance/builtin.h"
#include "device/conformance/program_of.h"
#include "device/conformance/routines.h"
#include "mil/text.h"

namespace pome::device::conformance {
namespace {

constexpr std::string_view here = "device.conformance";

constexpr std::pair<std::string_view, Case::Kind> kinds[] = {
    {"exact", Case::Kind::exact},     {"near", Case::Kind::near},
    {"finite", Case::Kind::finite},   {"accepted", Case::Kind::accepted},
    {"refused", Case::Kind::refused}, {"figure", Case::Kind::figure}};

double number(const nlohmann::json& value) {
    if (!value.is_string()) {
        return value.get<double>();
    }
    const auto& text = value.get_ref<const std::string&>();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (text == "inf" || text == "-inf") {
        return text == "inf" ? infinity : -infinity;
    }
    if (text == "nan") {
        return std::numeric_limits<double>::quiet_NaN();
    }
    return std::stod(text);  // "-0", "0"
}

/// Numbers and [number, count] pairs.
std::vector<double> numbers(const nlohmann::json& list) {
    std::vector<double> values;
    for (const auto& item : list) {
        if (item.is_array()) {
            values.insert(values.end(), item.at(1).get<std::size_t>(), number(item.at(0)));
        } else {
            values.push_back(number(item));
        }
    }
    return values;
}

Case case_of(const nlohmann::json& entry) {
    Case c;
    c.id = entry.at("id");
    c.title = entry.at("title");
    c.source = entry.at("source");
    c.first_tier = entry.at("tiers").at(0);
    c.last_tier = entry.at("tiers").at(1);
    const std::string kind = entry.at("kind");
    bool known = false;
    for (const auto& [name, value] : kinds) {
        if (name == kind) {
            c.kind = value;
            known = true;
        }
    }
    if (!known) {
        throw std::invalid_argument("kind '" + kind + "'");
    }
    if (entry.contains("inputs")) {
        for (const auto& [name, input] : entry.at("inputs").items()) {
            const auto dtype = dtype_from_name(input.at("dtype").get<std::string>());
            if (!dtype) {
                throw std::invalid_argument("a dtype");
            }
            c.inputs.push_back({name, Shape(input.at("shape").get<std::vector<std::int64_t>>()),
                                *dtype, numbers(input.at("values")), 0});
        }
    }
    c.body = entry.value("body", "");
    c.expect = numbers(entry.value("expect", nlohmann::json::array()));
    c.tolerance = entry.value("tolerance", 0.0);
    c.refused = entry.value("refused", "");
    c.routine = entry.value("routine", "");
    if (c.kind == Case::Kind::figure && find_routine(c.routine) == nullptr) {
        throw std::invalid_argument("routine '" + c.routine + "'");
    }
    for (const auto& argument : entry.value("arguments", nlohmann::json::array())) {
        if (argument.is_string()) {
            c.statement = argument;
        } else {
            c.arguments.push_back(argument.get<double>());
        }
    }
    c.disputed = entry.value("disputed", "");
    c.open = entry.value("open", "");
    c.slow = entry.value("slow", false);
    return c;
}

bool same_bits(double found, double wanted, DType dtype) {
    if (dtype == DType::fp16) {
        return to_fp16(found, Rounding::nearest_even).bits ==
               to_fp16(wanted, Rounding::nearest_even).bits;
    }
    return found == wanted && std::signbit(found) == std::signbit(wanted);
}

std::string list_of(const std::vector<double>& values) {
    const std::vector<double> first(
        values.begin(),
        values.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(values.size(), 8)));
    return fmt::format("{}{}", fmt::join(first, " "), values.size() > 8 ? " ..." : "");
}

/// What the device did that differs from the case; empty when nothing does.
std::string difference(const Case& c, const std::function<std::unique_ptr<Device>()>& open) {
    using Kind = Case::Kind;
    if (c.kind == Kind::figure) {
        const double found = find_routine(c.routine)({open, c.arguments, c.statement});
        const double wanted = c.expect.at(0);
        const double off = wanted == 0.0 ? std::fabs(found) : std::fabs(found / wanted - 1.0);
        return off <= c.tolerance ? "" : fmt::format("{:.17g}, published {:.17g}", found, wanted);
    }
    const auto device = open();
    if (c.kind == Kind::accepted || c.kind == Kind::refused) {
        // Outside the try: a case whose own text is broken is not a refusal.
        const mil::Package package = program_of(c.inputs, c.body, device->profile());
        try {
            device->compile(package);
        } catch (const Error& error) {
            const bool as_said =
                c.kind == Kind::refused &&
                (error.code() == Code::compile_failed || error.code() == Code::malformed_program) &&
                error.text().find(c.refused) != std::string::npos;
            return as_said ? "" : error.text();
        }
        return c.kind == Kind::accepted ? "" : "it compiles";
    }
    const auto found = evaluate(*device, c.inputs, c.body);
    bool same = found.size() == c.expect.size();
    for (std::size_t i = 0; same && i < found.size(); ++i) {
        same = c.kind == Kind::exact    ? same_bits(found[i], c.expect[i], DType::fp16)
               : c.kind == Kind::finite ? std::isfinite(found[i])
                                        : std::fabs(found[i] - c.expect[i]) <= c.tolerance;
    }
    return same ? "" : fmt::format("{}, published {}", list_of(found), list_of(c.expect));
}

}  // namespace

std::vector<Case> parse_cases(std::string_view json, std::string_view source) {
    std::vector<Case> all;
    std::string at = "the list";
    try {
        const auto parsed = nlohmann::json::parse(json);
        for (const auto& entry : parsed.at("cases")) {
            at = entry.value("id", "a case without id");
            all.push_back(case_of(entry));
        }
    } catch (const std::exception& error) {
        fail(Code::malformed_file, here, "{}: {}: {}", source, at, error.what());
    }
    return all;
}

const std::vector<Case>& cases() {
    static const std::vector<Case> all = parse_cases(builtin_conformance_cases(), "cases.json");
    return all;
}

Result run_case(const Case& what, const std::function<std::unique_ptr<Device>()>& open) {
    Result result;
    try {
        result.found = difference(what, open);
    } catch (const std::exception& error) {
        result.found = error.what();
    }
    if (result.found.empty()) {
        result.status = Result::Status::reproduced;
    } else if (!what.disputed.empty()) {
        result.status = Result::Status::disputed;
    }
    return result;
}

std::string device_name(std::string_view name) {
    if (!name.starts_with("emulator:") || name.find('/') != std::string_view::npos) {
        return std::string(name);
    }
    const auto plus = std::min(name.find('+'), name.size());
    return fmt::format("{}/e5rt{}", name.substr(0, plus), name.substr(plus));
}

std::string_view status_name(Result::Status status) {
    switch (status) {
        case Result::Status::reproduced:
            return "reproduced";
        case Result::Status::not_reproduced:
            return "not reproduced";
        case Result::Status::disputed:
            return "disputed";
    }
    return "";
}

}  // namespace pome::device::conformance
