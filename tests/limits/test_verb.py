"""`regiment limits` and what `regiment why` says of budgets, as people type them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regiment import Queue
from regiment.contracts import Terms
from regiment_cli.release import Release
from regiment_limits import Lane, Limits, Pool, reasons
from regiment_limits.budgets import rules_of
from regiment_limits.commands import spot_of
from regiment_limits.ruling import settle

Verb = Callable[..., subprocess.CompletedProcess[str]]
LIMITS = Limits(pools={"crm": Pool(at_once=2, lane=Lane(at_once=1, rate="1/h")), "sms": Pool()})


def nap(tenant: str) -> None: ...


class Place:
    """A queue with limits and some tasks, and the command line on its store."""

    def __init__(self, url: str, folder: Path) -> None:
        self.queue = Queue("crawl", connector=url, plugins=[LIMITS])
        self.task = self.queue.task(pool="crm", lane="{tenant}")(nap)
        self.url, self.folder = url, folder
        self.store: Any = self.queue.broker.open("lease")
        settle(self.store, "crawl", rules_of(LIMITS.options), Release("1", 1.0, "web1:1"))

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "regiment", *words, "--connector", self.url]
        return subprocess.run(line, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)

    def lease(self, limit: int = 10) -> int:
        self.store.join("crawl", "c", Terms(slots=10))
        return len(self.store.exchange("crawl", "c", 1, 1, (), limit, 1 << 20).deliveries)

    def listed(self) -> dict[str, dict[str, Any]]:
        told = self("limits", "crawl", "--json")
        return {one["what"]: one for one in json.loads(told.stdout)["limits"]}


@pytest.fixture
def place(store: str, tmp_path: Path) -> Place:
    return Place(store, tmp_path)


def test_limits_are_listed_with_what_waits_runs_and_holds_up(place: Place) -> None:
    place.task.push_many([{"tenant": tenant} for tenant in "aaab"])
    assert place.lease() == 2
    found = place.listed()
    assert (found["pool:crm"]["waiting"], found["pool:crm"]["running"], found["pool:crm"]["source"]) == (2, 2, "code")
    assert found["pool:crm"]["rule"]["at_once"] == 2 and found["pool:crm"]["rule"]["lanes"]["rate"] == [1, 3600.0]
    assert (found["lane:crm/a"]["waiting"], found["lane:crm/a"]["running"]) == (2, 1)
    assert found["lane:crm/a"]["until_rate"] > 3000
    told = place("limits", "crawl").stdout
    assert (
        "2 of 2" in told
        and "at_once=2 lane.at_once=1 lane.rate=1/h" in told
        and "lane:crm/a" in told
        and "code (1 of web1:1)" in told
    )
    assert told == place("limits", "list", "crawl").stdout
    assert "lane:crm/a" not in place("limits", "list", "crawl", "--lanes", "0").stdout


def test_an_operators_limit_counts_until_it_is_cleared_and_is_accounted_for(place: Place) -> None:
    told = place(
        "limits", "set", "crawl", "pool:crm", "at_once=5", "rate=10/m", "lane.at_once=3", "--reason", "they asked"
    )
    assert told.returncode == 0 and "in the place of at_once=2 lane.at_once=1 lane.rate=1/h" in told.stderr, told.stderr
    one = place.listed()["pool:crm"]
    assert one["source"] == "operator" and "@" in one["by"] and one["rule"]["at_once"] == 5
    cleared = place("limits", "clear", "crawl", "pool:crm")
    assert "at_once=2 lane.at_once=1 lane.rate=1/h again" in cleared.stderr
    assert (
        "has no limits of an operator; the code says at_once=2" in place("limits", "clear", "crawl", "pool:crm").stderr
    )
    acts = json.loads(place("audit", "crawl", "--json").stdout)["acts"]
    assert [act["what"] for act in acts] == ["limits clear", "limits set"]
    assert (
        acts[1]["reason"] == "they asked"
        and acts[1]["spot"] == "pool:crm"
        and acts[1]["limits"].startswith("at_once=5")
    )


def test_the_queue_and_a_lane_can_be_limited_as_well(place: Place) -> None:
    assert place("limits", "set", "crawl", "at_once=1").returncode == 0
    assert place("limits", "set", "crawl", "lane:crm/a", "at_once=9", "weight=2").returncode == 0
    found = place.listed()
    assert found["queue"]["rule"]["at_once"] == 1 and found["lane:crm/a"]["rule"]["weight"] == 2
    assert place("limits", "clear", "crawl").returncode == 0
    assert place.listed().get("queue", {"rule": None})["rule"] is None


def test_a_pause_holds_up_a_lane_alone_until_it_is_resumed(place: Place) -> None:
    place.task.push_many([{"tenant": tenant} for tenant in "ab"])
    told = place("limits", "pause", "crawl", "lane:crm/a", "--reason", "they asked")
    assert "until regiment limits resume crawl lane:crm/a: 1 waiting, none running" in told.stderr, told.stderr
    assert place.listed()["lane:crm/a"]["gate"] == "closed"
    assert "stays so" in place("limits", "pause", "crawl", "lane:crm/a", "--for", "10m").stderr
    assert place.lease() == 1
    assert "1 waiting" in place("limits", "resume", "crawl", "lane:crm/a").stderr
    assert "is not paused" in place("limits", "resume", "crawl", "lane:crm/a").stderr
    place("limits", "pause", "crawl", "pool:crm", "--for", "10m")
    assert 500 < place.listed()["pool:crm"]["gate"] <= 600
    acts = json.loads(place("audit", "crawl", "--json").stdout)["acts"]
    assert {act["what"] for act in acts} == {"limits pause", "limits resume"}


def test_all_limits_of_a_code_that_names_none_any_more_can_be_cleared(place: Place) -> None:
    assert "1 limit of its code taken back" in place("limits", "clear", "crawl", "--code").stderr
    assert place.listed().get("pool:crm", {"rule": None})["rule"] is None


def test_a_recount_says_that_all_is_right(place: Place) -> None:
    place.task.push_many([{"tenant": tenant} for tenant in "aab"])
    place.lease()
    told = place("limits", "recount", "crawl")
    assert told.returncode == 0 and "all counts of 1 queue are right" in told.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("set", "crawl", "pol:crm", "at_once=1"),
            "'pol:crm' names nothing that has limits; expected queue, pool:NAME",
        ),
        (("set", "crawl", "pool:crm", "at_onse=1"), 'Did you mean "at_once"?'),
        (("set", "crawl", "pool:crm"), "nothing is limited"),
        (("pause", "crawl", "lane:a"), "expected queue, pool:NAME or lane:POOL/LANE"),
        (("pause", "crawl", "--for", "0s"), "--for expects a time above 0"),
        (("puase", "crawl"), 'Did you mean "pause"?'),
    ],
)
def test_what_is_typed_wrong_is_said_and_nothing_is_changed(place: Place, words: tuple[str, ...], said: str) -> None:
    told = place("limits", *words)
    assert told.returncode != 0 and said in told.stderr, told.stderr
    assert place.listed()["pool:crm"]["source"] == "code"


def test_why_names_the_budget_that_a_task_waits_for(place: Place) -> None:
    ids = {tenant: place.task.push(tenant=tenant).id for tenant in ("a", "b", "c", "d")}
    late = place.task.options(unique="a").push(tenant="a").id
    place("limits", "pause", "crawl", "lane:crm/d")
    place.lease()

    def why(id: str) -> str:
        return place("why", id).stdout

    assert "pool:crm is full: 2 of 2 run" in why(ids["c"])
    assert "lane:crm/d is paused: regiment limits resume" in why(ids["d"])
    told = why(late)
    assert "lane:crm/a is full: 1 of 1 run" in told and "lane:crm/a has a rate of 1/h: the next may go in" in told
    assert "it is unique, until it is done or dead: a push with the key 'a' meets it" in told
    behind = [place.task.push(tenant="d").id for _ in range(2)]
    assert "3 tasks wait in lane:crm/d; it is number 3 of them; the oldest goes first" in why(behind[1])
    assert "it is number 1 of them" in why(ids["d"])
    place("limits", "set", "crawl", "pool:crm", "at_once=1")
    assert "pool:crm is full: 2 of 1 run (a limit set by " in why(ids["c"])


def test_the_place_among_the_first_is_told_however_slow_the_store_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "PATIENCE", -1.0)
    place.task.push_many([{"tenant": "d"}] * 12)
    ready = place.store.look("crawl", "ready", 12).tasks
    found = [reasons._place(place.store, "crawl", one.place, place.store.ticket("crawl", one.payload)) for one in ready]
    assert found == [*range(1, 11), None, None]


def test_a_spot_is_typed_as_it_is_shown() -> None:
    assert [spot_of(text) for text in ("queue", "pool:crm", "lane:crm/a/b", "lane:/a")] == [
        ("", ""),
        ("crm", ""),
        ("crm", "a/b"),
        ("", "a"),
    ]


def test_a_worker_alone_does_not_say_that_it_goes_without_limits(place: Place) -> None:
    (place.folder / "alone.py").write_text(
        "from regiment import Queue\nfrom regiment_limits import Limits, Pool\n"
        f"crawl = Queue('crawl', connector={place.url!r}, plugins=[Limits(pools={{'crm': Pool(at_once=7)}})])\n"
        "@crawl.task(pool='crm')\ndef nap(tenant): pass\n"
    )
    line = [sys.executable, "-m", "regiment", "run", "alone", "--solo", "--burst"]
    ran = subprocess.run(line, cwd=place.folder, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0 and "solo.without" not in ran.stderr, ran.stderr


def test_a_name_without_limits_is_answered_with_the_nearest_one(place: Place) -> None:
    place.task.push(tenant="a")
    assert 'no limits of "crawk". Did you mean "crawl"?' in place("limits", "crawk").stderr
    assert "by the first worker" not in place("limits", "crawl").stderr


def test_before_the_first_worker_the_verb_says_why_no_limit_is_shown(store: str, tmp_path: Path) -> None:
    Queue("fresh", connector=store, plugins=[LIMITS]).task(pool="crm", lane="{tenant}")(nap).push(tenant="a")
    line = [sys.executable, "-m", "regiment", "limits", "--connector", store]
    told = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "pool:crm" in told.stdout
    assert '"fresh" has no limits in the store: those of its code are written by the first worker' in told.stderr
