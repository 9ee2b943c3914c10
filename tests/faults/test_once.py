"""What a task has done outside of its store, when its worker is killed, struck or frozen between the effect and its entry."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.each_store import on_each_store
from harness.site import Site
from harness.wait import eventually
from regiment.broker import extras
from regiment.contracts import Letter

BODY = """
from regiment.errors import Fenced, TaskTimeout

DONE = os.open({folder!r} + "/done", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def say(*words):
    os.write(DONE, (" ".join(map(str, words)) + "\\n").encode())


def first(name):
    try:
        os.close(os.open({folder!r} + "/" + name, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def wait(name):
    while not os.path.exists({folder!r} + "/" + name):
        time.sleep(0.01)


@work.task
def killed(mode, where):
    with current().once("charge", 7, mode=mode) as effect:
        if effect.new:
            say("charge", effect.id)
            effect.value = {{"receipt": 8}}
            if where == "before the entry" and first("first"):
                os.kill(os.getpid(), signal.SIGKILL)
    if where == "behind it" and first("first"):
        os.kill(os.getpid(), signal.SIGKILL)
    say("receipt", effect.new, effect.value["receipt"])


@work.task
def asked():
    with current().once("charge", mode="most", ask=lambda: 8) as effect:
        if effect.new:
            say("charge")
            os.kill(os.getpid(), signal.SIGKILL)
    say("receipt", effect.new, effect.value)


@work.task
def frozen():
    me = first("first")
    try:
        with current().once("charge") as effect:
            if effect.new:
                say("charge", effect.id)
                if me:
                    wait("go")
        say("entered", me)
    except Fenced as error:
        say("refused", me, str(error).partition("; ")[2].partition(",")[0])
    try:
        with current().once("mail") as effect:
            say("mail", me)
    except Fenced:
        say("refused", me, "mail")


@work.task(timeouts=Timeouts(soft=0.5), max_retries=2, backoff=Backoff(0))
def struck():
    try:
        with current().once("charge") as effect:
            if effect.new:
                effect.value = 8
                say("charge")
                while True:
                    time.sleep(0.01)
        say("receipt", effect.value)
    except TaskTimeout:
        say("struck")
        raise
"""


def ready(site: Site, settings: str = "") -> None:
    if "ledger" not in extras(site.store.look):
        pytest.skip("this store keeps no ledger")
    site.app(f"recheck=0.2, poison_delays=[0.05], {settings}", body=BODY.format(folder=str(site.folder)))


def said(folder: Path) -> list[list[str]]:
    path = folder / "done"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def until(site: Site, word: str, within: float = 20) -> list[list[str]]:
    """What was said once this was."""
    return eventually(
        lambda: (lines := said(site.folder)) and any(word in line for line in lines) and lines, within, site.logs
    )


def dead(site: Site) -> Letter:
    letters: Any = eventually(lambda: site.store.look.dead(site.queue.name), 20, site.logs)
    [letter] = letters
    return letter


@pytest.mark.fault(92)
@on_each_store
def test_a_worker_killed_between_effect_and_entry_has_it_done_again_under_the_same_id(site: Site) -> None:
    ready(site)
    site.tree()
    site.queue.options(name="killed").push(mode="least", where="before the entry")
    first, second, receipt = until(site, "receipt")
    assert first == second and first[0] == "charge" and len(first[1]) == 64
    assert receipt == ["receipt", "True", "8"]
    site.store.quiet(10)


@pytest.mark.fault(92)
@on_each_store
@pytest.mark.parametrize("mode", ["least", "most"])
def test_a_worker_killed_behind_the_entry_has_the_value_found(site: Site, mode: str) -> None:
    ready(site)
    site.tree()
    site.queue.options(name="killed").push(mode=mode, where="behind it")
    effect, receipt = until(site, "receipt")
    assert effect[0] == "charge" and receipt == ["receipt", "False", "8"]
    site.store.quiet(10)


@pytest.mark.fault(92)
@on_each_store
def test_an_effect_that_is_to_be_done_at_most_once_is_unknown_after_a_kill(site: Site) -> None:
    ready(site)
    site.tree()
    site.queue.options(name="killed").push(mode="most", where="before the entry")
    letter = dead(site)
    [[_, key]] = said(site.folder)
    assert b"Unknown" in letter.reason and key.encode() in letter.reason


@pytest.mark.fault(92)
@on_each_store
def test_whoever_can_ask_the_other_side_goes_on_after_a_kill(site: Site) -> None:
    ready(site)
    site.tree()
    site.queue.options(name="asked").push()
    assert until(site, "receipt") == [["charge"], ["receipt", "False", "8"]]
    site.store.quiet(10)


@pytest.mark.fault(92)
@on_each_store
def test_a_frozen_zombie_enters_nothing_and_begins_nothing(site: Site) -> None:
    """Its whole tree is stopped between an effect and its entry for longer than the lease; another one ends the task meanwhile."""
    ready(site, "lease=1")
    zombie = site.tree()
    (worker,) = zombie.workers()
    site.queue.options(name="frozen").push()
    until(site, "charge")
    frozen = [zombie.pid, zombie.keeper(), worker]
    site.store.stop_between_writes(frozen)
    stopped = time.monotonic()
    site.tree()
    until(site, "mail", 30)
    time.sleep(max(0.0, stopped + 2.0 - time.monotonic()))  # two leases, the fault itself
    (site.folder / "go").touch()
    for pid in reversed(frozen):
        os.kill(pid, signal.SIGCONT)
    lines = eventually(
        lambda: (found := said(site.folder)) and ["refused", "True", "mail"] in found and found, 20, site.logs
    )
    charges = [line for line in lines if line[0] == "charge"]
    assert len(charges) == 2 and charges[0] == charges[1]
    assert [line for line in lines if line[0] == "mail"] == [["mail", "False"]]
    assert ["entered", "False"] in lines and ["entered", "True"] not in lines
    assert "refused True it was done".split() in [line[:5] for line in lines]
    site.store.quiet(10)


@pytest.mark.fault(92)
@on_each_store
@pytest.mark.parametrize("killer", ["process", "thread"])
def test_a_strike_behind_an_effect_comes_when_that_is_entered(site: Site, killer: str) -> None:
    ready(site, "" if killer == "process" else 'executor=Use("threaded", threads=2), killer="thread"')
    site.tree()
    site.queue.options(name="struck").push()
    assert until(site, "receipt") == [["charge"], ["struck"], ["receipt", "8"]]
    site.store.quiet(10)
