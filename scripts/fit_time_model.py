#!/usr/bin/env python3
"""Fit the time model's constants to the published rows that are not held out.

    scripts/fit_time_model.py BUILD [--write]

Builds and runs fit_time_model in the build folder BUILD and prints every constant that would change. With --write it puts the new
values into profiles/*.toml and the new table into docs/time-model.md. Only values whose source says that they were fitted are touched.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FITTED = "fitted by scripts/fit_time_model.py"
BEGIN, END = "<!-- pome plan --calibration -->\n", "<!-- end -->"


def output_of(build, target, *arguments):
    subprocess.run(["cmake", "--build", build, "--target", target], check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([build / target, *arguments], check=True, text=True, stdout=subprocess.PIPE).stdout


def fitted_profiles(build):
    """The texts of profiles/ that hold fitted values, with those of this run."""
    texts = {}
    for line in output_of(build, "fit_time_model").splitlines():
        name, key, value = line.split()
        path = ROOT / "profiles" / f"{name}.toml"
        text = texts.setdefault(path, path.read_text())
        found = re.search(rf'^{key} *= {{ value = ([0-9.e+-]+), evidence = "derived", source = "{FITTED}', text, re.M)
        if not found:
            sys.exit(f"{path}: there is no fitted value {key}; its source must begin with '{FITTED}'")
        whole = "." not in found[1]
        new = value if whole or "." in value else value + ".0"
        if new != found[1]:
            print(f"{name}: {key} {found[1]} -> {new}")
        texts[path] = text[: found.start(1)] + new + text[found.end(1):]
    return texts


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--write"]):
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    texts = fitted_profiles(build)
    if len(sys.argv) == 2:
        return
    for path, text in texts.items():
        path.write_text(text)
    document = ROOT / "docs" / "time-model.md"
    text = document.read_text()
    before, rest = text.split(BEGIN)
    table = output_of(build, "pome", "plan", "--calibration")
    document.write_text(before + BEGIN + table + END + rest.split(END)[1])


main()
