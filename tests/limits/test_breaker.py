"""The breaker of a pool: what trips it, one probe, what a killed probe leaves, and what never closes it for good."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.site import Site
from harness.wait import eventually
from regiment import Queue
from regiment.contracts import FOREVER, Rule
from regiment.errors import ConfigError
from regiment_cli.release import Release
from regiment_limits import Breaker, Limits, Pool
from regiment_limits.breaker import State, after, counted, key_of, read, tell, tripped
from regiment_limits.budgets import BREAKER
from regiment_limits.duty import Ruling
from regiment_limits.guarding import Guarding
from regiment_limits.reasons import closed
from regiment_limits.ruling import mend, settle

RULE = {**BREAKER, "least": 4, "pause": 10.0, "longest": 35.0}
_names = itertools.count()


def told(state: State, *ends: tuple[float, bool], started: float | None = None) -> State:
    """The state after these ends, each (when, failed)."""
    for at, bad in ends:
        state, _ = after(state, at, at if started is None else started, int(not bad), int(bad), RULE)
    return state


def test_it_trips_at_its_share_of_enough_ends_and_not_before() -> None:
    assert not told(State(), *[(100.0, True)] * 3).tripped, "too few ends"
    assert told(State(), *[(100.0, True)] * 4).until == 110.0
    assert not told(State(), *[(100.0, False)] * 5, *[(100.0, True)] * 4).tripped, "4 of 9"
    assert told(State(), *[(100.0, False)] * 5, *[(100.0, True)] * 5).tripped, "5 of 10"
    assert not told(State(), *[(100.0, True)] * 3, (100.0, False)).tripped, "a success trips nothing"


def test_what_is_older_than_the_window_counts_no_more() -> None:
    state = told(State(), *[(100.0, True)] * 3)
    assert sum(counted(state, 131.0, 60.0, 0, 0).bad) == 3, "the half window before counts"
    assert sum(counted(state, 161.0, 60.0, 0, 0).bad) == 0
    assert sum(counted(state, 50.0, 60.0, 0, 0).bad) == 0, "a clock that was set back begins anew"
    assert not told(state, (170.0, True)).tripped


def test_only_a_run_that_began_after_the_pause_decides_and_each_failed_probe_doubles_it() -> None:
    state = told(State(), *[(100.0, True)] * 4)
    assert told(state, (111.0, False), (111.0, True), started=105.0) == state, "leased before: it says nothing"
    again = told(state, (111.0, True))
    assert (again.until, again.pause) == (131.0, 20.0)
    last = told(again, (132.0, True), (168.0, True))
    assert last.pause == 35.0, "the longest"
    healed = told(last, (210.0, False))
    assert not healed.tripped and healed.good == healed.bad == (0, 0)


def test_a_store_whose_clock_went_back_behind_the_pause_does_not_hold_what_the_pause_says() -> None:
    state = told(State(), *[(3700.0, True)] * 4)
    assert told(state, (3699.5, True)) == state, "clocks of two hosts"
    assert not told(state, (100.0, False)).tripped
    again = told(state, (100.0, True))
    assert (again.until, again.pause) == (120.0, 20.0)


class Place:
    """A queue at a store."""

    def __init__(self, url: str) -> None:
        self.face = Queue(f"breaker-{next(_names)}", connector=url)
        self.queue, self.store = self.face.name, self.face.broker.open("duty")
        self.mine: Rule | None = Rule(at_once=5)

    def fail(self, number: int, now: float = 1000.0, store: Any = None) -> list[str]:
        done = []
        for _ in range(number):
            _, did, _ = tell(store or self.store, self.queue, "crm", RULE, self.mine, now, now, 0, 1)
            done.append(did)
        return done

    def standing(self) -> Any:
        return self.store.flow(self.queue, [("crm", "")])[0]

    def state(self) -> State:
        return read(self.store.records(self.queue, [key_of("crm")])[0])


@pytest.fixture
def place(url: str) -> Iterator[Place]:
    made = Place(url)
    yield made
    made.store.close()
    made.face.broker.close()


def test_a_pool_that_trips_is_closed_for_its_pause_and_runs_one_at_a_time_until_it_heals(place: Place) -> None:
    assert place.fail(4) == ["counted"] * 3 + ["tripped"]
    standing = place.standing()
    assert 8 < standing.gate <= 10 and standing.rule == Rule(at_once=1)
    assert tripped(place.store, place.queue, ["sms", "crm"]) == ["crm"]
    assert any("too many of its tasks failed (breaker), and one at a time goes" in text for text in closed(standing))
    later = place.state().until + 1
    _, did, _ = tell(place.store, place.queue, "crm", RULE, place.mine, later, later, 1, 0)
    assert did == "healed" and place.standing().rule == place.mine and not place.state().tripped


def test_who_trips_it_and_dies_before_the_gate_is_closed_leaves_that_to_the_next_failure(place: Place) -> None:
    class Dies:
        """The store, for somebody who is killed when the record is written."""

        def __init__(self, store: Any) -> None:
            self.store = store

        def __getattr__(self, name: str) -> Any:
            if name in ("rule", "gate") and place.state().tripped:
                raise KeyboardInterrupt
            return getattr(self.store, name)

    place.fail(3)
    with pytest.raises(KeyboardInterrupt):
        place.fail(1, store=Dies(place.store))
    assert place.state().tripped and place.standing().gate == 0
    now = place.state().until - 5
    _, did, _ = tell(place.store, place.queue, "crm", RULE, place.mine, now, now - 8, 0, 1)
    assert did == "counted" and place.standing().gate > 0 and place.standing().rule == Rule(at_once=1)


def test_a_pause_of_an_operator_stays(place: Place) -> None:
    place.store.gate(place.queue, ("crm", ""), FOREVER)
    place.fail(4)
    assert place.standing().gate == FOREVER


def test_the_steward_keeps_one_at_a_time_while_it_is_tripped_and_puts_right_what_was_left(place: Place) -> None:
    assert place.mine is not None
    rules, mine = {"crm": place.mine}, Release("1", 1.0, "web1:1")
    settle(place.store, place.queue, rules, mine)
    place.fail(4)
    assert mend(place.store, place.queue, rules, mine, lambda: ["crm"]) == [], "it is as it should be"
    new = Release("2", 2.0, "web1:2")
    settle(place.store, place.queue, {"crm": Rule(at_once=9)}, new, sure=None, tripped=lambda: ["crm"])
    assert place.standing().rule == Rule(at_once=1), "a deploy meanwhile"
    later = place.state().until + 1
    tell(place.store, place.queue, "crm", RULE, place.mine, later, later, 1, 0)
    assert place.standing().rule == Rule(at_once=9), "the rule that counts now, not that of the worker that healed it"
    place.store.rule(place.queue, ("crm", ""), Rule(at_once=1))
    assert mend(place.store, place.queue, {"crm": Rule(at_once=9)}, Release("2", 2.0, "web1:2")) == ["crm"]
    assert place.standing().rule == Rule(at_once=9)


def test_a_deploy_that_takes_the_only_budget_a_breaker_away_takes_one_at_a_time_with_it(place: Place) -> None:
    class Target:
        queue, label, spec = place.queue, "app.jobs", {"connector": ["", {}]}

        def connect(self) -> Any:
            return place.face.broker.open("duty")

        def at_work(self, seconds: float) -> tuple[()]:
            return ()

    place.mine = None
    duties = [Ruling(str(number), number, f"web1:{number}") for number in (1, 2)]
    for duty, pool in zip(duties, ({"breaker": RULE}, {}), strict=True):
        duty.learn(Target(), {"pools": {"crm": pool}})
    duties[0].look(0.0)
    place.fail(4)
    duties[0].look(10.0)
    assert place.standing().rule == Rule(at_once=1)
    duties[1].look(20.0)
    assert place.standing().rule is None
    place.fail(1)  # of a worker of the old release, which has not ended yet
    duties[1].look(90.0)
    assert place.standing().rule is None


def test_the_clock_of_a_host_that_was_set_back_shuts_no_pool_for_so_long(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guarding(pools={"crm": {"breaker": {"least": 1, "pause": 0.2, "longest": 10.0}}})
    attempt: Any = SimpleNamespace(runtime=SimpleNamespace(config=place.face.broker.config))
    guard._ended(attempt, "crm", True, 0.0)
    assert place.state().pause == 0.2
    time.sleep(0.3)
    back = SimpleNamespace(time=lambda: time.time() - 3600.0, monotonic=time.monotonic)
    monkeypatch.setattr("regiment_limits.guarding.time", back)
    guard._ended(attempt, "crm", True, 0.0)
    assert place.state().pause == 0.4, "the probe failed"
    assert place.standing().gate <= 0.4
    time.sleep(0.5)
    guard._ended(attempt, "crm", False, 0.0)
    assert not place.state().tripped
    guard._drop()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"share": 1.5}, "share is 1.5; expected the part that fails, above 0 and at most 1"),
        ({"least": 0}, "least is 0; expected a whole number of ends from 1"),
        ({"pause": -1}, "pause is -1; expected"),
        ({"pause": 60, "longest": 30}, "longest is 30 and pause 60; expected the longest pause"),
    ],
)
def test_a_breaker_that_makes_no_sense_is_refused_in_words(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"Breaker: {text}")):
        Breaker(**given)
    with pytest.raises(ConfigError, match=re.escape(f"pool 'crm': breaker: {text}")):
        Limits(pools={"crm": {"breaker": given}})  # type: ignore[dict-item]


def test_what_is_no_breaker_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("expected Breaker(…), or True")):
        Pool(breaker="yes")  # type: ignore[arg-type]
    assert Pool(breaker=True) == {"breaker": True} and Pool() == {}


APP = """
import os, time
from regiment import Backoff, Queue
from regiment_limits import Breaker, Limits, Pool

work = Queue(
    "work", connector={connector}, lease=3.0, max_retries=50, backoff=Backoff(0.05), max_deliveries=1000, poison_delays=(0.0,),
    plugins=[Limits(pools={{"crm": Pool(at_once=4, breaker=Breaker(least=4, window=30, pause=0.6, longest=2.0))}})],
)
OUT = os.open({out!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

@work.task(pool="crm")
def call(number: int) -> None:
    os.write(OUT, f"start {{number}} {{time.time()}} {{os.getpid()}}\\n".encode())
    mood = open({mood!r}).read()
    if mood == "slow":
        time.sleep(30)
    if mood == "down":
        time.sleep(0.02)
        raise ConnectionError("down")
    os.write(OUT, f"end {{number}} {{time.time()}} {{os.getpid()}}\\n".encode())

@work.task
def other(number: int) -> None:
    os.write(OUT, f"other {{number}} {{time.time()}} {{os.getpid()}}\\n".encode())
"""


class Service:
    """An application that calls a service, and the service's mood."""

    def __init__(self, site: Site) -> None:
        self.site, self.out, self.file = site, site.folder / "out.txt", site.folder / "mood"
        self.out.touch()
        self.mood("down")
        text = APP.format(connector=repr(site.url), out=str(self.out), mood=str(self.file))
        (site.folder / "app.py").write_text(text)

    def mood(self, what: str) -> None:
        """Replace the file, as a whole."""
        new = Path(f"{self.file}.new")
        new.write_text(what)
        new.rename(self.file)

    def push(self, name: str, numbers: range) -> None:
        import importlib.util

        spec = importlib.util.spec_from_file_location("breaking_app", self.site.folder / "app.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        getattr(module, name).push_many({"number": number} for number in numbers)
        module.work.broker.close()

    def lines(self, what: str) -> list[list[str]]:
        return [words for line in self.out.read_text().splitlines() if (words := line.split())[0] == what]

    def standing(self) -> Any:
        return self.site.queue.broker.open("duty").flow("work", [("crm", "")])[0]  # type: ignore[attr-defined]


@pytest.mark.fault(85)
def test_a_service_that_fails_is_probed_by_one_task_at_a_time_and_a_killed_probe_leaves_it_to_the_next(
    site: Site,
) -> None:
    service = Service(site)
    site.tree(workers=2)
    site.tree(workers=2)
    service.push("call", range(12))
    eventually(lambda: service.standing().gate > 0, 20, site.logs)
    service.push("other", range(5))
    eventually(lambda: len(service.lines("other")) == 5, 20, site.logs)  # of no pool: nothing holds them up
    for _ in range(2):  # probes fail, one at a time
        begun = len(service.lines("start"))
        eventually(lambda begun=begun: len(service.lines("start")) > begun, 20, site.logs)
        assert len(service.lines("start")) == begun + 1
    service.mood("slow")
    for _ in range(2):  # a probe hangs, and its worker is killed
        begun = len(service.lines("start"))
        eventually(lambda begun=begun: len(service.lines("start")) > begun, 20, site.logs)
        time.sleep(0.3)
        assert len(service.lines("start")) == begun + 1, "one probe at a time"
        os.kill(int(service.lines("start")[-1][3]), signal.SIGKILL)
    service.mood("up")
    for words in service.lines("start")[-1:]:
        try:
            os.kill(int(words[3]), signal.SIGKILL)  # the last one still hangs
        except ProcessLookupError:
            pass
    eventually(lambda: len({words[1] for words in service.lines("end")}) == 12, 40, site.logs)
    eventually(lambda: service.standing().rule == Rule(at_once=4), 15, site.logs)
    store: Any = site.queue.broker.open("duty")
    assert store.recount("work") == []
