#pragma once

#include <cstdint>

namespace pome::train {

/// Programs that one process may compile before the engine's compiler stops working.
struct CompileBudget {
    std::int64_t used = 0;
    std::int64_t limit = 0;  ///< 0: none
};

/// What a process that trains with a compile budget does.
enum class Phase : std::uint8_t {
    running,
    saving,        ///< the budget is short: write a checkpoint
    handing_over,  ///< it is written: start the process anew
    impossible,    ///< even a new process could not do the next update
};

/// The phase after `now`, when `needed` compiles come before the next evaluation. Pure, so that a
/// test can walk every edge. A process that has compiled nothing and still cannot go on would
/// restart for ever: that is impossible, and the caller reports it.
constexpr Phase next_phase(Phase now, CompileBudget budget, std::int64_t needed) {
    switch (now) {
        case Phase::running:
            if (budget.limit == 0 || budget.used + needed <= budget.limit) {
                return Phase::running;
            }
            return needed > budget.limit ? Phase::impossible : Phase::saving;
        case Phase::saving:
            return Phase::handing_over;  // asked only once the checkpoint is on disk
        case Phase::handing_over:
        case Phase::impossible:
            break;  // final: the command line starts anew, or reports
    }
    return now;
}

}  // namespace pome::train
