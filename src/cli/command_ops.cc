#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "cli/commands.h"
#include "device/emulator/emulator.h"
#include "device/op_support.h"
#include "mil/autodiff/autodiff.h"
#include "mil/schema.h"

namespace pome::cli {
namespace {

struct OpsCommand {
    std::string device = "emulator:m4";
    bool markdown = false;
};

const std::set<std::string_view>& emulated() {
    static const auto ops = device::emulator::supported_ops();
    static const std::set<std::string_view> set(ops.begin(), ops.end());
    return set;
}

/// Every op that the language or the catalogue has, sorted.
std::set<std::string_view> all_ops() {
    std::set<std::string_view> ops;
    for (const auto& support : device::op_catalogue()) {
        ops.insert(support.op);
    }
    for (const mil::Schema* schema : mil::schemas()) {
        ops.insert(schema->name);
    }
    return ops;
}

std::string_view yes_or(bool yes, std::string_view otherwise) {
    return yes ? "yes" : otherwise;
}

void print_table(const OpsCommand& options) {
    constexpr std::string_view prefix = "emulator:";
    const std::string_view name = options.device;
    const device::Profile& profile =
        device::find_profile(name.starts_with(prefix) ? name.substr(prefix.size()) : name);
    fmt::print("{:<40} {:<8} {:<7} {:<9} {:<9} {}\n", "op", "path", "here", "emulated", "gradient",
               "why not, what instead, what is assumed");
    for (const auto op : all_ops()) {
        const device::OpSupport* support = device::find_op_support(op);
        const auto verdict = support != nullptr
                                 ? device::judge(*support, profile)
                                 : device::OpVerdict{device::OpStatus::no, "not in the catalogue"};
        std::string note = verdict.reason;
        if (support != nullptr && note.empty()) {
            note = support->unmodelled;
        }
        if (!note.empty() && support != nullptr && !support->remedy.empty()) {
            note += "; use " + support->remedy;
        }
        if (support != nullptr && note.empty() && !support->assumed.empty()) {
            note = "assumed: " + support->assumed;
        }
        fmt::print("{:<40} {:<8} {:<7} {:<9} {:<9} {}\n", op,
                   support != nullptr ? support->path : "-", device::name(verdict.status),
                   yes_or(emulated().contains(op), "-"),
                   yes_or(mil::autodiff::has_gradient(op), "-"), note);
    }
}

/// A cell of a Markdown table.
std::string cell(std::string_view text) {
    std::string result;
    for (const char c : text) {
        result += c == '|' ? std::string("\\|") : std::string(1, c);
    }
    return result;
}

std::string parameters_of(const mil::Schema& schema) {
    std::string list;
    for (const auto& parameter : schema.parameters) {
        list += fmt::format("{}{}{}{}", list.empty() ? "" : ", ", parameter.name,
                            parameter.kind == mil::Parameter::Kind::tensors ? "..." : "",
                            parameter.required ? "" : "?");
    }
    return list;
}

std::string tiers_of(const device::OpSupport& support) {
    std::string text;
    for (const auto status : support.tiers) {
        text += status == device::OpStatus::native   ? 'Y'
                : status == device::OpStatus::bridge ? '~'
                                                     : '-';
    }
    return text;
}

void print_markdown() {
    fmt::print(
        "# Ops\n\n"
        "Written by `pome ops --markdown` from the schemas (src/mil/ops) and the catalogue\n"
        "(profiles/ops.toml, which names the sources); `pome ops --device emulator:m1` says what "
        "one\n"
        "chip does, and why not.\n\n"
        "Parameters: `?` optional, `...` several values. Families: A13 (M1) to A18 (M6), Y "
        "native,\n"
        "~ by decomposition or inside a construct, - not. Sweep: the relative error that "
        "ANEForge's\n"
        "sweep of an M5 found, NI not implemented there, wall refused by the compiler.\n\n"
        "## Ops of the language\n\n"
        "| op | parameters | meaning | path | A13-A18 | sweep | emulated | gradient |\n"
        "|---|---|---|---|---|---|---|---|\n");
    for (const mil::Schema* schema : mil::schemas()) {
        const device::OpSupport* support = device::find_op_support(schema->name);
        fmt::print("| `{}` | {} | {} | {} | {} | {} | {} | {} |\n", schema->name,
                   cell(parameters_of(*schema)), cell(schema->meaning),
                   support != nullptr ? support->path : "",
                   support != nullptr ? tiers_of(*support) : "",
                   support != nullptr ? support->sweep : "",
                   support != nullptr && !support->assumed.empty()
                       ? "yes, assumed: " + support->assumed
                       : std::string(yes_or(emulated().contains(schema->name), "")),
                   yes_or(mil::autodiff::has_gradient(schema->name), ""));
    }
    fmt::print(
        "\n## Known by name\n\n"
        "Programs with these are read and written, and refused with the reason.\n\n"
        "| op | A13-A18 | why | instead |\n|---|---|---|---|\n");
    for (const auto& support : device::op_catalogue()) {
        if (mil::find_schema(support.op) == nullptr) {
            fmt::print("| `{}` | {} | {} | {} |\n", support.op, tiers_of(support),
                       cell(support.unmodelled.empty() ? support.source : support.unmodelled),
                       cell(support.remedy));
        }
    }
}

}  // namespace

void add_ops(CLI::App& app) {
    auto options = std::make_shared<OpsCommand>();
    CLI::App* command = app.add_subcommand("ops", "List what ops lower to an engine, and how");
    command->add_option("--device", options->device, "a chip and route, e.g. emulator:m1/e5rt")
        ->capture_default_str();
    command->add_flag("--markdown", options->markdown, "docs/ops.md: every chip at once");
    command->footer("Example:\n  pome ops --device emulator:m1");
    command->callback([options] { options->markdown ? print_markdown() : print_table(*options); });
}

}  // namespace pome::cli
