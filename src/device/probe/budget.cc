// How many programs a process may compile and hold. Uses up processes of the runner.
#include <fmt/format.h>

#include "device/probe/bench.h"

namespace pome::device::probe {

void probe_budget(Bench& bench) {
    constexpr std::int64_t most = 300;
    const mil::Package package =
        bench.package({{plane(row, row)}, "tensor<fp16, [1, 1, 32, 32]> y = relu(x = x);"});
    Exhaustion released, held;
    try {
        released = bench.runner().exhaust(package, false, most);
        held = bench.runner().exhaust(package, true, most);
    } catch (const Error& error) {  // a process that died of it says nothing of how many
        bench.open("limits.compile_budget", error.text());
        bench.open("limits.loaded_programs", error.text());
        return;
    }
    const bool slots = held.message.find("must re-compile") != std::string::npos;
    const std::string seen =
        fmt::format("{} compile when each is released{}, {} when all are held{}", released.compiled,
                    released.message.empty() ? " and more would" : "", held.compiled,
                    held.message.empty() ? " and more would"
                    : slots              ? ", for want of slots"
                                         : "");
    if (!released.message.empty()) {
        bench.found("limits.compile_budget", released.compiled, seen);
        bench.found("failures.budget_reclaimed", false, seen);
    } else if (held.message.empty() || slots) {
        bench.found("limits.compile_budget", std::int64_t{0}, seen);
    } else {
        bench.found("limits.compile_budget", held.compiled, seen);
        bench.found("failures.budget_reclaimed", true, seen);
    }
    if (slots) {
        bench.found("limits.loaded_programs", held.compiled, seen);
    } else {
        bench.open("limits.loaded_programs", held.message.empty()
                                                 ? fmt::format("{} programs load", held.compiled)
                                                 : "the compile budget ends first");
    }
}

}  // namespace pome::device::probe
