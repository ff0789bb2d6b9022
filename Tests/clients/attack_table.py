"""`make attack`: every flood of attacks.py against a server of its own, beside a client that behaves.

One line per flood: whether it was cut off and after how many frames, the growth of the server's memory, its CPU, and
the median and the 99th percentile of a call of the other client, connect included. Environment: ATTACK_DOSE (10,000
frames), ATTACK_SECONDS (2 for each), ATTACK_ONLY (a part of a name), PROFILED (the binary).
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import attacks
from conftest import Server, custom, get, profiles_pb2, profiles_pb2_grpc, track, types_pb2

HERE = pathlib.Path(__file__).parent
GROWTH_BYTES_MAX = 16 << 20
# What A13 and A14 allow to requests that do not end and to responses that are not read.
GROWTH_BYTES_MAX_OF = dict.fromkeys(
    ("A10 calls whose responses are not read", "A13 half bodies of 4 MiB", "A14 responses behind no window"), 64 << 20
)
P99_MILLISECONDS_MAX = 100
# Bounded by other means than the end of the connection: a response to each, a wait, or a budget of bytes.
BOUNDED = {
    "A6 HEADERS and DATA of rejected calls",
    "A7 header lists of 60,000 bytes",
    "A10 calls whose responses are not read",
    "A13 half prefaces",
    "A13 half header blocks",
    "A13 half bodies",
    "A13 half bodies of 4 MiB",
    "A14 responses behind no window",
}
LARGE_ATTRIBUTES = 40
LARGE_ATTRIBUTE_BYTES = 1_900


class Result:
    def __init__(self, name, attack, honest, growth, cpu_seconds, seconds):
        self.name, self.attack, self.growth = name, attack, growth
        self.times, self.failures = sorted(honest["milliseconds"]), honest["failures"]
        self.cpu = cpu_seconds / seconds

    @property
    def is_cut(self):
        return self.attack["cuts"] > 0

    @property
    def p50(self):
        return statistics.median(self.times)

    @property
    def p99(self):
        return self.times[min(len(self.times) - 1, int(len(self.times) * 0.99))]

    def faults(self, with_times=True):
        """What is not as it should be."""
        if self.failures:
            yield f"{self.failures} calls of the other client failed"
        if self.growth > GROWTH_BYTES_MAX_OF.get(self.name, GROWTH_BYTES_MAX):
            yield f"memory grew by {self.growth >> 20} MiB"
        if not self.is_cut and self.name not in BOUNDED:
            yield "it was not cut off"
        if with_times and self.p99 > P99_MILLISECONDS_MAX:
            yield f"p99 of {self.p99:.0f} ms"

    def line(self):
        reasons = ", ".join(self.attack["goaways"])
        outcome = f"cut within {self.attack['sent_until_cut']:,}" if self.is_cut else "bounded"
        return (
            f"{self.name:41} {outcome:19} {self.attack['frames']:>12,} {self.growth / (1 << 20):7.1f} "
            f"{self.cpu:5.2f} {self.p50:7.2f} {self.p99:7.2f}  {reasons}"
        )


HEADING = (
    f"{'flood':41} {'outcome (frames)':19} {'frames sent':>12} {'RSS MiB':>7} {'CPU':>5} {'p50 ms':>7} {'p99 ms':>7}"
    "  GOAWAY"
)


def requests(server):
    """Environment with the requests of the clients; a profile with a large response is stored."""
    who = custom()
    with server.channel() as channel:
        stub = profiles_pb2_grpc.ProfilesStub(channel)
        wide = {
            f"a{number}": types_pb2.Value(url="https://a/".ljust(LARGE_ATTRIBUTE_BYTES, "x"))
            for number in range(LARGE_ATTRIBUTES)
        }
        stub.Identify(
            profiles_pb2.IdentifyRequest(
                project="default", custom_id=who.custom_id, attributes=types_pb2.AttributePatch(set=wide)
            )
        )
        # What the first calls allocate is no growth.
        for _ in range(200):
            stub.Track(track(custom()))
    return {
        "ATTACK_TRACK": track(custom()).SerializeToString().hex(),
        "ATTACK_GET": get(who).SerializeToString().hex(),
    }


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(name, dose, seconds, calls=20):
    """One flood against a new server."""
    with tempfile.TemporaryDirectory(prefix="profiles-attack-") as folder:
        server = Server(folder).start()
        try:
            return measure(name, server, dose, seconds, calls)
        finally:
            assert server.stop() == 0, "the server did not end in order"


def measure(name, server, dose, seconds, calls):
    environment = os.environ | requests(server)
    before, cpu_before = server.resident_bytes(), cpu_seconds(server.pid)
    attack = subprocess.Popen(
        [sys.executable, HERE / "attacks.py", name, server.listen, str(dose), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert attack.stdout.readline() == "ready\n"
    highest, ended = [before], threading.Event()

    def watch():
        while not ended.wait(0.02):
            highest.append(server.resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.monotonic()
    attack.stdin.write("\n")
    attack.stdin.flush()
    honest = subprocess.run(
        [sys.executable, HERE / "honest_client.py", server.listen, str(seconds), str(calls)],
        capture_output=True,
        env=environment,
        text=True,
        timeout=600,
    )
    said = attack.communicate(timeout=600)[0]
    passed = time.monotonic() - begun
    ended.set()
    watcher.join()
    assert attack.returncode == 0 and honest.returncode == 0, honest.stderr
    assert server.process.poll() is None, "the server has ended"
    return Result(
        name,
        json.loads(said),
        json.loads(honest.stdout),
        max(highest) - before,
        cpu_seconds(server.pid) - cpu_before,
        passed,
    )


def main():
    dose = int(os.environ.get("ATTACK_DOSE", "10000"))
    seconds = float(os.environ.get("ATTACK_SECONDS", "2"))
    only = os.environ.get("ATTACK_ONLY", "")
    print(HEADING, flush=True)
    faults = []
    for name in attacks.FLOODS:
        if only in name:
            result = run(name, dose, seconds)
            print(result.line(), flush=True)
            faults += [f"{name}: {fault}" for fault in result.faults()]
    print("".join(f"FAULT {fault}\n" for fault in faults), end="")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
