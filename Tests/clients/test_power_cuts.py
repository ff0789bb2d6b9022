"""Power cuts at any moment of a recorded run of the real binary (F2, F3): nothing that was acknowledged is lost.

strace records the system calls of a server under load, over two kills and a clean end, with snapshots and new segments
on the way. From the recording, `crash_disk` makes what a power cut may leave of the files. F2 starts the server on some
of these states and sends every call again; F3 reads many with `profilectl dump`, which recovers as a start does. Both
compare with what the clients knew at that moment. A recording whose syncs count for nothing must fail.

PROFILES_POWER_CUTS is the number of cuts of F2, PROFILES_CRASH_STATES that of the states of F3.
"""

import collections
import concurrent.futures
import hashlib
import itertools
import os
import pathlib
import random
import shutil
import signal
import tempfile

import pytest

import histories
from conftest import Server, get, needs_strace, profiles_pb2_grpc
from crash_check import TimedLoad, dumped
from crash_disk import Survival, write_state
from crash_recording import Recording, wrapper

CUTS = int(os.environ.get("PROFILES_POWER_CUTS", "4"))
CUTS_PER_RECORDING = 30
STATES = int(os.environ.get("PROFILES_CRASH_STATES", "120"))
STATES_OF_THE_ROW = 10_000
OPERATIONS_OF_THE_ROW = 500
# Sampled of a recording without syncs, of which many must lose something.
SABOTAGED_STATES = 60
# Seconds of load in each life: long enough for a snapshot, which is made each second.
LIVES = (1.6, 1.2, 0.8)
FLAGS = ("--segment-bytes", "1MiB", "--snapshot-seconds", "1", "--snapshot-log-bytes", "1MiB")
# Directories that are written and not read yet, of about 4 MiB each.
WAITING_MAX = 8
PROCESSES = 2

pytestmark = needs_strace


def record(folder):
    """A load and the recording of what the server did to its files, over several lives."""
    data_dir = pathlib.Path(folder) / "data"
    load, recording = TimedLoad(), Recording(data_dir)
    for life, seconds in enumerate(LIVES):
        trace = pathlib.Path(folder) / f"trace-{life}"
        server = Server(data_dir, *FLAGS, wrapper=wrapper(trace)).start()
        load.run(server, seconds)
        server.stop(signal.SIGTERM if life == len(LIVES) - 1 else signal.SIGKILL)
        load.end()
        with open(trace) as lines:
            recording.add(lines)
        trace.unlink()
    return load, recording


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def scratch():
    """A folder for crash states: in memory if possible, as each is read once."""
    memory = "/dev/shm"
    parent = memory if os.path.isdir(memory) and os.access(memory, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="profiles-crash-", dir=parent)
    yield pathlib.Path(folder)
    shutil.rmtree(folder)


def states_of(recording, count, chance, ignoring=()):
    """Yields (moment, state, directories) for `count` states or more: some of each prefix of the recording, or one of
    so many prefixes if there are more."""
    prefixes = len(recording.events) + 1
    chosen = set(chance.sample(range(prefixes), min(count, prefixes)))
    each = -(-count // prefixes)
    for index, (moment, disk) in enumerate(recording.replay(ignoring)):
        if index not in chosen:
            continue
        yield moment, disk.after_power_cut(chance, Survival.MIXED), disk.directories
        # Where everything is synced there is one state alone.
        for _ in range(0 if disk.is_settled else each):
            yield moment, disk.after_power_cut(chance), disk.directories


def key_of(state):
    """What distinguishes a state."""
    digest = hashlib.blake2b()
    for path, (_, content) in state.items():
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(bytes(content).rstrip(b"\0"))
    return digest.digest()


class Checker:
    """Reads states on a few processes and compares them with a load."""

    def __init__(self, load, folder):
        self.load, self.folder = load, folder
        self.names = itertools.count()
        self.checked = 0
        self.distinct = set()
        self.problems = collections.Counter()
        # States of neighboring prefixes are often equal.
        self.latest = collections.OrderedDict()

    def read(self, folder):
        try:
            return dumped(folder)
        finally:
            shutil.rmtree(folder)

    def run(self, states):
        with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
            waiting = collections.deque()
            for moment, state, directories in states:
                waiting.append((moment, self.submit(pool, state, directories)))
                if len(waiting) >= WAITING_MAX:
                    self.take(*waiting.popleft())
            while waiting:
                self.take(*waiting.popleft())
        return self

    def submit(self, pool, state, directories):
        key = key_of(state)
        self.distinct.add(key)
        if key not in self.latest:
            folder = self.folder / str(next(self.names))
            write_state(state, directories, folder)
            self.latest[key] = pool.submit(self.read, folder)
            if len(self.latest) > 4 * WAITING_MAX:
                self.latest.popitem(last=False)
        return self.latest[key]

    def take(self, moment, future):
        people, rejected = future.result()
        self.checked += 1
        problem = f"rejected, {rejected}" if rejected else self.load.problem(people, moment)
        if problem:
            self.problems[problem] += 1


def test_F3_every_state_that_a_power_cut_may_leave_keeps_what_was_acknowledged(recorded, scratch, capsys):
    load, recording = recorded
    seed = random.randrange(1 << 32)
    checker = Checker(load, scratch).run(states_of(recording, STATES, random.Random(seed)))
    operations = recording.calls
    with capsys.disabled():
        print(
            f"F3: seed {seed}, {operations} recorded calls in {recording.lives} lives, {len(recording.events) + 1} "
            f"prefixes, {checker.checked} states, {len(checker.distinct)} of them distinct, {load.acknowledged} "
            f"acknowledged calls; {sum(checker.problems.values())} wrong"
        )
    assert not checker.problems, checker.problems.most_common(5)
    if STATES >= STATES_OF_THE_ROW:
        assert operations >= OPERATIONS_OF_THE_ROW and checker.checked >= STATES


@pytest.mark.parametrize("ignored", ["fdatasync", "fsync"])
def test_F3_a_recording_without_syncs_loses_acknowledged_calls(recorded, scratch, ignored):
    """Proves the test above: `fsync` is that of directories, without which names are lost."""
    load, recording = recorded
    states = states_of(recording, SABOTAGED_STATES, random.Random(3), ignoring={ignored})
    problems = Checker(load, scratch).run(states).problems
    assert sum(count for text, count in problems.items() if "lost" in text or "rejected" in text) >= 5, problems


def cut(load, moment, state, directories, folder, kept):
    """Starts the server on a state and sends all calls again that had been sent at that moment."""
    write_state(state, directories, folder)
    server = Server(folder, *FLAGS)
    try:
        with server.start().channel() as channel:
            stub = profiles_pb2_grpc.ProfilesStub(channel)
            for register in load.registers:
                problem = load.register_problem(register, value_of(stub, register), moment)
                assert problem is None, problem
            for writer in load.writers_at(moment):
                kept["sent"] += writer.sent
                kept["acknowledged"] += len(writer.acknowledged)
                kept["stored"] += writer.send_again(stub)
    finally:
        server.stop(signal.SIGKILL)
        shutil.rmtree(folder)


def value_of(stub, register):
    """The value of a register as a client reads it."""
    reader = histories.SharedRegister()
    reader.who = register.who
    assert reader.read(stub)
    return reader.operations[0].value


def test_F2_a_power_cut_at_any_moment_loses_no_acknowledged_write(recorded, tmp_path, scratch, capsys):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    made, kept, recordings = 0, collections.Counter(), 0
    while made < CUTS:
        folder = tmp_path / str(recordings)
        folder.mkdir()
        load, recording = record(folder) if recordings else recorded
        recordings += 1
        # The moments: so many random ones, in order, as a recording is replayed once.
        chosen = collections.Counter(
            chance.randrange(len(recording.events) + 1) for _ in range(min(CUTS - made, CUTS_PER_RECORDING))
        )
        for index, (moment, disk) in enumerate(recording.replay()):
            for _ in range(chosen[index]):
                state = disk.after_power_cut(chance)
                cut(load, moment, state, disk.directories, scratch / f"{recordings}-{index}-{made}", kept)
                made += 1
    with capsys.disabled():
        print(
            f"F2: seed {seed}, {made} power cuts in {recordings} recordings, {kept['sent']} calls, "
            f"{kept['acknowledged']} acknowledged, {kept['stored']} others stored; 0 lost, 0 partial, 0 applied twice; "
            f"F17: {made * len(load.registers)} histories linearizable"
        )
