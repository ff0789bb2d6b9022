"""The statistics of `make isolation-timing`, and a short form of it.

No time is compared with a number here: only which of two calls, made one after the other, took longer. A machine that
is busy with something else delays both alike.
"""

import random

import pytest

from isolation_timing import Comparison, comparisons, half_interval, probability_of_longer
from isolation_worlds import World

PAIRS = 250
# 250 pairs give an interval of 0.5 +- 0.067; only what is told apart most of the time fails. A difference as small as
# that of the control, 0.40, is for `make isolation-timing` to find.
MARGIN = 0.2
# The interval holds for pairs that are independent, which a machine that changes its pace takes from them; what can be
# told apart can be told apart again.
RUNS = 3


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("timing"))
    yield world
    assert world.stop() == 0


def told_apart(comparison, address):
    """Whether each of several runs tells the two apart."""
    for _ in range(RUNS):
        comparison.times = ([], [])
        if not comparison.run(address, PAIRS).differs(MARGIN):
            return False
    return True


def test_what_exists_elsewhere_takes_no_longer(world):
    for comparison in (one for one in comparisons(world) if not one.is_control):
        is_told_apart = told_apart(comparison, world.server.listen)
        assert len(comparison.statuses) == 1, comparison.name
        assert not is_told_apart, comparison.line()


def test_the_probability_is_that_of_all_pairs():
    chance = random.Random(7)
    first, second = ([chance.randrange(20) for _ in range(count)] for count in (30, 50))
    pairs = [1.0 if one > two else 0.5 if one == two else 0.0 for one in first for two in second]
    assert probability_of_longer(first, second) == pytest.approx(sum(pairs) / len(pairs))


def test_a_shift_of_a_tenth_of_the_spread_is_distinguishable():
    chance = random.Random(7)
    comparison = Comparison("", None, None)
    comparison.times = ([chance.gauss(1.1, 1) for _ in range(10_000)], [chance.gauss(1, 1) for _ in range(10_000)])
    assert comparison.differs()
    comparison.times = ([chance.gauss(1, 1) for _ in range(10_000)], [chance.gauss(1, 1) for _ in range(10_000)])
    assert not comparison.differs() and half_interval(*comparison.times) == pytest.approx(0.0105, abs=0.0001)
