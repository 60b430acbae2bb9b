// Constants: folded when the program is compiled.
#include "device/emulator/plan.h"

namespace pome::device::emulator {
namespace {

void make_folded(Plan& plan, const mil::Operation& operation, const mil::Arguments& arguments) {
    plan.fold(operation, mil::find_schema(operation.op)->evaluate(arguments));
}

}  // namespace

Makers filling_makers() {
    return {{"fill", make_folded}, {"fill_like", make_folded}, {"range_1d", make_folded}};
}

}  // namespace pome::device::emulator
