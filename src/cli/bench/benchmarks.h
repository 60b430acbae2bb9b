#pragma once

#include <CLI/CLI.hpp>

namespace pome::cli::bench {

// One benchmark a file; each adds itself to `pome bench`.
void add_peak(CLI::App& bench);
void add_int8(CLI::App& bench);
void add_dispatch(CLI::App& bench);
void add_sram(CLI::App& bench);
void add_compile(CLI::App& bench);
void add_train(CLI::App& bench);
void add_train_step(CLI::App& bench);
void add_scale(CLI::App& bench);
void add_startup(CLI::App& bench);
void add_compare(CLI::App& bench);

}  // namespace pome::cli::bench
