#!/usr/bin/env python3
"""pome bench: the published figures that its models must meet, the rule that nothing exceeds its peak, and its errors."""
import json
import pathlib
import subprocess
import sys
import tempfile

POME = sys.argv[1]
FOLDER = tempfile.TemporaryDirectory()
JSON = pathlib.Path(FOLDER.name) / "figures.json"


def check(truth, what):
    if not truth:
        sys.exit(f"FAILED: {what}")


def bench(*arguments):
    """Its JSON and what it prints."""
    JSON.unlink(missing_ok=True)
    found = subprocess.run([POME, "bench", *arguments, "--json", JSON], text=True, capture_output=True)
    check(found.returncode == 0, f"bench {arguments}: {found.stderr}")
    return json.loads(JSON.read_text()), found.stdout


def refusal(*arguments):
    found = subprocess.run([POME, "bench", *arguments], text=True, capture_output=True)
    check(found.returncode != 0, f"bench {arguments} was accepted")
    return found.stderr


def check_report(report, text, task):
    for key in ("task", "device", "origin", "definitions", "rows", "commit", "machine", "libraries"):
        check(report.get(key), f"{task}: no '{key}'")
    check(report["machine"]["processor"] and report["libraries"]["blas"], f"{task}: machine and libraries")
    check(report["origin"] in text, f"{task}: the table does not say what it is")
    for word, meaning in report["definitions"].items():
        check(f"  {word}: {meaning}\n" in text, f"{task}: '{word}' is not defined in the table")
    for row in report["rows"]:
        for key, value in row.items():
            if key.endswith("share"):
                check(value is None or value == "above peak" or 0 < value <= 100, f"{task}: {row['name']} {key} {value}")


# The five rows that the seed document measured on an M4 Max (macOS 15.3.1), as published there.
report, text = bench("peak", "--device", "emulator:m4max")
check_report(report, text, "peak")
check("model of m4max (H16G, route in-memory), not measured" in text, "peak: origin")
for depth, published in ((32, 0.155), (48, 0.208), (64, 0.280), (96, 0.322), (128, 0.379)):
    rows = [row for row in report["rows"] if row["name"] == f"{depth} x 512, 64 positions" and row["source"] and "seed" in row["source"]]
    check(len(rows) == 1 and rows[0]["published_ms"] == published, f"peak: {depth} layers, {rows}")
    check(abs(rows[0]["model_ms"] / published - 1) <= 0.20, f"peak: {depth} layers take {rows[0]['model_ms']} ms by the model, {published} published")
    check(abs(rows[0]["gflop"] - 2 * 512 * 512 * 64 * depth / 1e9) < 1e-6, f"peak: FLOP of {depth} layers")
check(any(row["published_ms"] is None for row in report["rows"]), "peak: an unknown figure must stay empty")

# W8A8 against fp16: 1.88 on the M4 (maderix/ANE).
report, text = bench("int8", "--device", "emulator:m4")
check_report(report, text, "int8")
row = next(row for row in report["rows"] if row["name"] == "128 x 512, 64x64")
check(abs(row["speedup"] / 1.88 - 1) <= 0.10, f"int8: {row['speedup']} instead of 1.88")
check(abs(row["published_speedup"] - 14.8 / 7.8) < 1e-6, "int8: what was published")

for task in ("dispatch", "sram", "compile", "train"):
    for chip in ("m1", "m4", "m4max+dispatch-macos26", "m5max", "m6"):
        report, text = bench(task, "--device", f"emulator:{chip}")
        check_report(report, text, task)
        check("not measured" in report["origin"], f"{task}: {report['origin']}")
report, text = bench("train_step", "--model", "stories260K", "--sequence", "32", "--steps", "2", "--numerics", "fast")
check(report["host_ratio"] > 0 and abs(report["host_ms"] / (report["products_ms"] + report["bytes_ms"]) - report["host_ratio"]) < 1e-9,
      "train_step: the ratio")
check("measured on this machine" in report["origin"] and "host / (products + bytes)" in text, "train_step: what it prints")
report, text = bench("startup", "--model", "stories260K", "--sequence", "32")
check_report(report, text, "startup")
check(sum(row["part"].startswith("compile ") for row in report["rows"]) == 4, "startup: the dynamic pipeline has four programs")
parts = {row["part"]: row["ms"] for row in report["rows"]}
check(parts["launch to first step"] > parts["first step"] > 0 and parts["launch"] > 0, f"startup: {parts}")
report, text = bench("scale", "--only", "layers", "--steps", "1", "--threads", "1")
check_report(report, text, "scale")
for before, row in zip(report["rows"], report["rows"][1:]):
    # Whatever the machine does meanwhile: work is counted, and memory is what was allocated.
    check(row["value"] == 2 * before["value"] and 1.3 < row["flop_growth"] < 2, f"scale: {row}")
    # The sanitizers' allocator does not say.
    check(row["memory_growth"] is None or 1.3 < row["memory_growth"] < 2, f"scale: {row}")
    check(abs(row["ratio"] - row["time_growth"] / max(row["flop_growth"], row["byte_growth"])) < 1e-9, f"scale: {row}")
report, text = bench("compare", "--model", "stories260K", "--sequence", "64")
check({row["kind"] for row in report["rows"]} == {"model", "measured"}, "compare: kinds")

check("--device 'reference' has no time model; name a chip: --device emulator:CHIP" in refusal("peak", "--device", "reference"), "peak on reference")
check("m99" in refusal("int8", "--device", "emulator:m99"), "an unknown chip")
check("--threads" in refusal("sram", "--threads", "-1"), "threads")
check("--sequence" in refusal("compare", "--sequence", "1"), "sequence")
check("preset" in refusal("compare", "--model", "gpt5") or "stories110M" in refusal("compare", "--model", "gpt5"), "model")
