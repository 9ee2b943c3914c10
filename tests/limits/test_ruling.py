"""The rules of the code at real stores: the newest living release writes them, and takes back what no code has."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness.wait import eventually
from regiment import Queue
from regiment.contracts import Rule
from regiment.registry import registry
from regiment_cli.release import Release
from regiment_limits.duty import AGAIN, EVERY, Ruling
from regiment_limits.ruling import KEY, forget, mend, pools, settle

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


def test_the_newest_living_release_decides_and_a_rollback_counts_when_it_is_gone(place: Place) -> None:
    old, new = {"crm": Rule(at_once=1), "sms": Rule(at_once=5)}, {"crm": Rule(at_once=2)}
    place.live(OLD, NEW)
    settle(place.store, place.queue, old, OLD)
    assert settle(place.store, place.queue, new, NEW) and place.rules() == new  # a pool that is gone loses its rule
    assert settle(place.store, place.queue, old, OLD) is False and place.rules() == new
    place.gone(NEW)
    assert settle(place.store, place.queue, old, OLD, sure=False) is None and place.rules() == new
    assert settle(place.store, place.queue, old, OLD) and place.rules() == old


def test_the_last_rule_goes_with_the_code_that_had_it(place: Place) -> None:
    settle(place.store, place.queue, {"crm": Rule(at_once=1)}, OLD)
    settle(place.store, place.queue, {}, NEW)
    assert not place.rules()


def test_an_operators_rule_stands_above_those_of_every_release(place: Place) -> None:
    settle(place.store, place.queue, {"crm": Rule(at_once=1)}, OLD)
    place.store.rule(place.queue, ("crm", ""), Rule(at_once=7), operator=True, by="ada@web1")
    settle(place.store, place.queue, {"crm": Rule(at_once=2)}, NEW)
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
    assert settle(place.store, place.queue, {"crm": Rule(at_once=1)}, OLD) and place.rules()


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
    settle(place.store, place.queue, {"crm": Rule(at_once=9)}, NEW)
    duty = Ruling(**OLD.data())
    duty.learn(Served(place), {"pools": {"crm": {"at_once": 1}}})
    assert duty.look(100.0) == AGAIN and place.rules() == {"crm": Rule(at_once=9)}
    place.live(NEW)
    assert duty.look(100.0 + AGAIN) == EVERY and place.rules() == {"crm": Rule(at_once=9)}
    place.gone(NEW)
    assert duty.look(200.0) == AGAIN
    assert duty.look(200.0 + AGAIN) == EVERY and place.rules() == {"crm": Rule(at_once=1)}
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
