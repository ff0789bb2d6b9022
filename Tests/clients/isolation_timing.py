"""`make isolation-timing`: whether the time of a response tells what exists in another project.

Each comparison makes ISOLATION_PAIRS (10,000) pairs of calls on one connection, one call for what exists and one for
what does not, in random order within the pair, so that both meet the same load of the machine. The test is that of Mann
and Whitney: P, the probability that a call for what exists takes longer than one for what does not (ties count half),
is 0.5 if both have the same distribution. The times count as indistinguishable if the 99 % confidence interval of P
lies within 0.5 +- 0.03: an equivalence test, which more calls make stricter, not more lenient. With 10,000 pairs the
interval is 0.5 +- 0.0105. Two controls show what the test can see: the same call twice, and a profile of the caller's
own project beside none, which do take different times. Environment: PROFILED (the binary), ISOLATION_PAIRS.
"""

import gc
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

from conftest import profiles_pb2, types_pb2
from isolation_worlds import FAILED_LOGINS_PER_ADDRESS, SOURCES, Base, Person, World, altered, new_key
from raw import Raw, message

PATH = "/profiles.v1.Profiles/GetProfile"
PAIRS = int(os.environ.get("ISOLATION_PAIRS", "10000"))
# Of P around 0.5, and the quantile of the normal distribution of a two-sided interval of 99 %.
MARGIN, QUANTILE = 0.03, 2.576
PEOPLE = 1_000


def probability_of_longer(first, second):
    """Mann and Whitney's U as a share: P(a value of `first` is greater than one of `second`), ties as half."""
    values = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, index = 0.0, 0
    while index < len(values):
        end = index
        while end < len(values) and values[end][0] == values[index][0]:
            end += 1
        # All equal values have the mean of their ranks, which begin at 1.
        ranks += (index + 1 + end) / 2 * sum(1 for _, of in values[index:end] if of == 0)
        index = end
    count = len(first)
    return (ranks - count * (count + 1) / 2) / (count * len(second))


def half_interval(first, second):
    """Half of the confidence interval of P, for two equal distributions."""
    one, two = len(first), len(second)
    return QUANTILE * ((one + two + 1) / (12 * one * two)) ** 0.5


class Comparison:
    """Two requests, or two keys, whose responses take a time."""

    def __init__(self, name, existing, missing, is_control=False, is_failed_login=False):
        self.name, self.existing, self.missing = name, existing, missing
        self.is_control, self.is_failed_login = is_control, is_failed_login
        self.times, self.statuses = ([], []), set()

    def run(self, address, pairs):
        raw, calls = self.connect(address), 0
        for _ in range(pairs):
            order = [0, 1]
            random.shuffle(order)
            for which in order:
                if self.is_failed_login and calls % FAILED_LOGINS_PER_ADDRESS == 0 and calls:
                    raw.socket.close()
                    # Failed logins of one address are delayed, whatever the key.
                    raw = self.connect(address)
                calls += 1
                key, request = self.missing if which else self.existing
                self.times[which].append(self.measure(raw, key, request))
                raw.frames.clear()
        raw.socket.close()
        return self

    def connect(self, address):
        raw = Raw(address, source=next(SOURCES))
        raw.open_window()
        return raw

    def measure(self, raw, key, request):
        held = []
        send, raw.send = raw.send, held.append
        stream = raw.headers(("authorization", f"Bearer {key}"), path=PATH)
        raw.data(stream, message(request))
        raw.send = send
        bytes_of_call = b"".join(held)
        begin = time.perf_counter_ns()
        raw.send(bytes_of_call)
        response = raw.response(stream)
        end = time.perf_counter_ns()
        self.statuses.add((response.grpc, len(response.data)))
        return end - begin

    @property
    def probability(self):
        return probability_of_longer(*self.times)

    def differs(self, margin=MARGIN):
        """Whether the times tell which of the two it was."""
        return abs(self.probability - 0.5) + half_interval(*self.times) > margin

    def line(self):
        medians = [statistics.median(times) / 1e3 for times in self.times]
        return (
            f"{self.name:58} P {self.probability:.4f} +- {half_interval(*self.times):.4f}, medians "
            f"{medians[0]:.1f} and {medians[1]:.1f} us, "
            f"{'distinguishable' if self.differs() else 'indistinguishable'}"
        )


def get(project, **identifier):
    return profiles_pb2.GetProfileRequest(
        project=project, identifier=types_pb2.Identifier(**identifier)
    ).SerializeToString()


def comparisons(world):
    """Everything that is looked up by what a caller sends, existing and missing."""
    mine, them = Base(world, "mine"), Base(world, "them")
    key, other = mine.new_key().key, mine.new_key().key
    people = [Person(number, "bet", them) for number in range(PEOPLE)]
    for person in people:
        person.exist()
    own = Person(0, "own", mine)
    person, nobody, profile_id = people[0], Person(0, "non"), own.profile_id
    theirs = person.profile_id
    return [
        Comparison(
            "control: the same call",
            (key, get("mine", custom_id=nobody.custom_id)),
            (key, get("mine", custom_id=nobody.custom_id)),
        ),
        Comparison(
            "control: an own profile, and none",
            (key, get("mine", profile_id=profile_id)),
            (key, get("mine", profile_id=altered(profile_id))),
            is_control=True,
        ),
        Comparison(
            "a custom ID of another project, and of nobody",
            (key, get("mine", custom_id=person.custom_id)),
            (key, get("mine", custom_id=nobody.custom_id)),
        ),
        Comparison(
            "an installation of another project, and of nobody",
            (key, get("mine", installation_id=person.installation_id)),
            (key, get("mine", installation_id=nobody.installation_id)),
        ),
        Comparison(
            "a profile id of another project, and of nobody",
            (key, get("mine", profile_id=theirs)),
            (key, get("mine", profile_id=altered(theirs))),
        ),
        Comparison(
            "another project, and none",
            (key, get("them", custom_id=person.custom_id)),
            (key, get("nope", custom_id=nobody.custom_id)),
        ),
        Comparison(
            "a wrong secret of a key, and a key that does not exist",
            (altered(other), get("mine", custom_id=nobody.custom_id)),
            (new_key(), get("mine", custom_id=nobody.custom_id)),
            is_failed_login=True,
        ),
        Comparison(
            "a wrong secret of an operator's key, and none",
            (altered(world.operator_key), get("mine", custom_id=nobody.custom_id)),
            (new_key(), get("mine", custom_id=nobody.custom_id)),
            is_failed_login=True,
        ),
    ]


def main():
    gc.disable()
    failed = False
    print(f"{PAIRS:,} pairs each; P: the probability that the existing one takes longer (Mann-Whitney)")
    with tempfile.TemporaryDirectory(prefix="isolation-timing-") as folder:
        world = World(pathlib.Path(folder))
        try:
            for comparison in comparisons(world):
                comparison.run(world.server.listen, PAIRS)
                print(comparison.line(), flush=True)
                failed |= comparison.differs() != comparison.is_control
        finally:
            world.stop()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
