#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "device/lint.h"
#include "mil/text.h"
#include "mil/verifier.h"

namespace pome::cli {
namespace {

struct LintCommand {
    std::string program, device = "emulator:m4";
    bool json = false, rules = false;
};

void print_rules(bool json) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& rule : device::lint_rules()) {
        if (json) {
            list.push_back({{"rule", std::string(rule.id)},
                            {"meaning", std::string(rule.meaning)},
                            {"source", std::string(rule.source)}});
        } else {
            fmt::print("{:<26} {} [{}]\n", rule.id, rule.meaning, rule.source);
        }
    }
    if (json) {
        fmt::print("{}\n", list.dump());
    }
}

void print_findings(const LintCommand& options, const std::vector<device::Finding>& findings) {
    if (!options.json) {
        for (const auto& finding : findings) {
            fmt::print("{}:{}: {}: {}\n", options.program, finding.line,
                       finding.is_error() ? "error" : "warning", finding.text());
        }
        return;
    }
    nlohmann::json list = nlohmann::json::array();
    for (const auto& finding : findings) {
        list.push_back({{"line", finding.line},
                        {"value", finding.value},
                        {"rule", finding.rule},
                        {"severity", finding.is_error() ? "error" : "warning"},
                        {"chip", finding.profile},
                        {"message", finding.message},
                        {"remedy", finding.remedy},
                        {"on_hardware", std::string(name(finding.reaction))}});
    }
    const nlohmann::json record{
        {"program", options.program}, {"device", options.device}, {"findings", list}};
    fmt::print("{}\n", record.dump());
}

int lint(const LintCommand& options) {
    if (options.rules) {
        print_rules(options.json);
        return exit_done;
    }
    if (options.program.empty()) {
        fail(Code::invalid_argument, "cli.lint", "give a MIL file, or --rules");
    }
    const device::Profile& profile = find_device_profile(options.device);
    const mil::Program program = mil::read(read_text(options.program), options.program);
    std::vector<device::Finding> findings;
    try {
        mil::verify(program);
    } catch (const Error& error) {  // its text names the line
        findings.push_back({0, "", "verify", error.text(), "correct the program", profile.name});
    }
    const auto broken = device::lint(program, profile);
    findings.insert(findings.end(), broken.begin(), broken.end());
    print_findings(options, findings);
    for (const auto& finding : findings) {
        if (finding.is_error()) {
            return exit_failed;
        }
    }
    return exit_done;
}

}  // namespace

void add_lint(CLI::App& app, int& status) {
    auto options = std::make_shared<LintCommand>();
    CLI::App* command =
        app.add_subcommand("lint", "List every rule of a chip and route that a MIL program breaks");
    command->add_option("program", options->program, "MIL text; its weights are not needed")
        ->check(CLI::ExistingFile);
    command
        ->add_option("--device", options->device,
                     "emulator:CHIP[/ROUTE][+ALTERNATIVE]; see `pome devices`")
        ->capture_default_str();
    command->add_flag("--json", options->json, "one JSON object on standard output");
    command->add_flag("--rules", options->rules, "list the rules instead");
    command->footer(
        "Exit status: 0 no errors (warnings may be), 1 errors, or a program that does not verify, "
        "2 "
        "wrong usage.\nExample:\n  pome lint examples/double.mil --device emulator:m1 --json");
    command->callback([options, &status] { status = lint(*options); });
}

}  // namespace pome::cli
