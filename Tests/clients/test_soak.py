"""Hours of a moderate load beside HTTP/2 faults (F20): memory and descriptors stay level, and no call of a client that
behaves fails.

profile-bench calls at a fixed rate for a fixed population, so that the state stops growing during the warm-up. The
floods of attacks.py come one after another from another address. PROFILES_SOAK_SECONDS and PROFILES_SOAK_RATE set the
duration and the calls per second.
"""

import concurrent.futures
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys
import threading
import time

import attacks
from attack_table import requests
from conftest import Server, wait_until
from test_profilectl import BENCH

SECONDS = int(os.environ.get("PROFILES_SOAK_SECONDS", "12"))
SECONDS_OF_THE_ROW = 1_800
RATE = int(os.environ.get("PROFILES_SOAK_RATE", "500"))
# Each has at most 1,000 events.
PEOPLE = 100
# Of all samples: the time in which the state fills and buffers grow to their size.
WARM_UP = 0.3
# In that time so many floods run at once: the allocator keeps what the worst moment took, and later none is as bad.
WARM_UP_FLOODS = 4
FLOOD_FRAMES = 2_000
PAUSE_SECONDS = 1
SAMPLE_SECONDS = 1
# The lowest sample of so many is what the server needs; the others have a flood's buffers in them.
SAMPLES_PER_POINT = 30
SLOPE_MAX_MIB_PER_HOUR = 1
FLAGS = ("--segment-bytes", "16MiB", "--snapshot-log-bytes", "64MiB", "--feed-bytes", "64MiB")


class Samples:
    """Memory and descriptors of a server, once a second."""

    def __init__(self, server):
        self.server = server
        # (seconds, bytes, descriptors)
        self.taken = []
        self.stop = threading.Event()

    def run(self):
        while not self.stop.wait(SAMPLE_SECONDS):
            self.taken.append((time.monotonic(), self.server.resident_bytes(), descriptors(self.server)))

    @property
    def steady(self):
        return self.taken[int(len(self.taken) * WARM_UP) :]


def descriptors(server):
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def slope(samples):
    """The growth of memory in MiB an hour and its standard error: a line through the lowest sample of each group, by
    least squares."""
    groups = [samples[at : at + SAMPLES_PER_POINT] for at in range(0, len(samples), SAMPLES_PER_POINT)]
    points = [min(group, key=lambda sample: sample[1]) for group in groups]
    if len(points) < 3:
        return 0.0, math.inf
    x, y = [point[0] / 3600 for point in points], [point[1] / 2**20 for point in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    growth = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / spread
    rest = sum((b - mean_y - growth * (a - mean_x)) ** 2 for a, b in zip(x, y))
    return growth, math.sqrt(rest / (len(points) - 2) / spread)


def flood_at_once(server, environment, names, count):
    """Runs so many sequences of floods at once, each one flood behind the other; returns how many frames were sent."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        runs = [pool.submit(flood, server, environment, names(offset)) for offset in range(count)]
        return sum(run.result() for run in runs)


def flood(server, environment, names):
    """Runs one flood after another for as long as `names` has some; returns how many frames were sent."""
    frames, here = 0, pathlib.Path(__file__).parent
    for name in names:
        result = subprocess.run(
            [sys.executable, here / "attacks.py", name, server.listen, str(FLOOD_FRAMES), "0"],
            input="\n",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stderr
        frames += json.loads(result.stdout.splitlines()[-1])["frames"]
        time.sleep(PAUSE_SECONDS)
    return frames


def floods_while(is_running, first=0):
    """The names of all floods, again and again, from one of them on."""
    names = list(attacks.FLOODS)
    for number in itertools.count(first):
        if not is_running():
            return
        yield names[number % len(names)]


def test_F20_a_soak_with_faults_leaves_memory_and_descriptors_level(tmp_path, capsys):
    server = Server(tmp_path / "data", *FLAGS).start()
    try:
        soak(server, capsys)
    finally:
        code = server.stop()
    assert code == 0


def soak(server, capsys):
    environment = os.environ | requests(server)
    # The first writes open files that stay open.
    load = ("--address", server.listen, "--seconds", "2", "--rate", str(RATE), "--ids", str(PEOPLE))
    subprocess.run([str(BENCH), *load, "--json"], check=True, capture_output=True, timeout=60)
    assert wait_until(lambda: server.metric("profiles_connections") == 0)
    before = descriptors(server)
    samples = Samples(server)
    sampler = threading.Thread(target=samples.run)
    flags = {
        "--address": server.listen,
        "--connections": 4,
        "--streams": 10,
        "--seconds": SECONDS,
        "--rate": RATE,
        "--mix": "track=60,get=20,identify=10,events=10",
        "--ids": PEOPLE,
    }
    words = [str(word) for flag in flags.items() for word in flag]
    bench = subprocess.Popen(
        [str(BENCH), *words, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    sampler.start()
    try:
        frames = flood(server, environment, floods_while(lambda: bench.poll() is None))
        said, problems = bench.communicate(timeout=120)
    finally:
        bench.kill()
        bench.wait(30)
        samples.stop.set()
        sampler.join(30)
    assert bench.returncode == 0, said + problems
    assert wait_until(lambda: server.metric("profiles_connections") == 0, 60)
    assert wait_until(lambda: descriptors(server) <= before, 60), f"{before} before, {descriptors(server)} after"
    (growth, error), steady, result = slope(samples.steady), samples.steady, json.loads(said)
    with capsys.disabled():
        print(
            f"F20: {SECONDS} s at {RATE} calls a second: {result['statuses']}, p99 {result['latency_ms']['p99']} ms; "
            f"{frames} frames of {len(attacks.FLOODS)} floods; RSS {steady[0][1] / 2**20:.1f} MiB after the warm-up, "
            f"{steady[-1][1] / 2**20:.1f} at the end, "
            f"{growth:+.2f} +- {error:.2f} MiB an hour; descriptors {before} before, {descriptors(server)} after"
        )
    assert frames > 0
    if SECONDS >= SECONDS_OF_THE_ROW:
        # Two standard errors: half an hour tells less than two.
        assert growth - 2 * error < SLOPE_MAX_MIB_PER_HOUR


def test_F20_a_slope_ignores_peaks_and_finds_growth():
    flat = [(float(second), (50 + 16 * (second % 7 == 3)) << 20, 30) for second in range(600)]
    assert slope(flat) == (0, 0)
    growing = [(moment, memory + int(moment * 4096), count) for moment, memory, count in flat]
    growth, error = slope(growing)
    assert 13 < growth < 15 and error < 1
    assert slope(flat[:60])[1] == math.inf
