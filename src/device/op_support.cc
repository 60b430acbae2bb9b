#include "device/op_support.h"

#include <fmt/format.h>

#include <toml++/toml.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "device/builtin_profiles.h"

namespace pome::device {
namespace {

constexpr std::string_view here = "device.op_support";
constexpr std::string_view file = "profiles/ops.toml";
constexpr std::int64_t first_tier = 13;

using Flag = bool Capabilities::*;

const std::map<std::string_view, Flag>& deciding_capabilities() {
    static const std::map<std::string_view, Flag> all{{"trigonometry", &Capabilities::trigonometry},
                                                      {"topk", &Capabilities::topk},
                                                      {"texture", &Capabilities::texture},
                                                      {"random", &Capabilities::random}};
    return all;
}

OpStatus status_of(const std::string& word, const std::string& op) {
    for (const OpStatus status : {OpStatus::native, OpStatus::bridge, OpStatus::no}) {
        if (word == name(status)) {
            return status;
        }
    }
    fail(Code::malformed_file, here, "{}: {} has the status '{}', not native, bridge or no", file,
         op, word);
}

std::array<OpStatus, 6> tiers_of(const toml::table& table, const std::string& op) {
    std::array<OpStatus, 6> tiers{};
    if (const auto one = table["status"].value<std::string>()) {
        tiers.fill(status_of(*one, op));
        return tiers;
    }
    const toml::array* list = table["status"].as_array();
    if (list == nullptr || list->size() != tiers.size()) {
        fail(Code::malformed_file, here, "{}: {} needs a status, one or {}", file, op,
             tiers.size());
    }
    for (std::size_t i = 0; i < tiers.size(); ++i) {
        tiers[i] = status_of((*list)[i].value_or(std::string()), op);
    }
    return tiers;
}

OpSupport support_of(const std::string& op, const toml::table& table) {
    OpSupport support;
    support.op = op;
    support.tiers = tiers_of(table, op);
    const std::map<std::string_view, std::string OpSupport::*> texts{
        {"path", &OpSupport::path},         {"capability", &OpSupport::capability},
        {"kind", &OpSupport::kind},         {"sweep", &OpSupport::sweep},
        {"remedy", &OpSupport::remedy},     {"unmodelled", &OpSupport::unmodelled},
        {"evidence", &OpSupport::evidence}, {"source", &OpSupport::source},
        {"assumed", &OpSupport::assumed}};
    for (const auto& [key, node] : table) {
        const auto text = texts.find(key.str());
        const auto value = node.value<std::string>();
        if (text != texts.end() && value) {
            support.*(text->second) = *value;
        } else if (key != "status") {
            fail(Code::malformed_file, here, "{}: {} has an unknown part '{}'", file, op,
                 key.str());
        }
    }
    if (support.path.empty() || support.source.empty() ||
        (support.evidence != "measured" && support.evidence != "derived" &&
         support.evidence != "assumed")) {
        fail(
            Code::malformed_file, here,
            "{}: {} needs a path, a source and evidence = \"measured\", \"derived\" or \"assumed\"",
            file, op);
    }
    if (!support.capability.empty() && !deciding_capabilities().contains(support.capability)) {
        fail(Code::malformed_file, here, "{}: {} asks for the unknown capability '{}'", file, op,
             support.capability);
    }
    return support;
}

std::size_t tier_index(std::int64_t tier) {
    return static_cast<std::size_t>(std::clamp<std::int64_t>(tier - first_tier, 0, 5));
}

/// Why an op with this status at the profile's tier does not lower.
std::string reason_of(const OpSupport& op, const Profile& profile) {
    if (op.kind == "internal") {
        return "it is private to the engine's compiler";
    }
    if (op.kind == "netplist") {
        return "it is reached by the netplist route only";
    }
    for (std::size_t tier = tier_index(profile.tier); tier < op.tiers.size(); ++tier) {
        if (op.tiers[tier] != OpStatus::no) {
            return fmt::format("it needs A{} or later",
                               first_tier + static_cast<std::int64_t>(tier));
        }
    }
    return "no family of the engine has a path for it";
}

}  // namespace

std::string_view name(OpStatus status) {
    switch (status) {
        case OpStatus::native:
            return "native";
        case OpStatus::bridge:
            return "bridge";
        case OpStatus::no:
            return "no";
    }
    return "";
}

std::vector<OpSupport> read_op_catalogue(std::string_view text) {
    toml::table table;
    try {
        table = toml::parse(text);
    } catch (const toml::parse_error& error) {
        fail(Code::malformed_file, here, "{}: line {}: {}", file, error.source().begin.line,
             error.description());
    }
    std::vector<OpSupport> ops;
    for (const auto& [key, node] : table) {
        const toml::table* inner = node.as_table();
        if (inner == nullptr) {
            fail(Code::malformed_file, here, "{}: '{}' must be the table of an op", file,
                 key.str());
        }
        ops.push_back(support_of(std::string(key.str()), *inner));
    }
    std::sort(ops.begin(), ops.end(),
              [](const OpSupport& a, const OpSupport& b) { return a.op < b.op; });
    return ops;
}

std::span<const OpSupport> op_catalogue() {
    static const std::vector<OpSupport> catalogue = [] {
        for (const ProfileText& one : builtin_profile_texts()) {
            if (one.name == "ops") {
                return read_op_catalogue(one.toml);
            }
        }
        fail(Code::malformed_file, here, "{} is not compiled in", file);
    }();
    return catalogue;
}

const OpSupport* find_op_support(std::string_view op) {
    const auto catalogue = op_catalogue();
    const auto found = std::lower_bound(
        catalogue.begin(), catalogue.end(), op,
        [](const OpSupport& one, std::string_view wanted) { return one.op < wanted; });
    return found != catalogue.end() && found->op == op ? &*found : nullptr;
}

OpVerdict judge(const OpSupport& op, const Profile& profile) {
    OpStatus status = op.tiers[tier_index(profile.tier)];
    if (!op.capability.empty()) {
        const bool able = profile.capabilities.*deciding_capabilities().at(op.capability);
        status = !able ? OpStatus::no : status == OpStatus::no ? OpStatus::native : status;
        if (!able) {
            const auto reason = reason_of(op, profile);
            return {status, reason.starts_with("it needs")
                                ? reason
                                : fmt::format("the chip lacks '{}'", op.capability)};
        }
    }
    if (status == OpStatus::no) {
        return {status, reason_of(op, profile)};
    }
    if (profile.front_end == FrontEnd::sweep && (op.sweep == "NI" || op.sweep == "wall")) {
        return {OpStatus::no,
                fmt::format("the front end of {} {} it (ANEForge's sweep; ane-guide app. A has it "
                            "native: alternative 'front-end-book')",
                            profile.route,
                            op.sweep == "NI" ? "does not implement" : "fails to compile")};
    }
    return {status, ""};
}

}  // namespace pome::device
