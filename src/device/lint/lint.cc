#include "device/lint.h"

#include <algorithm>

#include "device/lint/rules.h"

namespace pome::device {
namespace linting {

void Lint::run(const Rule& rule) {
    rule_ = &rule;
    if (rule.function != nullptr) {
        rule.function(*this);
    }
    if (rule.operation != nullptr) {
        for (const auto& operation : view.function().operations) {
            if (operation.op != "const") {
                rule.operation(*this, operation);
            }
        }
    }
}

void Lint::report(Reaction reaction, int line, std::string_view value, std::string message,
                  std::string remedy) {
    findings_.push_back({line, std::string(value), std::string(rule_->id), std::move(message),
                         std::move(remedy), profile.name, reaction});
}

std::vector<Finding> Lint::take() {
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const Finding& a, const Finding& b) { return a.line < b.line; });
    return std::move(findings_);
}

std::int64_t bytes_of(const mil::Type& type) {
    constexpr std::int64_t most = std::int64_t{1} << 60;
    if (!type.is_tensor() || !type.shape.is_static() || type.dtype == DType::string) {
        return 0;
    }
    double bytes = static_cast<double>(bits(type.dtype)) / 8.0;
    for (const std::int64_t size : type.shape) {
        bytes *= static_cast<double>(size);
    }
    return bytes >= static_cast<double>(most) ? most : static_cast<std::int64_t>(bytes + 0.5);
}

namespace {

const Rules& all_rules() {
    static const Rules rules = [] {
        Rules all;
        for (const Rules& subject :
             {value_rules(), boundary_rules(), product_rules(), reduction_rules(),
              elementwise_rules(), layout_rules(), route_rules(), op_rules()}) {
            all.insert(all.end(), subject.begin(), subject.end());
        }
        return all;
    }();
    return rules;
}

}  // namespace
}  // namespace linting

namespace {

constexpr RuleText dialect_rule{"dialect",
                                "the text must be in a dialect that the chip and route read",
                                "capabilities.terse_dialect"};

}  // namespace

std::string Finding::text() const {
    if (value.empty()) {
        return fmt::format("{} (rule {}); {}", message, rule, remedy);
    }
    const std::string place = line > 0 ? fmt::format("line {}, %{}", line, value) : "%" + value;
    return fmt::format("{} ({}, rule {}); {}", message, place, rule, remedy);
}

std::vector<Finding> lint(const mil::Function& function, const Profile& profile) {
    linting::Lint lint(function, profile);
    for (const auto& rule : linting::all_rules()) {
        if (rule.everywhere || profile.tier > 0) {
            lint.run(rule);
        }
    }
    return lint.take();
}

std::vector<Finding> lint(const mil::Program& program, const Profile& profile,
                          std::string_view wanted) {
    std::vector<Finding> all;
    // A program that was built is written in the dialect that its device reads.
    const bool was_read = !program.functions.empty() && program.functions[0].position.line > 0;
    if (was_read && program.dialect == mil::Dialect::terse && !profile.capabilities.terse_dialect) {
        all.push_back({1, program.functions.front().name, std::string(dialect_rule.id),
                       fmt::format("program({}) in the terse dialect: {} reads the canonical one "
                                   "only, {}",
                                   program.version, profile.name, linting::invalid_program),
                       "write program(1.0) for ios16 with every scalar as tensor<T, []>",
                       profile.name, Reaction::refused});
    }
    for (const auto& function : program.functions) {
        if (!wanted.empty() && function.name != wanted) {
            continue;
        }
        auto findings = lint(function, profile);
        all.insert(all.end(), std::make_move_iterator(findings.begin()),
                   std::make_move_iterator(findings.end()));
    }
    return all;
}

std::vector<RuleText> lint_rules() {
    std::vector<RuleText> texts{dialect_rule};
    for (const auto& rule : linting::all_rules()) {
        texts.push_back({rule.id, rule.meaning, rule.source});
    }
    return texts;
}

}  // namespace pome::device
