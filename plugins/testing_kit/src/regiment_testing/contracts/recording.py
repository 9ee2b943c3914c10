"""The promises of `history`: what is recorded counts once, stands in its minute and hour, and takes no more room than is said."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import cast

import pytest

from regiment.contracts import MOST_NAMES, OTHER_NAMES, OUTCOMES, STEPS, Connector, Past, Recording, Tallied, Terms
from regiment.errors import StoreError
from regiment_testing.contracts.bench import Bench, Open, extra, fresh, shared, together

DAY = 86_400.0
NONE = (0,) * len(OUTCOMES)


def able(connector: Connector) -> Recording:
    """The connector, of which these checks are asked because it has the verbs."""
    return cast(Recording, connector)


def ended(task: str, ms: int = 0, **counts: int) -> Tallied:
    """So many ends of each kind."""
    return Tallied(task, tuple(counts.get(name, 0) for name in OUTCOMES), ms)


def total(slices: Sequence[Past]) -> dict[str, Tallied]:
    """All slices together, by name; without what did not end."""
    found: dict[str, tuple[Counter[str], int]] = {}
    for slice in slices:
        for task, counts, ms in slice.ended:
            known, before = found.get(task, (Counter(), 0))
            found[task] = known + Counter(dict(zip(OUTCOMES, counts, strict=True))), before + ms
    return {task: ended(task, ms, **counts) for task, (counts, ms) in found.items()}


def each(connector: Recording, *queues: str) -> list[dict[str, Tallied]]:
    """What the minutes, the hours and "ever" say, each put together."""
    return [
        total(connector.history(queues, "minute", 3600)),
        total(connector.history(queues, "hour", DAY)),
        total(connector.history(queues, "ever", 0)),
    ]


@extra("history")
class RecordingContract(Bench):
    """record, history."""

    def test_it_has_the_verbs_of_history(self, open: Open) -> None:
        """record and history."""
        assert isinstance(open("keep"), Recording)

    def test_what_is_recorded_adds_up_in_its_minute_its_hour_and_ever(self, open: Open) -> None:
        """By queue, task and outcome, with the milliseconds; of several sources, and by any connection."""
        connector = able(open("keep"))
        before = time.time()
        assert connector.record("q", "a", 1, [ended("send", 1500, success=3, dead=1), ended("", 7, retry=2)])
        assert able(open("keep")).record("q", "b", 1, [ended("send", 500, success=2, timeout=1)])
        assert connector.record("other", "a", 1, [ended("é.$x", 1, cancelled=1)])
        wanted = {"send": ended("send", 2000, success=5, dead=1, timeout=1), "": ended("", 7, retry=2)}
        assert each(able(open("look")), "q") == [wanted] * 3
        assert each(connector, "other") == [{"é.$x": ended("é.$x", 1, cancelled=1)}] * 3
        assert each(connector, "none") == [{}] * 3
        for step in ("minute", "hour"):
            slices = connector.history(["q"], step, DAY)
            assert all(one.queue == "q" and one.at % STEPS[step] == 0 for one in slices)
            assert all(before - STEPS[step] - 60 < one.at < time.time() + 60 for one in slices)
            assert [one.at for one in slices] == sorted({one.at for one in slices})
            assert all([row.task for row in one.ended] == sorted(row.task for row in one.ended) for one in slices)
        assert [one.at for one in connector.history(["q"], "ever", 0)] == [0]

    def test_a_call_that_is_repeated_counts_once(self, open: Open) -> None:
        """A number that is not above the last one of its source changes nothing; another source and another queue count for themselves."""
        connector, again = able(open("keep")), able(open("keep"))
        assert connector.record("q", "a", 1, [ended("send", success=1)])
        assert not again.record("q", "a", 1, [ended("send", success=1)])
        assert connector.record("q", "a", 2, [ended("send", success=10)])
        assert not connector.record("q", "a", 1, [ended("send", success=1)])
        assert not connector.record("q", "a", 2, [ended("send", success=10)])
        assert connector.record("q", "a", 5, [ended("send", success=100)])
        assert connector.record("q", "b", 1, [ended("send", success=1000)])
        assert connector.record("other", "a", 1, [ended("send", success=7)])
        assert each(connector, "q") == [{"send": ended("send", success=1111)}] * 3

    def test_several_queues_are_read_at_once_in_their_order(self, open: Open) -> None:
        """Those in which nothing ended are left out."""
        connector = able(open("keep"))
        for queue in ("b", "a"):
            connector.record(queue, "s", 1, [ended(queue, success=1)])
        for step in ("minute", "hour", "ever"):
            found = connector.history(["b", "none", "a"], step, DAY)
            assert [(one.queue, one.ended[0].task) for one in found] == [("b", "b"), ("a", "a")]
        assert list(connector.history([], "hour", DAY)) == []

    def test_only_so_many_names_stay_apart(self, open: Open) -> None:
        """What ends under others is added to one; names that are known go on to count for themselves."""
        connector = able(open("keep"))
        first = [ended(f"task {number}", 1, success=1) for number in range(MOST_NAMES)]
        connector.record("q", "a", 1, first)
        connector.record("q", "a", 2, [ended(f"more {number}", 1, failure=1) for number in range(MOST_NAMES)])
        connector.record("q", "a", 3, first[-1:])
        for found in each(connector, "q"):
            assert len(found) == MOST_NAMES + 1
            assert found[OTHER_NAMES] == ended(OTHER_NAMES, MOST_NAMES, failure=MOST_NAMES)
            assert found["task 0"] == ended("task 0", 1, success=1)
            assert found[first[-1].task].counts[0] == 2

    def test_large_numbers_are_kept_exactly(self, open: Open) -> None:
        """Up to two to the power of 50."""
        connector, most = able(open("keep")), 1 << 49
        for number in (1, 2):
            connector.record("q", "a", number, [ended("send", most, success=most - number, dead=1)])
        assert each(connector, "q") == [{"send": ended("send", 2 * most, success=2 * most - 3, dead=2)}] * 3

    def test_what_makes_no_sense_is_refused_and_nothing_of_it_counts(self, open: Open) -> None:
        """ValueError for too many names, for a number below 0, and for fewer counts than there are outcomes; its number is not taken."""
        connector = able(open("keep"))
        for wrong in (
            [ended(str(number)) for number in range(MOST_NAMES + 1)],
            [ended("a", success=1), ended("b", -1)],
            [ended("a", success=-1)],
            [Tallied("a", (1,))],
        ):
            with pytest.raises(ValueError):
                connector.record("q", "s", 1, wrong)
        assert each(connector, "q") == [{}] * 3
        assert connector.record("q", "s", 1, [ended("a", success=1)])

    def test_history_makes_no_queue_exist_and_outlives_one(self, open: Open) -> None:
        """It stands beside a queue that is empty or never was, and looking makes nothing."""
        connector = able(open("keep"))
        assert each(able(open("look")), "q") == [{}] * 3
        connector.record("q", "a", 1, [ended("send", success=1)])
        assert list(open("look").queues()) == []
        connector.join("q", "c", Terms())
        connector.release("q", "c", (), {}, close=True)
        connector.purge("q")
        assert each(connector, "q") == [{"send": ended("send", success=1)}] * 3

    @shared
    def test_several_keepers_at_once_lose_nothing(self, open: Open) -> None:
        """Processes that record at the same moment, each of its calls twice."""

        def keeper(source: str) -> None:
            connector = able(open("keep"))
            for number in range(1, 11):
                for _ in range(2):
                    connector.record("q", source, number, [ended("send", 1, success=1), ended(source, success=1)])
            connector.close()

        names = [fresh("source") for _ in range(4)]
        together([lambda name=name: keeper(name) for name in names])  # type: ignore[misc]
        wanted = {"send": ended("send", 40, success=40), **{name: ended(name, success=10) for name in names}}
        assert each(able(open("look")), "q") == [wanted] * 3

    def test_a_closed_connector_has_no_history(self, open: Open) -> None:
        """Each verb is a StoreError, and after it was opened again everything is there."""
        connector = able(open("keep"))
        connector.record("q", "a", 1, [ended("send", success=1)])
        connector.close()
        with pytest.raises(StoreError):
            connector.record("q", "a", 2, [ended("send", success=1)])
        with pytest.raises(StoreError):
            connector.history(["q"], "hour", DAY)
        connector.open("keep")
        assert each(connector, "q") == [{"send": ended("send", success=1)}] * 3
