#!/usr/bin/env python3
"""Instructions and allocator calls per operation of the hot paths, compared with Benchmarks/thresholds.json.

Each path runs twice, COUNT and 2 COUNT operations; the difference leaves the start out. Instructions are counted by
callgrind, so that they do not depend on what else the machine does; allocator calls by malloc-count/, preloaded.
Fails if a path costs more than its threshold and the tolerance, and if a path has no threshold.

Usage: Benchmarks/check.py [--paths NAME,NAME] [--binary FILE] [--record]
--record writes what is measured into thresholds.json, for a change that is meant.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THRESHOLDS = ROOT / "Benchmarks/thresholds.json"
BINARY = ROOT / ".build/release/profile-paths"
# Operations of the shorter run, a multiple of the people and of the calls of a step (Sources/profile-paths).
COUNT = 4000
# Calls per operation by which a path may exceed its threshold besides the tolerance: tables that grow now and then.
ALLOCATIONS_SLACK = 0.01
# A run takes some seconds; this is for a machine with much else to do.
SECONDS_MAX = 300
# The same instructions on every machine: the plain variants of memcpy and its like, and tables in the same order.
ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-BMI2,-ERMS,-FSRM",
    "SWIFT_DETERMINISTIC_HASHING": "1",
    "LD_BIND_NOW": "1",
}


class Meter:
    """Counts what a path takes; its files are in a folder of its own."""

    def __init__(self, binary, folder):
        self.folder, self.binary = Path(folder), Path(folder) / "profile-paths"
        # Valgrind 3.19 does not read the debug sections of this compiler.
        subprocess.run(["strip", "--strip-debug", "-o", self.binary, binary], check=True)
        self.counter = self.folder / "malloc_count.so"
        source = ROOT / "Benchmarks/malloc-count/malloc_count.c"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", self.counter, source], check=True)

    def paths(self):
        return self.run([self.binary, "--list"]).stdout.split()

    def run(self, command, **environment):
        words = [str(part) for part in command]
        finished = subprocess.run(
            words,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(self.folder), **ENVIRONMENT, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
        if finished.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} ended with {finished.returncode}:\n{finished.stderr}")
        return finished

    def instructions(self, path, count):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", self.binary, path, count]
        return int(re.search(r"Collected : (\d+)", self.run(command).stderr).group(1))

    def allocations(self, path, count):
        counts = self.folder / f"{path}-{count}"
        self.run([self.binary, path, count], LD_PRELOAD=str(self.counter), MALLOC_COUNT_FILE=str(counts))
        return sum(int(line.split()[-1]) for line in counts.read_text().splitlines())

    def measure(self, path, count=COUNT):
        """{"instructions", "allocations"} of one operation."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            short, long = pool.map(lambda count: self.instructions(path, count), (count, 2 * count))
        calls = self.allocations(path, 2 * count) - self.allocations(path, count)
        return {"instructions": round((long - short) / count), "allocations": round(calls / count, 4)}


def excess(measured, threshold, tolerance):
    """What is wrong with a path; empty: nothing."""
    if threshold is None:
        return ["no threshold; record one"]
    wrong = []
    for unit, slack in (("instructions", 0), ("allocations", ALLOCATIONS_SLACK)):
        limit = threshold[unit] * (1 + tolerance) + slack
        if measured[unit] > limit:
            wrong.append(f"{measured[unit]} {unit}, at most {limit:.6g} are allowed")
    return wrong


def line(path, measured, threshold):
    change = f"{measured['instructions'] / threshold['instructions'] - 1:+.1%}" if threshold else "new"
    return f"{path:20} {measured['instructions']:>8} instructions ({change}), {measured['allocations']:g} allocations"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paths", help="some of them, with commas between")
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--record", action="store_true", help="write the thresholds")
    options = parser.parse_args(arguments)
    known = json.loads(THRESHOLDS.read_text())
    # Memory: a file system whose syncs cost nothing, as nothing of it is measured.
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    failures = 0
    with tempfile.TemporaryDirectory(dir=folder) as work:
        meter = Meter(options.binary, work)
        wanted = options.paths.split(",") if options.paths else meter.paths()
        if unknown := set(wanted) - set(meter.paths()):
            parser.error(f"unknown paths {sorted(unknown)}, there are {meter.paths()}")
        for path in wanted:
            measured, threshold = meter.measure(path), known["paths"].get(path)
            print(line(path, measured, threshold), flush=True)
            if options.record:
                known["paths"][path] = measured
                continue
            wrong = excess(measured, threshold, known["tolerance"])
            failures += bool(wrong)
            for reason in wrong:
                print(f"  FAILED: {reason}", flush=True)
        if options.record:
            known["paths"] = {path: known["paths"][path] for path in meter.paths() if path in known["paths"]}
            THRESHOLDS.write_text(json.dumps(known, indent=4) + "\n")
            return 0
    print(f"{len(wanted)} paths, {failures} beyond {known['tolerance']:.0%}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
