#!/usr/bin/env python3
"""Kills training runs at every crash point of the sources (src/base/crash_point.h) and goes on with them: losses, gradient norms,
weights and moments must be those of a run that was never killed, bit for bit, with no line of the metrics double or missing.

    crash_test.py POME SOURCE first|all [POINT...]

first: one kill a point, at its first passing, of the language model's run."""
import filecmp
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

CONFIG = """
[model]
width = 32
hidden = 64
layers = 1
heads = 2
vocabulary = 330
sequence = 32
[data]
directory = "data"
[train]
steps = 3
batch = 1
report_every = 1
validate_every = 1
validation_windows = 1
save_every = 1
keep_last = 1
[engine]
pipeline = "static"
threads = 1
compile_limit = 9
"""
# Differ between runs, or count from zero in each process.
OF_THE_PROCESS = re.compile("_ms$|^ms_per_step$|^tokens_per_second$|^compiles$")


def fail(message):
    sys.exit(f"FAILED: {message}")


class LanguageModelRun:
    """Three updates of a small Llama by the static pipeline in two processes: first staging, two updates, restart, one update."""

    name = "language model"
    begin = ["train", "c.toml", "--run"]

    @staticmethod
    def differences(run, whole):
        lines = [[{key: value for key, value in json.loads(line).items() if not OF_THE_PROCESS.search(key)} for line in open(path / "metrics.jsonl")]
                 for path in (run, whole)]
        if lines[0] != lines[1]:
            yield f"metrics: {lines[0]} instead of {lines[1]}"
        for checkpoint in ("best", "step_00000003"):
            for file in ("model.safetensors", "optimizer.safetensors", "state.json"):
                if not filecmp.cmp(run / "checkpoints" / checkpoint / file, whole / "checkpoints" / checkpoint / file, shallow=False):
                    yield f"{checkpoint}/{file} differs"
        for folder in (".", "checkpoints"):
            there, expected = (sorted(os.listdir(path / folder)) for path in (run, whole))
            if there != expected:
                yield f"{folder} holds {there} instead of {expected}"


class TwoLayerRun:
    """Sixty steps of the published two-layer run in two processes."""

    name = "two layers"

    def __init__(self, source):
        self.begin = ["train", f"{source}/examples/tiny.toml", "--set", "tiny.steps=60", "--set", "tiny.compile_budget=12", "--run"]

    @staticmethod
    def differences(run, whole):
        there, expected = (sorted(os.listdir(path)) for path in (run, whole))
        if there != expected:
            yield f"it holds {there} instead of {expected}"
        elif not filecmp.cmp(run / "ane_train_ckpt.bin", whole / "ane_train_ckpt.bin", shallow=False):
            yield "ane_train_ckpt.bin differs"


def process(pome, kind, run, point=None):
    """Begins the run or goes on with it, to its end or until it is killed at POINT:N. Returns whether it ended."""
    environment = dict(os.environ)
    environment.pop("POME_CRASH_POINT", None)
    if point:
        environment["POME_CRASH_POINT"] = point
    begun = (run / "config.toml").exists()
    command = [pome, "train", "--resume", str(run)] if begun else [pome, *kind.begin, str(run)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        fail(f"{kind.name}, {point}: status {done.returncode}: {done.stderr}")
    return done.returncode == 0


def torn(run):
    """What a write that the system did not finish leaves of a record."""
    if (run / "metrics.jsonl").exists():
        with open(run / "metrics.jsonl", "a", encoding="utf-8") as log:
            log.write('{"grad_norm":1.2,"le')


def kills(pome, kind, run, whole, point, most):
    """Kills the run at the first passing of the point in a process, then at the second of the process that goes on, and so on until
    no process passes it so often, but `most` times at most. Passings beyond the tenth are sampled."""
    passing = killed = 0
    while True:
        passing += 1 + passing // 10
        if process(pome, kind, run, f"{point}:{passing}" if killed < most else None):
            break
        killed += 1
        if point == "log.append":
            torn(run)
    for difference in kind.differences(run, whole) if killed else ():
        fail(f"{kind.name}, killed {killed} times at {point}: {difference}")
    return killed


def main():
    pome, source, extent = sys.argv[1:4]
    kinds = [LanguageModelRun(), TwoLayerRun(source)][: 1 if extent == "first" else None]
    points = sorted(set(re.findall(r'crash_point\("([a-z_.]+)"\)', "".join(path.read_text() for path in pathlib.Path(source, "src").rglob("*.cc")))))
    if len(points) < 20:
        fail(f"only {points} in the sources")
    points = sys.argv[4:] or points
    # A killed process loses nothing that a disk still had to write: memory will do, and is quicker.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as work:
        os.chdir(work)
        subprocess.run([pome, "data", "stories", "--output", "stories.txt", "--bytes", "40000"], check=True, capture_output=True)
        subprocess.run([pome, "data", "prepare", "stories.txt", "--output", "data", "--vocabulary", "330"], check=True, capture_output=True)
        pathlib.Path("c.toml").write_text(CONFIG, encoding="utf-8")
        total = dict.fromkeys(points, 0)
        for number, kind in enumerate(kinds):
            whole = pathlib.Path(f"whole{number}")
            process(pome, kind, whole)
            for point in points:
                total[point] += kills(pome, kind, pathlib.Path(f"{point}.{number}"), whole, point, 1 if extent == "first" else 1000)
    for point, killed in total.items():
        print(f"{point:24} {killed:4} kills")
    missed = [point for point, killed in total.items() if killed == 0]
    if missed:
        fail(f"no process passes {missed}")
    print("crash: all cases passed")


main()
