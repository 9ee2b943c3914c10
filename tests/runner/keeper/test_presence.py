"""What a tree tells of itself, and how often."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment import __version__
from regiment_cli.serving import trees_of
from regiment_runner.keeper.presence import Presence
from regiment_runner.keeper.store import Store
from regiment_runner.keeper.ward import Ward
from regiment_runner.shared import page
from regiment_runner.shared.page import Page

KNOWN = {
    "label": "shop.tasks:mail",
    "code": "0123abcd",
    "tasks": [f"send_letter_{number}" for number in range(10)],
    "reads": ["json", "msgpack"],
    "plugins": ["cli", "local", "redis", "runner", "serializers"],
}


class Kept(Store):
    """A store that keeps what it is asked for, and does nothing."""

    def __init__(self) -> None:
        super().__init__({}, lambda: None)
        self.asked = list[Any]()

    def ask(self, key: Any, do: Any, **how: Any) -> None:
        self.asked.append(key)


@pytest.fixture
def wards(tmp_path: Path) -> Iterator[list[Ward]]:
    store, made = Kept(), list[Ward]()
    spec = {
        "queue": "mail",
        "lease": 30.0,
        "give_back_after": None,
        "settle_within": 1.0,
        "delivery": "",
        "known": KNOWN,
    }
    for number in range(8):
        sheet = Page(tmp_path / f"w{number}.page", create=True)
        sheet.words[page.PID] = os.getpid() + number
        made.append(Ward(f"w{number}", sheet.path, os.pidfd_open(os.getpid()), spec, store))
        sheet.close()
    yield made
    for ward in made:
        ward.close()


def test_the_record_says_what_the_workers_are_and_know(wards):
    [tree] = trees_of([Presence("me").record(wards)])
    assert (tree.regiment, tree.plugins) == (__version__, set(KNOWN["plugins"]))
    [target] = tree.targets
    assert target[:3] == ("shop.tasks:mail", "mail", "0123abcd")
    assert target.tasks == set(KNOWN["tasks"])
    assert (target.reads, target.workers) == ({"json", "msgpack"}, 8)


def test_a_worker_costs_no_more_than_300_bytes(wards):
    assert len(Presence("me").record(wards)) / len(wards) < 300


def test_the_record_says_how_a_worker_is_as_far_as_that_can_be_seen(wards):
    one, *others = json.loads(Presence("me").record(wards))["workers"]
    assert one["pid"] == os.getpid() and one["now"] == [] and one["state"]
    assert one["memory"] > 1 and one["cpu"] >= 0 and one["since"] <= time.time() + 10
    assert all("memory" not in other or other["memory"] >= 0 for other in others), "a process that is gone has none"


def test_two_states_of_the_code_of_one_target_are_told_apart(wards):
    wards[1].spec = {**wards[1].spec, "known": {**KNOWN, "code": "ffffffff"}}
    [tree] = trees_of([Presence("me").record(wards)])
    assert [(one.code, one.workers) for one in tree.targets] == [("0123abcd", 7), ("ffffffff", 1)]


def test_troubles_of_the_last_hour_are_counted_and_orderly_ends_are_not(wards):
    presence = Presence("me")
    for kind in ("crash", "crash", "oom", "burst", "max_tasks_per_run"):
        presence.ended(wards[0], {"kind": kind, "target": "shop.tasks:mail"})
    [tree] = trees_of([presence.record(wards)])
    assert tree.targets[0].ends == {"crash": 2, "oom": 1}


def test_workers_that_join_are_told_of_soon_and_those_that_take_the_place_of_others_are_not(wards):
    presence, store = Presence("me"), wards[0].store
    presence.joined(store, wards)
    assert store.announce_at < float("inf")
    presence.tell(store, wards, 30.0)
    presence.tell(store, wards, 30.0)
    assert store.asked == [("presence",)], "nothing has changed since"
    presence.joined(store, wards)
    assert store.announce_at == float("inf"), "as many as were told of"


def test_a_record_of_an_older_release_is_read_and_one_that_is_damaged_hides_no_other():
    old = {"host": "elsewhere", "pid": 1, "release": "", "workers": [{"pid": 2, "queue": "q", "tasks": 3, "rate": 1.0}]}
    damaged = {**old, "pid": 5, "targets": [{"label": "x"}]}
    [tree] = trees_of(json.dumps(one).encode() for one in (damaged, old))
    assert (tree.pid, tree.targets, tree.ended, tree.regiment) == (1, [], {"q": 3}, "")


def test_memory_and_cpu_alone_are_not_worth_a_word_until_their_turn(wards: list[Ward], monkeypatch: Any) -> None:
    store, presence = Kept(), Presence("h:1")
    for ward in wards:
        ward.store = store
    told = {"state": "idle", "now": [], "memory": 31, "cpu": 1, "since": 1_790_000_000}
    monkeypatch.setattr("regiment_runner.keeper.presence._present", lambda sheet, pid: dict(told))
    presence.tell(store, wards, 30.0)
    assert len(store.asked) == 1 and b'"memory":31,"cpu":1' in store.announced
    told |= {"memory": 40, "cpu": 2}
    presence.tell(store, wards, 30.0)
    assert len(store.asked) == 1, "nothing has changed that anybody waits for"
    told["now"] = [{"task": "send", "id": "1", "since": 1_790_000_001}]
    presence.tell(store, wards, 30.0)
    assert len(store.asked) == 2 and b'"memory":40,"cpu":2' in store.announced
