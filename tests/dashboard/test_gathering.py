"""Groups of dead letters: known without reading all letters again, and as `regiment dead list --group` counts them, whatever happened."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from harness import servers
from harness.store import connector
from regiment.contracts import Dead, Terms
from regiment_console.groups import grouped
from regiment_dashboard import gathering
from regiment_dashboard.gathering import Gathering

NAMES = itertools.count()


@pytest.fixture(params=["sqlite", "redis"])
def empty(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    """A store with nothing in it."""
    if request.param == "redis":
        with servers.address() as found:
            yield found
    else:
        yield f"sqlite:///{tmp_path}/q.db"


@pytest.fixture
def store(empty: str) -> Iterator[Any]:
    with contextlib.closing(connector(empty, "lease")) as made:
        yield Counting(made)


class Counting:
    """A connector, and how many requests for letters it was sent."""

    def __init__(self, store: Any) -> None:
        self.store, self.asked = store, 0

    def __getattr__(self, name: str) -> Any:
        self.asked += name in ("reasons", "letters")
        return getattr(self.store, name)


def die(store: Any, queue: str, number: int, kinds: int = 3, **terms: Any) -> None:
    """So many tasks become dead letters, of so many groups."""
    name = f"c{next(NAMES)}"
    store.join(queue, name, Terms(**terms))
    turn = 1
    for start in range(0, number, 200):
        part = min(200, number - start)
        store.push(queue, [b"x"] * part, priority=9, token=f"{name}-{start}")
        taken = store.exchange(queue, name, turn, start + 1, [], part, 1 << 20).deliveries
        dead = [Dead(one.receipt, f"t{name}-{one.receipt}", reason(one.receipt % kinds)) for one in taken]
        store.exchange(queue, name, turn + 1, start + part + 1, dead, 0, 1 << 20)
        turn += 2
    store.release(queue, name, (), {}, close=True)


def reason(kind: int) -> bytes:
    return json.dumps({"kind": "failure", "error_type": f"Error{kind}", "error": "no", "name": "send"}).encode()


def dead_of(store: Any, *queues: str) -> dict[str, int]:
    return {name: store.counts(name).dead for name in queues}


def settle(known: Gathering, store: Any, *queues: str) -> int:
    """Ask until nothing is missing; how many requests that took."""
    before = store.asked
    for _ in range(100):
        if not known.step(store, dead_of(store, *queues)):
            return int(store.asked - before)
    raise AssertionError("it never ends")


def same(known: Gathering, store: Any, *queues: str) -> None:
    """What is known is what counting all letters says."""
    fields = ("queue", "group", "count", "name", "error_type", "newest", "oldest")
    told, counted = known.groups(dead_of(store, *queues)).groups, grouped(store.store, queues)
    first, second = (sorted(tuple(one[f] for f in fields) for one in some) for some in (told, counted))
    assert first == second


def test_what_is_new_costs_one_request_however_many_letters_there_are(store: Any) -> None:
    known = Gathering()
    die(store, "mail", 3000)
    settle(known, store, "mail")
    same(known, store, "mail")
    die(store, "mail", 5, kinds=4)
    assert settle(known, store, "mail") == 1
    same(known, store, "mail")
    assert settle(known, store, "mail") == 0, "nothing has happened"


def test_letters_that_a_limit_pushes_out_are_known_by_two_requests(store: Any) -> None:
    known = Gathering()
    die(store, "mail", 3000, dead_limit=3000)
    settle(known, store, "mail")
    die(store, "mail", 40, dead_limit=3000)
    die(store, "mail", 1, dead_limit=3000)
    # As many are there as before: it is told as soon as their number differs.
    store.drop("mail", [store.dead("mail", 1)[0].id])
    assert settle(known, store, "mail") == 2
    same(known, store, "mail")


def test_letters_that_somebody_deleted_in_the_middle_are_missed(store: Any) -> None:
    known = Gathering()
    die(store, "mail", 3000)
    settle(known, store, "mail")
    some = [one.id for one in store.dead("mail", 3000)][500:2500:7]
    store.drop("mail", some)
    settle(known, store, "mail")
    same(known, store, "mail")
    store.drop("mail")
    settle(known, store, "mail")
    assert known.groups(dead_of(store, "mail")).groups == []


def test_what_was_deleted_here_is_known_without_a_request(store: Any) -> None:
    known = Gathering()
    die(store, "mail", 500)
    settle(known, store, "mail")
    ids = [one.id for one in store.dead("mail", 500)][100:300]
    store.drop("mail", ids)
    known.forget("mail", ids)
    assert settle(known, store, "mail") == 0
    same(known, store, "mail")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_groups_are_right_once_it_is_over(store: Any, seed: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(gathering, "PAGES", (5, 20, 60))
    chance, known = random.Random(seed), Gathering()
    for _ in range(25):
        queue = chance.choice(("mail", "other"))
        letters = [one.id for one in store.dead(queue, 1000)]
        act = chance.choice(("die", "die", "drop", "revive", "step", "step"))
        if act == "die":
            die(store, queue, chance.choice((1, 7, 90)), kinds=5, dead_limit=250)
        elif act in ("drop", "revive") and letters:
            some = chance.sample(letters, chance.randint(1, len(letters)))
            store.drop(queue, some) if act == "drop" else store.revive(queue, dict.fromkeys(some))
        else:
            known.step(store, dead_of(store, "mail", "other"))
    die(store, "mail", 1, kinds=5)  # as many died as were replayed between two looks is seen with the next death
    die(store, "other", 1, kinds=5)
    settle(known, store, "mail", "other")
    same(known, store, "mail", "other")


def test_a_queue_that_cannot_be_read_hides_no_other(store: Any) -> None:
    class Broken(Counting):
        def reasons(self, queue: str, *args: Any, **more: Any) -> Any:
            if queue == "bad":
                raise ValueError("no such thing")
            return self.store.reasons(queue, *args, **more)

    die(store, "bad", 2)
    die(store, "good", 2, kinds=1)
    known, broken = Gathering(), Broken(store.store)
    settle(known, broken, "bad", "good")
    found = known.groups(dead_of(store, "bad", "good")).groups
    assert {(one["queue"], one["group"] == "?") for one in found} == {("bad", True), ("good", False)}


def test_the_newest_letters_of_a_group_are_those_of_the_store(store: Any) -> None:
    known = Gathering()
    die(store, "mail", 900)
    settle(known, store, "mail")
    letters = store.dead("mail", 1000)
    group = known.groups(dead_of(store, "mail")).groups[0]
    found, upto = known.newest("mail", group["group"])
    mine = [one.id for one in letters if json.loads(one.reason)["error_type"] == group["error_type"]]
    assert [id for id, _ in found] == mine[:100] and upto == letters[0].id
    assert all(row is not None and row["letter"] == id for id, row in found)


def test_more_letters_than_are_kept_are_said(store: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(gathering, "MOST_KEPT", 300)
    known = Gathering()
    die(store, "mail", 700)
    settle(known, store, "mail")
    found = known.groups(dead_of(store, "mail"))
    assert found.total == 700 and 300 <= found.counted < 700
