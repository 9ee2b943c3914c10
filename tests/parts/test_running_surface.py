"""What a push takes runs in a real tree, or is a dead letter with its true reason; and whatever a task does there to its
arguments, its outcome and its end, it has one outcome and the worker goes on (`test_endings.py` in `tests/runner` asks one
worker's source; here it is asked of processes).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "runner" / "worker"))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from test_endings import CHANGES, HOOKS, PROMISED, RAISED, RETURNED
from test_pushing_surface import ARGUMENTS, GOOD, OPTIONS, push

from harness.servers import redis
from harness.site import Site
from harness.tree import Tree
from regiment import Requeue, Respawn, Retry, Stop

SURFACE = """\
import json, os
from regiment import Queue, current

LEDGER = os.open({ledger!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
q = Queue("surface", connector={url!r}, unknown_for=0.2, max_retries=0)


def note(given):
    task = current().task
    told = [task.id, repr(given), task.trace_id, task.headers or {{}}]
    os.write(LEDGER, (json.dumps(told) + "\\n").encode())


@q.task
def take(**given):
    note(given)


@q.task
def fail(**given):
    note(given)
    raise ValueError("the true reason")
"""

SEVERAL = 12
"""Pushes of one example: they wait together."""


def lines(path: Path) -> list[Any]:
    """What the tasks have noted."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Run:
    """A tree with one worker on a store, its site, and the worker's pid."""

    def __init__(self, site: Site, source: str) -> None:
        self.site = site
        (site.folder / "app.py").write_text(source.format(ledger=str(site.ledger), url=site.url))
        path = str(Path(__file__).parents[1] / "runner" / "worker")
        self.tree: Tree = site.tree("app:q", environment={"SURFACE": path})
        self.pid = self.tree.workers()[0]

    def dead(self) -> dict[str, dict[str, Any]]:
        """Task id -> the reason of its letter; two letters of one task are a fault."""
        letters = self.site.store.look.dead(self.site.queue.name, 100_000)
        assert len({letter.task_id for letter in letters}) == len(letters)
        return {letter.task_id: json.loads(letter.reason) for letter in letters}


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def surface(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("surface")
    if request.param == "sqlite":
        with Site(folder, f"sqlite:///{folder}/queue.db", "surface") as site:
            yield Run(site, SURFACE)
        return
    with redis() as server, Site(folder, server.url, "surface") as site:
        yield Run(site, SURFACE)


NAMES = st.one_of(st.sampled_from(["take", "take", "fail"]), st.text("ab c", min_size=1))
SOON = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "delay": st.floats(-5, 0.05),
        "expires": st.one_of(st.floats(-5, -1), st.floats(60, 3e9)),
    },
)
WELL = st.builds(lambda good, soon: {**good, **soon}, GOOD, SOON)
ODDLY = st.builds(lambda odd, soon: {**soon, **odd}, OPTIONS, SOON)


def here_and_soon(options: dict[str, Any]) -> dict[str, Any]:
    """The options but for those with which a push is none of this tree's, or none of today's."""
    kept = {option: value for option, value in options.items() if option not in ("queue", "at")}
    if type(kept.get("delay")) not in (int, float) or not kept["delay"] < 0.1:
        kept.pop("delay", None)
    if type(kept.get("expires")) not in (int, float, type(None)):
        del kept["expires"]
    return kept


@settings(
    deadline=None,
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(st.tuples(st.one_of(WELL, WELL, ODDLY).map(here_and_soon), ARGUMENTS), min_size=SEVERAL, max_size=SEVERAL)
)
def test_what_a_push_takes_runs_in_a_tree_or_is_dead_with_its_true_reason(
    surface: Run, pushes: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    taken: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for options, kwargs in pushes:
        kind, answer = push(surface.site.queue, options, kwargs)
        if kind == "taken" and not answer.existed and answer.id not in taken:
            taken[answer.id] = (options, kwargs)
    surface.site.store.quiet(20)
    ran = {told[0]: told[1:] for told in lines(surface.site.ledger)}
    dead = surface.dead()
    for id, (options, kwargs) in taken.items():
        name, expires = options.get("name") or "", options.get("expires")
        if expires is not None and (not math.isfinite(expires) or expires < 30):
            assert id not in ran or expires > 0, options
            continue
        if name in ("take", "fail"):
            assert ran[id] == [repr(kwargs), options.get("trace_id"), options.get("headers") or {}]
            assert (id in dead) == (name == "fail")
        else:
            assert id not in ran
            assert dead[id]["kind"] == "unknown"
            assert f"no task named {name!r} is known on queue 'surface'" in dead[id]["error"]
        if name == "fail":
            assert (dead[id]["kind"], dead[id]["error"]) == ("failure", "the true reason")
    told = surface.tree.events("worker.crashed")
    assert not told and surface.tree.workers() == [surface.pid]


ENDINGS = """\
import contextlib, json, os, sys
sys.path.append(os.environ["SURFACE"])
import test_endings as table
from regiment import Backoff, Queue, current

LEDGER = os.open({ledger!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
q = Queue(
    "surface", connector={url!r}, max_retries=1, backoff=Backoff(first=0, jitter=False), payload_limit=10_000,
    poison_delays=(0.0,),
)
hooked, started = [None, None], set()


@q.task
def act(n, items, ends, index, changes, hook):
    os.write(LEDGER, (json.dumps([n, items]) + "\\n").encode())
    again = (os.getpid(), n) in started or current().task.delivery_count
    started.add((os.getpid(), n))
    for change in changes:
        with contextlib.suppress(AttributeError):
            table.CHANGES[change](items)
    if again and ends == "asked":
        return None
    if ends == "returned":
        return table.RETURNED[index]
    if ends == "promised":
        return table.PROMISED[index]()
    raise table.RAISED[index]()


def make(name):
    def hook(task, *_):
        if name == "pre_work":
            hooked[:] = task.kwargs["hook"]
        if hooked[0] == name:
            raise table.RAISED[hooked[1]]()
    return hook


for name in table.HOOKS:
    q.on(name)(make(name))
"""


def name_of(make: Any) -> type[BaseException]:
    """The class that an entry of `RAISED` raises."""
    return type(make())


CONTROLS = [
    index for index, make in enumerate(RAISED) if any(name_of(make) is control for control in (Retry, Requeue, Respawn))
]
"""What is asked for and not raised; told by identity, as some of the classes refuse to be asked for their names."""
FIT = [index for index, make in enumerate(RAISED) if name_of(make) is not Stop]
"""All but what ends the tree."""
HARMLESS = [index for index in FIT if name_of(RAISED[index]) is not Respawn]
TRUE = [0, 1]
"""What is raised with the words "the true reason"."""
ENDS = st.one_of(
    st.sampled_from(FIT).map(lambda index: ("asked" if index in CONTROLS else "raised", index)),
    st.sampled_from(TRUE).map(lambda index: ("raised", index)),
    st.sampled_from(range(len(RETURNED))).map(lambda index: ("returned", index)),
    st.sampled_from(range(len(PROMISED))).map(lambda index: ("promised", index)),
)
HOOKED = st.one_of(st.just((None, None)), st.tuples(st.sampled_from(HOOKS), st.sampled_from(HARMLESS)))
ACTS = st.tuples(ENDS, st.lists(st.sampled_from(range(len(CHANGES))), max_size=3), HOOKED)


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("endings")
    with Site(folder, f"sqlite:///{folder}/queue.db", "surface") as site:
        yield Run(site, ENDINGS)


@settings(
    deadline=None,
    max_examples=8,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(ACTS, min_size=SEVERAL, max_size=SEVERAL))
def test_whatever_a_task_does_in_a_tree_it_has_one_outcome_with_its_reason_and_the_worker_goes_on(
    endings: Run, acts: list[Any]
) -> None:
    known, pushed = len(endings.dead()), {}
    first = len(lines(endings.site.ledger))
    for n, ((ends, index), changes, hook) in enumerate(acts, first):
        to = endings.site.queue.options(name="act")
        id = to.push(n=n, items=[1, 2], ends=ends, index=index, changes=changes, hook=list(hook)).id
        pushed[n] = (id, ends, index, hook[0])
    endings.site.store.quiet(30)
    dead, runs = endings.dead(), lines(endings.site.ledger)[first:]
    assert len(dead) - known <= len(acts)
    for n, (id, ends, index, hooked) in pushed.items():
        mine, letter = [items for number, items in runs if number == n], dead.get(id)
        assert (mine or hooked == "pre_work") and len(mine) <= 3
        assert all(items == [1, 2] for items in mine)
        if letter is not None:
            assert (letter["name"], letter["queue"]) == ("act", "surface")
            assert letter["error"] and letter["kind"] != "poison"
        if hooked is None:
            assert (letter is None) == (ends in ("returned",)) or ends == "asked"
            if ends == "raised" and index in TRUE:
                assert letter is not None and letter["error"] == "the true reason"
    assert not endings.tree.events("worker.crashed")
