#include <fmt/core.h>

#include <cstdio>

#include "base/version.h"
#include "cli/commands.h"

int main(int argc, char** argv) {
    using namespace pome;
    CLI::App app{
        "Trains neural networks on Apple's Neural Engine, and on an emulator of it everywhere "
        "else."};
    app.name("pome");
    app.set_version_flag("--version", std::string("pome ") + pome::version);
    app.require_subcommand(1);
    app.footer(
        "Examples:\n"
        "  pome data stories --output stories.txt        write some text to learn from\n"
        "  pome data prepare stories.txt --output data   make token files and a tokenizer of it\n"
        "  pome train configs/demo.toml --run runs/a     train, with checkpoints in runs/a\n"
        "  pome generate --model runs/a --tokenizer data/tokenizer.bin\n"
        "  pome doctor                                   what this machine has and what pome uses\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 3 stopped on request after saving.\n"
        "Each command has its own --help.");
    int status = cli::exit_done;
    cli::add_train(app, status);
    cli::add_generate(app);
    cli::add_eval(app);
    cli::add_devices(app);
    cli::add_ops(app);
    cli::add_run(app);
    cli::add_lint(app, status);
    cli::add_legalize(app, status);
    cli::add_inspect(app);
    cli::add_convert(app);
    cli::add_data(app);
    cli::add_bench(app);
    cli::add_conformance(app, status);
    cli::add_plan(app);
    cli::add_engine_trial(app);
    cli::add_probe(app);
    cli::add_doctor(app);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? cli::exit_done : cli::exit_usage;
    } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.text());
        return cli::exit_failed;
    } catch (const std::exception& error) {
        fmt::print(stderr, "[pome] {}\n", error.what());
        return cli::exit_failed;
    }
    return status;
}
