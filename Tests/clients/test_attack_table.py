"""The short form of `make attack`: one dose of each flood, beside a client that behaves. Times are not compared
here."""

import pytest

import attack_table
import attacks

DOSE = 10_000


@pytest.mark.parametrize("name", attacks.FLOODS)
def test_a_flood_is_disconnected_and_others_are_served(name):
    result = attack_table.run(name, DOSE, seconds=0, calls=10)
    assert list(result.faults(with_times=False)) == []


def test_every_row_of_attacks_has_a_flood():
    assert {row for name in attacks.FLOODS for row in name.split()[:1]} == {f"A{number}" for number in range(1, 16)}
    assert attack_table.BOUNDED <= set(attacks.FLOODS)


def test_a_table_reports_what_is_not_as_it_should_be():
    def result(name, cuts=1, growth=0, times=(1.0,), failures=0):
        attack = {"cuts": cuts, "goaways": [], "sent_until_cut": 1, "frames": 1}
        honest = {"milliseconds": list(times), "failures": failures}
        return attack_table.Result(name, attack, honest, growth, 0, 1)

    assert list(result("A4 C7 PING").faults()) == []
    assert list(result("A4 C7 PING", cuts=0).faults()) == ["it was not cut off"]
    assert list(result("A13 half bodies", cuts=0).faults()) == []
    assert list(result("A4 C7 PING", growth=17 << 20).faults()) == ["memory grew by 17 MiB"]
    assert list(result("A4 C7 PING", times=[1.0] * 50 + [101.0]).faults()) == ["p99 of 101 ms"]
    assert list(result("A4 C7 PING", times=[101.0], failures=2).faults(with_times=False)) == [
        "2 calls of the other client failed"
    ]
