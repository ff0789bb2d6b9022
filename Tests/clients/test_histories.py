"""The checks of histories (F17) accept what is linearizable and nothing else, and agree with each other."""

import math
import random

import pytest

import histories
from histories import NotLinearizable, check, has_order, problem_of_zones, read, until, write

LINEARIZABLE = {
    "nothing": [],
    "a read before any write": [read(0, 1, 2)],
    "one after another": [write(1, 1, 2), read(1, 3, 4), write(2, 5, 6), read(2, 7, 8)],
    "a read beside a write returns the old value": [write(1, 1, 2), write(2, 3, 6), read(1, 4, 5), read(2, 7, 8)],
    "a read beside a write returns the new value": [write(1, 1, 2), write(2, 3, 6), read(2, 4, 5)],
    "two writes at the same time, in the other order": [write(1, 1, 5), write(2, 2, 4), read(2, 6, 7)],
    "an unknown write that happened late": [write(1, 1), write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)],
    "an unknown write that never happened": [write(1, 1), write(2, 2, 3), read(2, 4, 5)],
}
NOT_LINEARIZABLE = {
    "a lost write": [write(1, 1, 2), read(0, 3, 4)],
    "a value that nobody wrote": [write(1, 1, 2), read(3, 3, 4)],
    "a read of the future": [read(1, 1, 2), write(1, 3, 4)],
    "a stale read": [write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)],
    "a value that was read and is gone again": [write(1, 1, 2), write(2, 3), read(2, 4, 5), read(1, 6, 7)],
    "two reads in opposite orders": [
        write(1, 1, 8),
        write(2, 1, 8),
        read(1, 2, 3),
        read(2, 4, 5),
        read(1, 6, 7),
    ],
    "a write inside the time of another value": [write(1, 1, 2), read(1, 9, 10), write(2, 4, 5)],
    "a write that was overwritten, read again": [write(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)],
}


@pytest.mark.parametrize("name", LINEARIZABLE)
def test_F17_a_linearizable_history_is_accepted(name):
    assert check(LINEARIZABLE[name])


@pytest.mark.parametrize("name", NOT_LINEARIZABLE)
def test_F17_a_wrong_history_is_found_by_both_checks(name):
    assert problem_of_zones(NOT_LINEARIZABLE[name])
    assert not has_order(NOT_LINEARIZABLE[name])
    with pytest.raises(NotLinearizable):
        check(NOT_LINEARIZABLE[name])


def random_history(chance):
    """Operations with random times; half of the reads return any value that is written anywhere."""
    count = chance.randrange(1, 8)
    operations, values = [], 0
    for _ in range(count):
        start = chance.random() * 10
        end = start + chance.random() * 4
        if chance.random() < 0.5:
            values += 1
            operations.append(write(values, start, math.inf if chance.random() < 0.2 else end))
        else:
            operations.append((start, end))
    return [
        read(chance.randrange(values + 1), *operation) if isinstance(operation, tuple) else operation
        for operation in operations
    ]


def test_F17_both_checks_agree_on_20000_random_histories():
    chance = random.Random(17)
    accepted = 0
    for _ in range(20_000):
        history = random_history(chance)
        by_zones, by_search = problem_of_zones(history) is None, has_order(history)
        assert by_zones == by_search, history
        accepted += by_zones
    # Neither kind is rare.
    assert 4_000 < accepted < 16_000


def test_F17_a_value_that_is_written_twice_is_no_history():
    with pytest.raises(ValueError):
        problem_of_zones([write(1, 1, 2), write(1, 3, 4)])


def test_F17_a_search_is_bounded(monkeypatch):
    monkeypatch.setattr(histories, "SEARCH_STATES_MAX", 100)
    with pytest.raises(RuntimeError):
        has_order([write(value, 1, 10) for value in range(1, 12)] + [read(0, 11, 12)])


def test_F17_a_history_that_is_cut_keeps_open_writes_as_unknown():
    history = [write(1, 1, 2), write(2, 3, 8), read(1, 4, 5), read(2, 4, 9), write(3, 7, 8)]
    assert list(until(history, 6)) == [write(1, 1, 2), write(2, 3), read(1, 4, 5)]
