"""Histories of reads and writes of one key, and whether they are linearizable (F17).

A history is linearizable if each operation can be given one moment between its call and its response such that every
read returns the latest write before it. Two checks that share no code: by zones, for values that are written once
each, which takes O(n log n) and any length (Gibbons and Korach, "Testing shared memories", 1997); and by search, for
short histories (Wing and Gong, "Testing and verifying concurrent objects", 1993).
"""

import bisect
import collections
import dataclasses
import math
import threading
import time

import grpc

from conftest import Failure, custom, get, profiles_pb2, types_pb2, unique
from journal import NOT_APPLIED

# The value of a key that nobody has written.
INITIAL = 0
# States that a search may visit: about a second.
SEARCH_STATES_MAX = 200_000
# Longer histories are checked by zones alone.
SEARCH_OPERATIONS_MAX = 150


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """A read or a write of `value`; `end` is infinite for a write whose outcome is unknown."""

    is_write: bool
    value: int
    start: float
    end: float


def write(value, start, end=math.inf):
    return Operation(True, value, start, end)


def read(value, start, end):
    return Operation(False, value, start, end)


class NotLinearizable(AssertionError):
    """A history that no order of its operations explains."""


def check(operations):
    """Raises `NotLinearizable` for a history in which each value is written once at most; returns whether it was short
    enough to be searched, too."""
    problem = problem_of_zones(operations)
    if problem:
        raise NotLinearizable(problem)
    if len(operations) > SEARCH_OPERATIONS_MAX:
        return False
    if not has_order(operations):
        raise NotLinearizable("no order of the operations explains the reads")
    return True


def problem_of_zones(operations):
    """What is wrong with a history; None if it is linearizable.

    All operations on a value are neighbours in a linearization. If one of them ends before another begins, the value
    is the current one from the first end to the last start: a forward zone, and these may not overlap. Otherwise all
    of them share a moment, and the zone between the last start and the first end may not lie inside a forward zone.
    """
    clusters = collections.defaultdict(list)
    writes = {INITIAL: write(INITIAL, -math.inf, -math.inf)}
    for operation in operations:
        if operation.is_write:
            if operation.value in writes:
                raise ValueError(f"{operation.value} is written twice")
            writes[operation.value] = operation
        else:
            clusters[operation.value].append(operation)
    for value, reads in clusters.items():
        if value not in writes:
            return f"{value} was read, and never written"
        if min(operation.end for operation in reads) < writes[value].start:
            return f"{value} was read before it was written"
    forward, backward = [], []
    for value, of_write in writes.items():
        # A write of unknown outcome that nobody has read may never have happened.
        if of_write.end == math.inf and value not in clusters:
            continue
        cluster = [of_write, *clusters.get(value, ())]
        first_end = min(operation.end for operation in cluster)
        last_start = max(operation.start for operation in cluster)
        if first_end < last_start:
            forward.append((first_end, last_start, value))
        else:
            backward.append((last_start, first_end, value))
    return _problem_between(sorted(forward), backward)


def _problem_between(forward, backward):
    for (_, end, value), (start, _, other) in zip(forward, forward[1:]):
        if start < end:
            return f"{other} was current while {value} was"
    starts = [start for start, _, _ in forward]
    for start, end, value in backward:
        index = bisect.bisect_left(starts, start) - 1
        if index >= 0 and end < forward[index][1]:
            return f"{value} was written and overwritten while {forward[index][2]} was current"
    return None


def has_order(operations):
    """Whether some order of the operations explains all reads.

    Depth first over the operations that may come next, those that began before any other remaining one has ended; a
    set of done operations with a current value is visited once.
    """
    operations = sorted(operations, key=lambda operation: operation.start)
    required = sum(1 << index for index, operation in enumerate(operations) if operation.end < math.inf)
    seen, stack = set(), [(0, INITIAL)]
    while stack:
        state = stack.pop()
        if state in seen:
            continue
        seen.add(state)
        if len(seen) > SEARCH_STATES_MAX:
            raise RuntimeError(f"{len(operations)} operations need more than {SEARCH_STATES_MAX} states")
        done, current = state
        if done & required == required:
            return True
        stack += _next_states(operations, done, current)
    return False


def _next_states(operations, done, current):
    earliest_end = math.inf
    candidates = []
    for index, operation in enumerate(operations):
        if operation.start > earliest_end:
            break
        if done >> index & 1:
            continue
        earliest_end = min(earliest_end, operation.end)
        candidates.append((index, operation))
    for index, operation in candidates:
        if operation.start <= earliest_end and (operation.is_write or operation.value == current):
            yield done | 1 << index, operation.value


def until(operations, moment):
    """The history as it was known at a moment: later operations are gone, open writes of unknown outcome."""
    for operation in operations:
        if operation.end < moment:
            yield operation
        elif operation.start < moment and operation.is_write:
            yield write(operation.value, operation.start)


class SharedRegister:
    """A person whose attribute `n` is written and read by many clients at the same time; each value is written once.

    Times are those of the system's clock, in seconds, so that they can be compared with those of a trace.
    """

    def __init__(self, padding=0):
        self.who = custom(unique("shared"))
        self.padding = {f"p{index}": types_pb2.Value(string="x" * 300) for index in range(padding)}
        self.lock = threading.Lock()
        self.sent = 0
        self.operations = []

    def write(self, stub, timeout=20):
        """Writes the next value; returns whether it was acknowledged."""
        with self.lock:
            self.sent += 1
            value = self.sent
        values = {"n": types_pb2.Value(integer=value), **self.padding}
        request = profiles_pb2.IdentifyRequest(
            project="default", custom_id=self.who.custom_id, attributes=types_pb2.AttributePatch(set=values)
        )
        start, end = time.time(), math.inf
        try:
            stub.Identify(request, timeout=timeout)
            end = time.time()
        except grpc.RpcError as error:
            # Rejected for sure, so that nobody may ever read it.
            if Failure(error).reason in NOT_APPLIED:
                return False
        with self.lock:
            self.operations.append(write(value, start, end))
        return end < math.inf

    def read(self, stub, timeout=20):
        """Reads the value; returns whether there was a response."""
        start = time.time()
        try:
            profile = stub.GetProfile(get(self.who), timeout=timeout).profile
            value = profile.attributes["n"].integer
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                return False
            value = INITIAL
        with self.lock:
            self.operations.append(read(value, start, time.time()))
        return True

    def run(self, stub, stop, action):
        """Writes or reads until `stop` is set or a call fails."""
        while not stop.is_set() and action(stub):
            pass

    def runs(self, stub, stop, writers=2, readers=2):
        """Arguments of the threads that use it."""
        return [(self.run, (stub, stop, self.write))] * writers + [(self.run, (stub, stop, self.read))] * readers

    def check(self):
        """Checks its history; returns whether it was short enough to be searched."""
        return check(self.operations)
