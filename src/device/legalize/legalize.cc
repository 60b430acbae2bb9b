#include "device/legalize/legalize.h"

#include <algorithm>
#include <array>

#include "device/legalize/rules.h"
#include "mil/verifier.h"

namespace pome::device {
namespace legalizing {
namespace {

constexpr std::string_view here = "device.legalize";
/// Rewrites make operations that others rewrite: an attention's matmul may be too long, a norm has
/// means. No chain of rules is longer than this.
constexpr int most_rounds = 12;

bool looks_at(const Rule& rule, std::string_view op) {
    return std::find(rule.ops.begin(), rule.ops.end(), op) != rule.ops.end();
}

/// One walk over the function with the rules of single operations. Returns whether anything
/// changed; refusals are those of this walk.
bool walk(mil::Function& function, Work& work) {
    const std::size_t before = work.changes.size();
    std::vector<Refusal> refusals;
    Work local{work.profile, work.weights, work.changes, refusals, work.boundary};
    mil::Function next;
    {
        Emission emission(function, work.weights);
        for (const auto& parameter : function.parameters) {
            emission.parameter(parameter);
        }
        for (const auto& operation : function.operations) {
            bool done = false;
            const mil::Schema* schema = mil::find_schema(operation.op);
            for (const Rule& rule : rules()) {
                if (schema == nullptr || !looks_at(rule, operation.op) ||
                    !rule.wanted(work.profile)) {
                    continue;
                }
                const mil::Arguments in(operation, *schema, emission.lookup(), &work.weights);
                const Site site{local, emission, operation, in, rule.info.rule, rule.info.equality};
                done = rule.apply(site);
                if (done) {
                    break;
                }
            }
            if (!done) {
                emission.keep(operation);
            }
        }
        if (work.changes.size() != before) {
            next = without_dead(emission.take(), function);
        }
    }
    const bool changed = work.changes.size() != before;
    if (changed) {
        function = std::move(next);
    } else {
        work.refusals.insert(work.refusals.end(), refusals.begin(), refusals.end());
    }
    return changed;
}

/// Whether every type of the function is a tensor of known shape: others cannot be rewritten.
bool is_static(const mil::Function& function) {
    const auto fixed = [](const mil::NamedType& value) {
        return value.type.is_tensor() && value.type.shape.is_static();
    };
    return std::all_of(function.parameters.begin(), function.parameters.end(), fixed) &&
           std::all_of(function.operations.begin(), function.operations.end(),
                       [&](const mil::Operation& operation) {
                           return std::all_of(operation.results.begin(), operation.results.end(),
                                              fixed);
                       });
}

void rewrite(mil::Function& function, Work& work) {
    function = without_fp32(function, work);
    for (int round = 0;; ++round) {
        if (round == most_rounds) {
            fail(Code::unsupported, here,
                 "function '{}' still changes after {} rounds of rewriting; this is a defect of a "
                 "rewrite",
                 function.name, most_rounds);
        }
        work.refusals.erase(
            std::remove_if(work.refusals.begin(), work.refusals.end(),
                           [](const Refusal& refusal) { return refusal.rule != fp32_info.rule; }),
            work.refusals.end());
        if (walk(function, work)) {
            continue;
        }
        const std::size_t before = work.changes.size();
        const mil::Function split = split_wide(function, work);
        if (work.changes.size() == before) {
            break;
        }
        function = without_dead(split, function);
    }
    const mil::Function fitted = fit_surfaces(function, work);
    function = order_boundary(fitted, work);
}

}  // namespace

bool Site::replace(std::string what, const std::vector<mil::Value>& results) const {
    work.changes.push_back({std::string(rule), operation.position.line,
                            operation.results.front().name, std::move(what), equality});
    emission.replace(operation, results);
    return true;
}

bool Site::refuse(std::string reason) const {
    work.refuse(rule, operation, std::move(reason));
    return false;
}

std::span<const Rule> rules() {
    static const std::array table{attention_rule(),     gelu_rule(),     norm_rule(),
                                  bias_rule(),          mean_rule(),     root_rule(),
                                  inverse_rule(),       square_rule(),   trigonometry_rule(),
                                  concat_rule(),        explicit_rule(), slice_width_rule(),
                                  inner_multiple_rule()};
    return table;
}

}  // namespace legalizing

namespace {

std::string place(int line, const std::string& value) {
    return line > 0 ? fmt::format("line {}, %{}", line, value) : "%" + value;
}

}  // namespace

std::string Change::text() const {
    return fmt::format("{} ({}): {}{}", rule, place(line, value), what,
                       equality == Equality::bits ? "" : " [roundings differ]");
}

std::string Refusal::text() const {
    return fmt::format("{} ({}): {}", rule, place(line, value), reason);
}

Legalized legalize(const mil::Package& package, const Profile& profile, std::string_view function) {
    mil::verify(package.program);
    Legalized result;
    result.package = package;
    const auto found = std::find_if(result.package.program.functions.begin(),
                                    result.package.program.functions.end(),
                                    [&](const mil::Function& one) { return one.name == function; });
    if (found == result.package.program.functions.end()) {
        fail(Code::invalid_argument, legalizing::here, "the program has no function '{}'",
             function);
    }
    legalizing::Work work{profile, result.package.weights, result.changes, result.refusals,
                          result.boundary};
    if (legalizing::is_static(*found)) {
        legalizing::rewrite(*found, work);
    } else {
        result.refusals.push_back({"shape", found->position.line, found->name,
                                   "sizes are unknown; export the program with static shapes"});
    }
    legalizing::choose_dialect(result.package.program, *found, work);
    if (!result.changes.empty()) {
        mil::verify(result.package.program);
    }
    return result;
}

std::vector<RewriteInfo> known_rewrites() {
    std::vector<RewriteInfo> list{legalizing::fp32_info};
    for (const auto& rule : legalizing::rules()) {
        list.push_back(rule.info);
    }
    list.insert(list.end(), {legalizing::wide_info, legalizing::surface_info,
                             legalizing::names_info, legalizing::dialect_info});
    return list;
}

}  // namespace pome::device
