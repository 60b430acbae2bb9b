#pragma once

#include <string_view>

namespace pome {

/// A place where tests end the process as a power switch would: with POME_CRASH_POINT=NAME:N in the
/// environment, the N-th passing of point NAME in a process kills it (SIGKILL: nothing is unwound,
/// flushed or removed). Without that variable, which is read once, it does nothing: one comparison,
/// at places that compile a program or write a file. Points are named "room.what", and each name
/// stands in one place: tests/scripts/crash_test.py finds them in the sources and goes through all.
/// THREADS: safe.
void crash_point(std::string_view name);

}  // namespace pome
