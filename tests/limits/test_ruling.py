"""The rules of the code at real stores: the newest living release writes them, and takes back what no code has."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.wait import eventually
from regiment import Queue
from regiment.contracts import Keep, Rule
from regiment.registry import registry
from regiment.task import new_id
from regiment_cli.release import Release
from regiment_limits.duty import AGAIN, EVERY, Ruling
from regiment_limits.ruling import KEY, forget, mend, pools, settle
from regiment_limits.ruling import NEW as NEWLY

_names = itertools.count()
OLD, NEW = Release("1.9", 1.0, "web1:10"), Release("1.10", 2.0, "web2:20")


class Place:
    """A store, and a queue there."""

    def __init__(self, url: str) -> None:
        self.face = Queue(f"rules-{next(_names)}", connector=url)
        self.queue, self.store = self.face.name, self.open()

    def open(self) -> Any:
        return self.face.broker.open("duty")

    def gone(self, one: Release) -> None:
        """Let the tree of this release be seen no more."""
        self.live(one, ttl=0.001)
        eventually(lambda: one.by not in self.store.presence(), 5)

    def live(self, *releases: Release, ttl: float = 60.0) -> None:
        """Let trees of these releases be present."""
        for one in releases:
            host, _, pid = one.by.partition(":")
            tree = json.dumps({"host": host, "pid": int(pid), "release": one.release}).encode()
            self.store.announce(one.by, tree, ttl)

    def old_enough(self, one: Release) -> None:
        """Let it be long ago that this tree has said its rules."""
        self.store.apply(self.queue, [Keep(NEWLY.format(one.by), b"", 0.001)], token=new_id())
        eventually(lambda: self.store.records(self.queue, [NEWLY.format(one.by)]) == [None], 5)

    def rules(self) -> dict[str, Rule | None]:
        return {one.spot[0]: one.rule for one in pools(self.store, self.queue) if one.rule is not None}


@pytest.fixture
def place(url: str) -> Iterator[Place]:
    made = Place(url)
    yield made
    made.store.close()
    made.face.broker.close()


def test_the_rules_of_the_code_are_written_once_and_kept_as_data(place: Place) -> None:
    rules = {"": Rule(at_once=9), "crm": Rule(rate=(10, 60.0), lanes=Rule(at_once=1))}
    assert settle(place.store, place.queue, rules, OLD)
    assert place.rules() == rules
    (one,) = [one for one in pools(place.store, place.queue) if one.spot == ("crm", "")]
    assert one.source == "code" and "1.9 of web1:10" in one.by
    (before,) = place.store.records(place.queue, [KEY])
    assert settle(place.store, place.queue, rules, OLD)
    assert place.store.records(place.queue, [KEY])[0].version == before.version


def test_a_queue_without_rules_is_left_alone(place: Place) -> None:
    assert settle(place.store, place.queue, {}, OLD)
    assert place.store.records(place.queue, [KEY]) == [None] and not place.rules()


def test_the_newest_living_release_decides_and_what_an_older_one_bounds_stays_bounded_while_it_lives(
    place: Place,
) -> None:
    old = {"crm": Rule(at_once=1, weight=5), "sms": Rule(rate=(5, 1.0))}
    new = {"crm": Rule(at_once=2, waiting=9), "new": Rule(at_once=3)}
    both = {"crm": Rule(at_once=1, waiting=9), "sms": Rule(rate=(5, 1.0)), "new": Rule(at_once=3)}
    place.live(OLD, NEW)
    settle(place.store, place.queue, old, OLD)
    assert settle(place.store, place.queue, new, NEW).decides and place.rules() == both
    assert not settle(place.store, place.queue, old, OLD).decides and place.rules() == both
    place.gone(OLD)
    place.old_enough(OLD)
    assert settle(place.store, place.queue, new, NEW).missed == {OLD.by} and place.rules() == both
    assert not settle(place.store, place.queue, new, NEW, sure=[OLD.by]).missed and place.rules() == new


def test_after_a_rollback_the_old_rules_count_when_the_new_release_is_gone(place: Place) -> None:
    old, new = {"crm": Rule(at_once=5)}, {"crm": Rule(at_once=2)}
    place.live(OLD, NEW)
    settle(place.store, place.queue, old, OLD)
    settle(place.store, place.queue, new, NEW)
    assert place.rules() == new
    place.gone(NEW)
    place.old_enough(NEW)
    assert settle(place.store, place.queue, old, OLD, sure=[NEW.by]).decides and place.rules() == old


def test_a_tree_that_is_not_announced_yet_is_not_taken_for_gone(place: Place) -> None:
    """Its worker has written its rules, and its keeper has not said that it is there."""
    place.live(OLD)
    settle(place.store, place.queue, {"crm": Rule(at_once=1)}, NEW)
    assert not settle(place.store, place.queue, {}, OLD, sure=[NEW.by]).missed
    assert place.rules() == {"crm": Rule(at_once=1)}


def test_who_stood_still_before_it_wrote_writes_what_counts_now(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """So long that its lock is over: another tree has said its rules meanwhile."""
    place.live(OLD, NEW)
    settle(place.store, place.queue, {"crm": Rule(at_once=4)}, OLD)
    store, seen = place.open(), list[dict[str, Rule | None]]()
    real = store.rule

    def stands_still(*given: Any, **more: Any) -> None:
        if not seen:
            time.sleep(0.2)
            settle(place.store, place.queue, {"crm": Rule(at_once=1)}, NEW)
            seen.append(place.rules())
        real(*given, **more)

    monkeypatch.setattr("regiment_limits.ruling.LOCKED", 0.1)
    monkeypatch.setattr(store, "rule", stands_still, raising=False)
    settle(store, place.queue, {"crm": Rule(at_once=5)}, OLD)
    assert seen == [{"crm": Rule(at_once=1)}] and place.rules() == {"crm": Rule(at_once=1)}
    store.close()


def test_while_trees_of_three_releases_come_and_go_no_one_sees_more_than_the_smallest(place: Place) -> None:
    trees = [Release(f"1.{n}", float(n), f"web{n}:{n}") for n in range(1, 4)]
    says: list[dict[str, Rule]] = [{"crm": Rule(at_once=1)}, {}, {"crm": Rule(at_once=7), "sms": Rule(at_once=2)}]
    place.live(*trees)
    settle(place.store, place.queue, says[0], trees[0])
    over, seen = threading.Event(), set[Any]()

    def writes(n: int) -> None:
        store = place.open()
        for turn in range(6):
            # The second and the third say the one and the other, as deploys do; the first stays.
            settle(store, place.queue, says[0] if n == 0 else says[(n + turn) % 3], trees[n], look=True)
        store.close()

    def watches() -> None:
        store = place.open()
        while not over.is_set():
            seen.update((one.rule and one.rule.at_once) for one in store.flow(place.queue, [("crm", "")]))
        store.close()

    watcher = threading.Thread(target=watches)
    watcher.start()
    writers = [threading.Thread(target=writes, args=(n,)) for n in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    over.set()
    watcher.join(10)
    assert seen == {1}
    assert place.rules()["crm"] == Rule(at_once=1)


def test_the_last_rule_goes_with_the_code_that_had_it(place: Place) -> None:
    settle(place.store, place.queue, {"crm": Rule(at_once=1)}, OLD)
    settle(place.store, place.queue, {}, NEW, sure=None)
    assert not place.rules()


def test_an_operators_rule_stands_above_those_of_every_release(place: Place) -> None:
    settle(place.store, place.queue, {"crm": Rule(at_once=1)}, OLD)
    place.store.rule(place.queue, ("crm", ""), Rule(at_once=7), operator=True, by="ada@web1")
    settle(place.store, place.queue, {"crm": Rule(at_once=2)}, NEW, sure=None)
    assert mend(place.store, place.queue, {"crm": Rule(at_once=2)}, NEW) == []
    assert place.rules() == {"crm": Rule(at_once=7)}
    place.store.rule(place.queue, ("crm", ""), None, operator=True)
    assert place.rules() == {"crm": Rule(at_once=2)}


def test_what_was_cut_short_is_mended(place: Place) -> None:
    rules = {"crm": Rule(at_once=1), "sms": Rule(at_once=2)}
    settle(place.store, place.queue, rules, OLD)
    place.store.rule(place.queue, ("crm", ""), None)
    place.store.rule(place.queue, ("gone", ""), Rule(at_once=3))
    assert mend(place.store, place.queue, rules, OLD) == ["crm", "gone"]
    assert place.rules() == rules and mend(place.store, place.queue, rules, OLD) == []


def test_all_rules_of_the_code_can_be_taken_back_by_hand(place: Place) -> None:
    settle(place.store, place.queue, {"": Rule(at_once=1), "crm": Rule(at_once=1)}, OLD)
    assert forget(place.store, place.queue) == ["", "crm"] and not place.rules()
    assert forget(place.store, place.queue) == []
    settle(place.store, place.queue, {"crm": Rule(at_once=1)}, OLD)
    assert place.rules()


class Served:
    """A target as the steward shows it."""

    def __init__(self, place: Place, label: str = "app:work") -> None:
        self.label, self.queue, self.spec = label, place.queue, {"connector": "here"}
        self._place = place

    def connect(self) -> Any:
        return self._place.open()

    def at_work(self, seconds: float) -> list[Any]:
        return []


def test_the_duty_keeps_them_and_waits_before_it_takes_a_tree_for_dead(place: Place) -> None:
    settle(place.store, place.queue, {"crm": Rule(at_once=1)}, NEW)
    place.old_enough(NEW)
    duty = Ruling(**OLD.data())
    duty.learn(Served(place), {"pools": {"crm": {"at_once": 9}}})
    assert duty.look(100.0) == AGAIN and place.rules() == {"crm": Rule(at_once=1)}
    place.live(NEW)
    assert duty.look(100.0 + AGAIN) == EVERY and place.rules() == {"crm": Rule(at_once=1)}
    place.gone(NEW)
    assert duty.look(200.0) == AGAIN
    assert duty.look(200.0 + AGAIN) == EVERY and place.rules() == {"crm": Rule(at_once=9)}
    duty.learn(Served(place), {})
    assert duty.look(300.0) == EVERY and not place.rules()


def test_two_targets_of_one_queue_with_different_limits_are_said(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    duty = Ruling(**OLD.data())
    duty.learn(Served(place, "a:work"), {"at_once": 1})
    duty.learn(Served(place, "b:work"), {"at_once": 2})
    assert "limits.conflict" in caplog.text
    duty.look(0.0)
    assert place.rules() == {"": Rule(at_once=2)}


def test_a_duty_of_a_store_that_is_away_looks_again_soon(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from regiment.errors import StoreUnavailable

    def away(self: Served) -> Any:
        raise StoreUnavailable("nobody answers")

    duty = Ruling(**OLD.data())
    duty.learn(Served(place), {"at_once": 1})
    with monkeypatch.context() as patched:
        patched.setattr(Served, "connect", away)
        assert duty.look(0.0) == 1.0
    assert duty.look(1.0) == EVERY and place.rules() == {"": Rule(at_once=1)}
    assert registry().names("extensions")
