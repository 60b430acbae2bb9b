#pragma once

namespace pome::kernels {

/// Whether work may take a faster way than the plain one: vectors, lines instead of tables, steps
/// joined by the emulator's planner. False where the environment says POME_FAST_PATHS=off; the
/// first call (every emulator's making is one) then also confines vector code to its plainest
/// target for the rest of the process: scalar on x86, but on aarch64 there is only NEON. Results
/// are the same bits (fp32 sums of the fast numerics aside): this is how that is tested, and how a
/// wrong result is told from a wrong shortcut. Throws Error{invalid_argument} for another value
/// than on or off.
bool fast_paths();

}  // namespace pome::kernels
