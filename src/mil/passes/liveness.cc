#include "mil/passes/liveness.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pome::mil::passes {
namespace {

bool is_view(std::string_view op) {
    return op == "reshape" || op == "squeeze" || op == "expand_dims" || op == "identity";
}

/// The operations during which a value holds memory.
struct Life {
    std::int64_t bytes = 0;
    std::size_t first = 0, last = 0;
};

}  // namespace

std::int64_t live_bytes(const Function& function) {
    const std::size_t end = function.operations.size();
    std::vector<Life> lives;
    std::map<std::string, std::size_t, std::less<>> life_of;
    for (const auto& parameter : function.parameters) {
        life_of[parameter.name] = lives.size();
        lives.push_back({parameter.type.bytes(), 0, end});
    }
    for (std::size_t i = 0; i < end; ++i) {
        const Operation& operation = function.operations[i];
        std::size_t source = lives.size();
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                const auto* name = std::get_if<std::string>(&operand);
                const auto found = name == nullptr ? life_of.end() : life_of.find(*name);
                if (found == life_of.end()) {
                    continue;
                }
                lives[found->second].last = std::max(lives[found->second].last, i);
                if (is_view(operation.op) && argument.name == "x") {
                    source = found->second;
                }
            }
        }
        for (const auto& result : operation.results) {
            if (source < lives.size() && is_view(operation.op)) {
                life_of[result.name] = source;
                continue;
            }
            const bool constant = operation.op == "const";
            life_of[result.name] = lives.size();
            lives.push_back({result.type.bytes(), constant ? 0 : i, constant ? end : i});
        }
    }
    for (const auto& output : function.outputs) {
        if (const auto found = life_of.find(output); found != life_of.end()) {
            lives[found->second].first = 0;
            lives[found->second].last = end;
        }
    }
    std::vector<std::int64_t> change(end + 2, 0);
    for (const Life& life : lives) {
        change[life.first] += life.bytes;
        change[life.last + 1] -= life.bytes;
    }
    std::int64_t now = 0, most = 0;
    for (const std::int64_t delta : change) {
        now += delta;
        most = std::max(most, now);
    }
    return most;
}

}  // namespace pome::mil::passes
