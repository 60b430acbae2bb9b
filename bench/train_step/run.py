#!/usr/bin/env python3
"""A training step by Pome and by what people would use instead, in one run on one machine.

    bench/train_step/run.py [--pome build/pome] [--model stories110M] [--batch 1] [--rounds 3] [--steps 5] [--json FILE]

Every contender starts from the same random weights and trains on the same random tokens; losses are compared before a figure
counts. Contenders take turns, round after round; a turn during which other processes took more than a twentieth of the
machine is thrown away and counted. PyTorch's are left out, aloud, where python3-torch is not installed.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# width, hidden, layers, heads, key/value heads, vocabulary: those of `pome bench train_step --model`.
SIZES = {"stories260K": (64, 172, 5, 8, 4, 512), "stories15M": (288, 768, 6, 6, 6, 32000),
         "stories110M": (768, 2048, 12, 12, 12, 32000)}
LARGEST_DIFFERENCE = {"pome exact": 0.01, "pome fast": 0.01, "bf16": 0.02}  # of a loss, to PyTorch's in fp32
BUSY = 0.05


def write_case(directory, sizes, sequence, batch, seed=1):
    """Random weights as a llama2.c file, random tokens and targets."""
    import numpy

    width, hidden, layers, heads, kv_heads, vocabulary = sizes
    kv_width = width // heads * kv_heads
    random = numpy.random.default_rng(seed)

    def normal(*shape):
        return (random.standard_normal(shape, numpy.float32) * 0.02).tobytes()

    def ones(*shape):
        return numpy.ones(shape, numpy.float32).tobytes()

    model, tokens = directory / "model.bin", directory / "tokens.i32"
    with open(model, "wb") as file:
        file.write(numpy.array([width, hidden, layers, heads, kv_heads, vocabulary, sequence], numpy.int32).tobytes())
        file.write(normal(vocabulary, width) + ones(layers, width))
        for rows in (width, kv_width, kv_width, width):
            file.write(normal(layers, rows, width))
        file.write(ones(layers, width))
        for shape in ((hidden, width), (width, hidden), (hidden, width)):
            file.write(normal(layers, *shape))
        file.write(ones(width))
        file.write(bytes(4 * sequence * (width // heads)))  # tables that nobody reads
    random.integers(0, vocabulary, (batch, 2, sequence), numpy.int32).tofile(tokens)
    return model, tokens


def processor_seconds():
    """Of all processors since the machine started: busy ones."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = (int(value) for value in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def turn(command, environment):
    """Runs a contender: what it printed last, its peak memory, the share of the machine that others took meanwhile."""
    before, others = os.times(), processor_seconds()
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed")
    elapsed = os.times().elapsed - before.elapsed
    own = usage.ru_utime + usage.ru_stime
    share = max(0.0, processor_seconds() - others - own) / elapsed / os.cpu_count()
    return output, usage.ru_maxrss * 1024, share


def contenders(options, model, tokens, directory):
    """Name -> (command, environment, function from its output to losses, milliseconds and, where it measures that, peak memory)."""
    case = ["--weights", str(model), "--tokens", str(tokens), "--batch", str(options.batch), "--sequence",
            str(options.sequence), "--steps", str(options.steps)]
    found = {}
    for numerics in ("exact", "fast"):
        file = directory / f"{numerics}.json"

        def read(_, file=file):
            figures = json.loads(file.read_text())
            # Of its own process, taken before it measures the bound that it compares itself with.
            return figures["losses"], figures["milliseconds"], figures["peak_memory_bytes"]

        found[f"pome {numerics}"] = ([options.pome, "bench", "train_step", "--model", options.model, "--numerics", numerics,
                                      "--json", str(file), *case], {}, read)
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is left out: python3-torch is not installed (apt-get install python3-torch)", file=sys.stderr)
        return found

    def read_pytorch(output):
        figures = json.loads(output.splitlines()[-1])
        return figures["losses"], figures["milliseconds"][1:], None

    # Tuned: OpenBLAS by OpenMP like PyTorch itself, memory kept and in huge pages.
    openmp = f"/usr/lib/{platform.machine()}-linux-gnu/openblas-openmp"
    tuned = {"OMP_NUM_THREADS": str(os.cpu_count()),
             "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=10000000000:"
                               "glibc.malloc.trim_threshold=100000000000:glibc.malloc.top_pad=67108864"}
    if os.path.isdir(openmp):
        tuned["LD_LIBRARY_PATH"] = openmp
    else:
        print(f"PyTorch's best may be missed: {openmp} is not there (apt-get install libopenblas0-openmp)", file=sys.stderr)
    script = [sys.executable, str(HERE / "pytorch_step.py"), *case]
    threads = ["--threads", str(os.cpu_count())]
    found["PyTorch fp32, tuned"] = (script + threads, tuned, read_pytorch)
    found["PyTorch bf16, tuned"] = (script + threads + ["--dtype", "bf16"], tuned, read_pytorch)
    found["PyTorch fp32, as installed"] = (script, {}, read_pytorch)
    return found


def check_losses(losses):
    """Ends the run where a contender computes something else."""
    reference = losses.get("PyTorch fp32, tuned", losses["pome exact"])
    for name, own in losses.items():
        limit = next((value for part, value in LARGEST_DIFFERENCE.items() if part in name), 0.002)
        difference = max(abs(a - b) for a, b in zip(own, reference))
        if difference > limit * reference[0]:
            raise SystemExit(f"{name}: losses {own} differ from {reference}: what was timed is not the same")
        if not own[-1] < own[0]:
            raise SystemExit(f"{name}: the loss does not fall: {own}")


def continue_with_modules():
    """Goes on in the system's Python where that has modules that this one lacks."""
    system = "/usr/bin/python3"
    for modules in ("numpy, torch", "numpy"):
        for python in (sys.executable, system):
            if subprocess.run([python, "-c", "import " + modules], stderr=subprocess.DEVNULL).returncode == 0:
                if python != sys.executable:
                    os.execv(python, [python, *sys.argv])
                return
    raise SystemExit("numpy is missing: apt-get install python3-numpy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pome", default="build/pome")
    parser.add_argument("--model", choices=SIZES, default="stories110M")
    parser.add_argument("--sequence", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="counted steps of a turn, after one that is not")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    continue_with_modules()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        model, tokens = write_case(directory, SIZES[options.model], options.sequence, options.batch)
        running = contenders(options, model, tokens, directory)
        medians, peaks, losses = ({key: [] for key in running} for _ in range(3))
        rejected = 0
        for _ in range(options.rounds):
            for key, (command, environment, read) in running.items():
                output, peak, others = turn(command, environment)
                losses[key], milliseconds, own_peak = read(output)
                peaks[key].append(own_peak or peak)
                if others > BUSY:
                    rejected += 1
                else:
                    medians[key].append(statistics.median(milliseconds))
            check_losses({key: value for key, value in losses.items() if value})
    tokens_of_step = options.sequence * options.batch
    reference = medians.get("PyTorch fp32, tuned")
    rows = []
    print(f"{options.model}, {options.batch} x {options.sequence} tokens, a whole step with AdamW; {options.rounds} rounds of "
          f"{options.steps} steps, {rejected} turns thrown away because of other load")
    print(f"{'contender':28} {'ms':>7} {'min':>6} {'max':>6} {'tokens/s':>9} {'peak GB':>8} {'to PyTorch fp32':>16}")
    for key, own in medians.items():
        row = {"contender": key, "peak_memory_bytes": max(peaks[key]), "losses": losses[key], "medians_ms": own}
        if own:
            row["ms"] = statistics.median(own)
            row["tokens_per_second"] = 1e3 * tokens_of_step / row["ms"]
            ratio = f"{row['ms'] / statistics.median(reference):.2f}" if reference else ""
            print(f"{key:28} {row['ms']:7.0f} {min(own):6.0f} {max(own):6.0f} {row['tokens_per_second']:9.0f} "
                  f"{row['peak_memory_bytes'] / 1e9:8.2f} {ratio:>16}")
        else:
            print(f"{key:28} no turn without other load on the machine")
        rows.append(row)
    if options.json:
        versions = {"python": platform.python_version(), "machine": platform.machine(), "processors": os.cpu_count()}
        pathlib.Path(options.json).write_text(json.dumps(
            {"task": "train_step", "model": options.model, "batch": options.batch, "sequence": options.sequence,
             "rejected": rejected, "host": versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
