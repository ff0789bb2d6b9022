"""Records what clients know about their writes, to check it later; shared by the tests that break the server.

The outcome of a call is *acknowledged* (it must have been applied), *rejected* with a code which guarantees that
nothing happened (it must not have been applied), or *unknown* (it may have been applied, completely and once).
"""

import threading
import time

import grpc

from conftest import Failure, custom, event, get, profiles_pb2, track, types_pb2, unique

EVENTS = 3
# A profile retains 1,000 events, and only retained events are detected as duplicates.
CALLS_MAX = 300
DUPLICATE = 2
# Reasons for which the contract guarantees that the write was not applied. LOG_UNAVAILABLE is not among them: the write
# may have reached the disk.
NOT_APPLIED = {"DISK_FULL", "MEMORY_EXHAUSTED", "RATE_EXCEEDED", "REPLAYING", "DRAINING"}


class Writer:
    """A person to whom numbered Tracks of three events are sent, until the first call that fails."""

    def __init__(self):
        self.who = custom(unique("writer"))
        self.sent = 0
        self.acknowledged = set()
        # Calls of which it is certain that they were not applied.
        self.rejected = set()

    def call(self, number):
        return track(self.who, *[event("step", event_id=f"{number}-{part}") for part in range(EVENTS)])

    def run(self, stub, stop):
        while not stop.is_set() and self.sent < CALLS_MAX:
            number = self.sent
            self.sent += 1
            try:
                stub.Track(self.call(number), timeout=20)
            except grpc.RpcError:
                return
            self.acknowledged.add(number)

    def send_again(self, stub):
        """Repeats every call; returns how many unacknowledged ones had been stored."""
        kept = 0
        for number in range(self.sent):
            statuses = {result.status for result in stub.Track(self.call(number), timeout=20).results}
            assert len(statuses) == 1, f"call {number} was applied partially"
            assert statuses == {DUPLICATE} or number not in self.acknowledged, f"acknowledged call {number} was lost"
            assert statuses != {DUPLICATE} or number not in self.rejected, f"rejected call {number} was applied"
            kept += statuses == {DUPLICATE} and number not in self.acknowledged
        self.check(stub)
        return kept

    def check(self, stub):
        counters = stub.GetProfile(get(self.who), timeout=20).profile.event_counters
        assert counters[0].count == EVENTS * self.sent, "a call was applied twice, or not at all"


class Register:
    """A person whose attribute `n` is set to one number after another, through any failure.

    A later read must return the last acknowledged number or one of those with unknown outcome that were sent after it.
    The state stays small however much is written, so that a log can be filled with it.
    """

    def __init__(self, padding=0):
        self.who = custom(unique("register"))
        self.padding = {f"p{index}": types_pb2.Value(string="x" * 300) for index in range(padding)}
        self.sent = self.acknowledged = self.rejected = self.unknown = 0
        # Numbers that a read may return.
        self.possible = {0}
        self.lock = threading.Lock()
        self.reasons = {}

    def request(self, number):
        values = {"n": types_pb2.Value(integer=number), **self.padding}
        return profiles_pb2.IdentifyRequest(
            project="default", custom_id=self.who.custom_id, attributes=types_pb2.AttributePatch(set=values)
        )

    def write(self, stub, timeout=20):
        """Writes the next number; returns whether it was acknowledged."""
        with self.lock:
            self.sent += 1
            number = self.sent
            self.possible.add(number)
        try:
            stub.Identify(self.request(number), timeout=timeout)
        except grpc.RpcError as error:
            self.failed(number, error)
            return False
        with self.lock:
            self.acknowledged += 1
            self.possible = {other for other in self.possible if other >= number}
        return True

    def failed(self, number, error):
        reason = Failure(error).reason or error.code().name
        with self.lock:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            if reason in NOT_APPLIED:
                self.rejected += 1
                self.possible.discard(number)
            else:
                self.unknown += 1

    def run(self, stub, stop, pause=0.01, timeout=20):
        """Writes until `stop` is set; pauses after a failure."""
        while not stop.is_set():
            if not self.write(stub, timeout):
                time.sleep(pause)

    def check(self, stub):
        """Reads the number back; there must be no concurrent writes."""
        try:
            found = stub.GetProfile(get(self.who), timeout=20).profile.attributes["n"].integer
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
            found = 0
        assert found in self.possible, (
            f"read {found} of {self.sent} sent, {self.acknowledged} acknowledged; possible: {sorted(self.possible)}"
        )
        self.possible = {found}


class Reader:
    """Reads the registers continuously; every read must succeed, and never return a number older than one acknowledged
    before."""

    def __init__(self, registers):
        self.registers = registers
        self.count = 0
        self.failures = []

    def run(self, stub, stop):
        while not stop.is_set():
            for register in self.registers:
                if register.acknowledged == 0:
                    continue
                with register.lock:
                    oldest = min(register.possible)
                try:
                    found = stub.GetProfile(get(register.who), timeout=20).profile.attributes["n"].integer
                    if found < oldest:
                        self.failures.append(f"{found} was read after {oldest} was acknowledged")
                    self.count += 1
                except grpc.RpcError as error:
                    self.failures.append(str(error.code()))
            time.sleep(0.002)


class Background:
    """Runs what `runs` lists, each on a thread of its own, for the duration of the block; all of it ends at `stop`."""

    def __enter__(self):
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=run, args=arguments) for run, *arguments in self.runs()]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)


class Load(Background):
    """Registers and a reader."""

    def __init__(self, stub, registers, timeout=20):
        self.stub, self.registers, self.timeout = stub, registers, timeout
        self.reader = Reader(registers)

    def runs(self):
        writers = [(register.run, self.stub, self.stop, 0.01, self.timeout) for register in self.registers]
        return [*writers, (self.reader.run, self.stub, self.stop)]

    @property
    def acknowledged(self):
        return sum(register.acknowledged for register in self.registers)

    @property
    def rejected(self):
        return sum(register.rejected for register in self.registers)

    @property
    def unknown(self):
        return sum(register.unknown for register in self.registers)

    def check(self, stub):
        for register in self.registers:
            register.check(stub)
