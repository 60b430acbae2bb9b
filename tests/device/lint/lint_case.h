#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "device/lint.h"
#include "mil/text.h"

namespace pome::device {

/// A whole program around statements: the function stands on line 3, the first statement on line 4.
inline std::string program(const std::string& inputs, const std::string& body,
                           const std::string& outputs = "y", const std::string& opset = "ios18") {
    return fmt::format("program(1.3)\n{{\nfunc main<{}>({}) {{\n{}\n}} -> ({});\n}}\n", opset,
                       inputs, body, outputs);
}

/// "tensor<fp16, [SHAPE]> NAME"
inline std::string value(const std::string& shape, const std::string& name = "x",
                         const std::string& dtype = "fp16") {
    return fmt::format("tensor<{}, [{}]> {}", dtype, shape, name);
}

/// "tensor<int32, [N]>([VALUES])"
inline std::string integers(const std::vector<int>& values) {
    return fmt::format("tensor<int32, [{}]>([{}])", values.size(), fmt::join(values, ", "));
}

/// y = op(x ...) over one input and one result.
inline std::string unary(const std::string& op, const std::string& in, const std::string& out,
                         const std::string& more = "") {
    return program(value(in), value(out, "y") + " = " + op + "(x = x" + more + ");");
}

/// Texts of one rule's findings, in their order.
inline std::vector<std::string> findings(const std::string& text, const std::string& profile,
                                         const std::string& rule) {
    std::vector<std::string> texts;
    for (const Finding& finding : lint(mil::read(text), find_profile(profile))) {
        EXPECT_EQ(finding.profile, profile);
        if (finding.rule == rule) {
            texts.push_back(finding.text());
        }
    }
    return texts;
}

/// One limit on one chip: a program just inside, one just outside, and what is said of the latter.
struct Case {
    std::string profile;
    std::string rule;
    std::string inside;
    std::string outside;
    std::string text;  ///< all of the first finding but the rule's name
    Reaction reaction = Reaction::refused;
};

/// The text with the rule in its place: "MESSAGE (line 4, %y); REMEDY" is written without it.
inline std::string with_rule(const std::string& text, const std::string& rule) {
    const auto at = text.rfind("); ");
    return at == std::string::npos ? text : text.substr(0, at) + ", rule " + rule + text.substr(at);
}

inline void expect_limits(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        SCOPED_TRACE(c.profile + ", " + c.rule);
        EXPECT_EQ(findings(c.inside, c.profile, c.rule), std::vector<std::string>{});
        const auto outside = findings(c.outside, c.profile, c.rule);
        EXPECT_FALSE(outside.empty());
        if (!outside.empty()) {
            EXPECT_EQ(outside.front(), with_rule(c.text, c.rule));
        }
        for (const Finding& finding : lint(mil::read(c.outside), find_profile(c.profile))) {
            if (finding.rule == c.rule) {
                EXPECT_EQ(name(finding.reaction), name(c.reaction));
            }
        }
    }
}

/// A rule that does not hold for a chip: its program has no finding.
inline void expect_free(const std::vector<std::string>& profiles, const std::string& rule,
                        const std::string& text) {
    for (const auto& profile : profiles) {
        EXPECT_EQ(findings(text, profile, rule), std::vector<std::string>{}) << profile;
    }
}

}  // namespace pome::device
