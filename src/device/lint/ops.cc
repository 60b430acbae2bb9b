// Which ops a family's compiler lowers: the catalogue of profiles/ops.toml as one rule.
#include "device/lint/rules.h"
#include "device/op_support.h"

namespace pome::device::linting {
namespace {

/// A cast of 8-bit integers always lowers: it is how images come in (ANEForge).
bool casts_bytes(const mil::Operation& operation, const mil::Function& function) {
    const mil::Argument* x = operation.op == "cast" ? operation.find_argument("x") : nullptr;
    const auto* value = x != nullptr && !x->operands.empty()
                            ? std::get_if<std::string>(&x->operands.front())
                            : nullptr;
    const mil::Type* type = value != nullptr ? function.find_type(*value) : nullptr;
    return type != nullptr && (type->dtype == DType::uint8 || type->dtype == DType::int8);
}

void lowers(Lint& lint, const mil::Operation& operation) {
    const OpSupport* support = find_op_support(operation.op);
    if (support == nullptr || casts_bytes(operation, lint.view.function())) {
        return;
    }
    const OpVerdict verdict = judge(*support, lint.profile);
    if (verdict.status == OpStatus::no) {
        lint.report(Reaction::refused, operation,
                    fmt::format("{} does not lower on {} (A{}): {}", operation.op,
                                lint.profile.family, lint.profile.tier, verdict.reason),
                    support->remedy.empty() ? "compute it on the host" : "use " + support->remedy);
    }
}

}  // namespace

Rules op_rules() {
    return {{"op_lowers", "the family's compiler lowers the op to the engine", "profiles/ops.toml",
             nullptr, lowers}};
}

}  // namespace pome::device::linting
