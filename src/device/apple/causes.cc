#include "device/apple/causes.h"

#include <algorithm>

namespace pome::device::apple {
namespace {

struct Row {
    Stage stage;
    std::string_view in_text;  ///< part of the system's text; "": any
    std::int64_t code;         ///< 0: any
    std::string_view cause;
};

// Reported by maderix/ANE, Orion, rustane, oMLX, ane-guide and the ANE field guide; first match
// counts.
// clang-format off
constexpr Row rows[] = {
    {Stage::compile, "InvalidMILProgram", 0,
     "the compiler's parser or checker refuses the text: an op, form or dialect that this chip does not take, or a weight file that does "
     "not fit its declaration; `pome lint` names the rules that are known"},
    {Stage::compile, "CompilationFailure", 0,
     "the compiler cannot build the program: an op, shape or value that it does not support, or a change of the operating system; take "
     "operations away until it compiles"},
    {Stage::compile, "model.espresso.net", 0, "the client was not told that the program is MIL (kANEFModelType): an error of Pome"},
    {Stage::compile, "ANECCompile", 0,
     "the compiler cannot build the program: an op, shape or value that it does not support, or the weight file's size field; take "
     "operations away until it compiles"},
    {Stage::load, "0x20004", 0, "programs of more than about 3.75 GiB, or more than there is memory for, do not load; split the program"},
    {Stage::load, "0x50004", 0, "the engine has no free slot: too many programs are loaded; release some"},
    {Stage::load, "invalid model", 10, "the system's check of the program's directory refuses it (seen on macOS 27); try the other route"},
    {Stage::evaluate, "0x1d", 0,
     "known causes: surfaces of unequal size in one request, rows that are no multiple of 64 bytes, a graph that is too complex for its "
     "width; `pome lint` checks the first two"},
    {Stage::evaluate, "0x15", 0, "the engine's driver is in a bad state; restart the computer"},
    {Stage::evaluate, "0x16", 0, "the engine's driver is in a bad state; restart the computer"},
    {Stage::evaluate, "0xe00002c2", 0, "the driver refuses an argument of the request: the sizes of its surfaces"},
    {Stage::evaluate, "0xe00002e2", 0, "the kernel holds the program for one that its service did not sign: an error of Pome"},
    {Stage::evaluate, "", 13, "the surfaces could not be mapped: memory is short, or too many are in use"},
    {Stage::evaluate, "", 5, "the engine reports an overflow"},
};
// clang-format on

}  // namespace

std::string_view name(Stage stage) {
    switch (stage) {
        case Stage::describe:
            return "making the model";
        case Stage::compile:
            return "compile";
        case Stage::load:
            return "load";
        case Stage::evaluate:
            return "evaluation";
    }
    return "evaluation";
}

std::string cause_of(Stage stage, const SystemError& error, const Circumstances& now) {
    // The compiler stops working after so many programs, with the errors of a bad program or none.
    const bool no_reason = error.domain.empty() || error.text.find("err=()") != std::string::npos;
    if (stage == Stage::compile && now.compile_budget > 0 &&
        (no_reason || now.compiles * 10 >= now.compile_budget * 8)) {
        return fmt::format(
            "this process has compiled {} programs by this route, and after about {} the compiler "
            "refuses all without a reason: start again and resume (pome train --resume); if few "
            "were compiled, take operations away until it compiles",
            now.compiles, now.compile_budget);
    }
    if (stage == Stage::evaluate && now.evaluations > 0) {
        return fmt::format(
            "the program worked {} times before, so the process is probably poisoned by another "
            "program (tile does that on M3): start again and resume",
            now.evaluations);
    }
    const auto row = std::find_if(std::begin(rows), std::end(rows), [&](const Row& candidate) {
        return candidate.stage == stage && (candidate.code == 0 || candidate.code == error.code) &&
               error.text.find(candidate.in_text) != std::string::npos;
    });
    if (row != std::end(rows)) {
        return std::string(row->cause);
    }
    if (stage == Stage::describe) {
        return "the framework gives no reason; its interface may have changed";
    }
    return fmt::format("no report of this error is known; {}", now.machine);
}

}  // namespace pome::device::apple
