"""The brake of what is parked: few are not slowed, many come back evenly, and a store's worth of them is told of once."""

from __future__ import annotations

from regiment_runner.worker.parking import RATE, Brake


def test_few_come_back_when_they_are_meant_to() -> None:
    brake = Brake()
    assert [brake(1.0) for _ in range(RATE)] == [1.0] * RATE
    assert brake.told() == 0


def test_many_come_back_evenly_and_are_not_each_told_of() -> None:
    brake = Brake()
    delays = [brake(1.0) for _ in range(50 * RATE)]
    assert delays == sorted(delays) and 49 < delays[-1] <= 50
    for second in range(2, 49):
        assert sum(second < one <= second + 1 for one in delays) <= RATE + 1
    assert brake.told() is not None and brake.told() is None


def test_a_longer_delay_of_its_own_is_kept() -> None:
    brake = Brake()
    for _ in range(2 * RATE):
        brake(1.0)
    assert brake(60.0) == 60.0
