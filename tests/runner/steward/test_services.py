"""Services in real trees: a duty and a server that only this test uses, ended, hung, and holding the interpreter's lock."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.tree import Tree
from harness.wait import alive, eventually
from regiment.config import as_use
from regiment.registry import registry

APP = """
import os, time
from regiment import Queue, Use
q = Queue("q", connector="sqlite:///{folder}/q.db", lease=3.0, plugins=[Use("ext:Ext", {options})])
@q.task
def hold(seconds: float):
    note = open("{folder}/runs.txt", "a")
    print(os.getpid(), file=note, flush=True)
    time.sleep(seconds)
    print("done", file=note, flush=True)
"""
EXT = """
import json, os, sys, time, ctypes
from regiment.contracts import Service
from regiment.hooks import hookimpl

def note(*words):
    with open(os.environ["SEEN"], "a") as file:
        file.write(json.dumps([time.monotonic(), os.getpid(), *words]) + "\\n")

class Ext:
    def __init__(self, what: str = "look", kind: str = "duty"):
        self.what, self.kind = what, kind

    @hookimpl
    def regiment_notes(self, app):
        note("notes")
        return {"tasks": sorted(app.works)} if self.what != "odd notes" else object()

    @hookimpl
    def regiment_services(self, spec, notes):
        note("services", notes)
        assert self.what != "refused", "no licence"
        if self.what == "none":
            return {}
        service = "services:Duty" if self.kind == "duty" else "services:Web"
        return {"it": Service(service, {"what": self.what}, self.kind)}
"""
SERVICES = """
import ctypes, os, sys, time
from ext import note

def once():
    try:
        os.close(os.open(os.environ["SEEN"] + ".once", os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False

class Base:
    def __init__(self, what: str):
        self.what = what
        note("made", "app" in sys.modules)

    def learn(self, target, notes):
        note("learn", target.label, target.queue, notes)
        self.target = target

    def act(self):
        if self.what == "lock" and once():
            note("holding")
            ctypes.PyDLL(None).usleep(3_000_000)
        if self.what == "grow" and once():
            self.kept = []
            for _ in range(600):
                self.kept.append(os.urandom(1 << 20))
                time.sleep(0.002)
        if self.what == "raise" and once():
            raise RuntimeError("this look fails")

class Duty(Base):
    def look(self, now):
        self.act()
        note("look")
        return 0.2

    def news(self, queue, board):
        note("news", queue, board.paused)
        connector = self.target.connect()
        note("role", connector.counts(queue).paused)
        connector.close()

class Web(Base):
    def serve(self):
        while True:
            self.act()
            note("look")
            time.sleep(0.2)
"""


class Run:
    """A tree with one worker and the services."""

    def __init__(self, folder: Path, options: str, **how: Any) -> None:
        self.folder, self.seen_at = folder, folder / "seen.txt"
        self.seen_at.touch()
        (folder / "app.py").write_text(APP.format(folder=folder, options=options))
        (folder / "ext.py").write_text(EXT)
        (folder / "services.py").write_text(SERVICES)
        environment = {"SEEN": str(self.seen_at), "PYTHONPATH": str(folder)}
        self.tree = Tree(folder, folder / "run", ["app"], folder / "log", environment=environment, **how)

    def seen(self, word: str) -> list[list[Any]]:
        """[time, pid, *words] of what was noted under a word."""
        lines = [json.loads(line) for line in self.seen_at.read_text().splitlines()]
        return [[at, pid, *words] for at, pid, first, *words in lines if first == word]

    def beside(self, *, after: int = 0, within: float = 15.0) -> int:
        """The process in which the service looks, another than `after`."""
        found = eventually(
            lambda: [pid for _, pid in self.seen("look") if pid != after][-1:], within, lambda: self.tree.text()[-3000:]
        )
        return int(found[0])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    runs: list[Run] = []

    def start(options: str = "", **how: Any) -> Run:
        (tmp_path / "run").mkdir()
        runs.append(Run(tmp_path, options, **how))
        return runs[-1]

    yield start
    for run in runs:
        run.tree.kill()


def push(folder: Path, seconds: float) -> None:
    """Queue one long task, from a process that is no part of the tree."""
    import subprocess
    import sys

    environment = {**os.environ, "SEEN": str(folder / "other.txt"), "PYTHONPATH": str(folder)}
    line = [sys.executable, "-m", "regiment", "push", "app:hold", f"seconds:={seconds}"]
    subprocess.run(line, cwd=folder, env=environment, check=True, capture_output=True, timeout=60)


def test_a_duty_runs_in_a_process_that_has_not_the_application_and_ends_with_its_tree(start: Any) -> None:
    run = start()
    run.tree.ready()
    pid = run.beside()
    assert pid not in (run.tree.pid, *run.tree.workers())
    assert [words for _, _, *words in run.seen("made")] == [[False]]
    assert [words for _, at, *words in run.seen("learn") if at == pid] == [["app:q", "q", {"tasks": ["hold"]}]]
    services = run.seen("services")
    assert [(at, words) for _, at, *words in services] == [(run.tree.pid, [{"tasks": ["hold"]}])]
    run.tree.kill()
    eventually(lambda: not alive(pid), 5, "the steward ends with its supervisor, as the kernel sees to")


def test_without_a_duty_there_is_no_such_process(start: Any) -> None:
    run = start("what='none'")
    run.tree.ready()
    assert run.tree.keeper()  # which finds that it is the only child besides the worker
    eventually(lambda: run.seen("services"), 10)
    assert not run.seen("made")


@pytest.mark.parametrize("kind", ["duty", "server"])
@pytest.mark.parametrize("how", ["kill", "hang", "lock"])
def test_a_service_that_is_killed_hangs_or_holds_the_lock_is_replaced_and_costs_no_lease(
    start: Any, kind: str, how: str
) -> None:
    run = start(f"kind={kind!r}, what={'lock' if how == 'lock' else 'look'!r}")
    (worker,) = run.tree.ready()
    push(run.folder, 7)
    if how == "lock":
        pid = eventually(lambda: run.seen("holding"), 15, lambda: run.tree.text()[-3000:])[0][1]
    else:
        pid = run.beside()
        os.kill(pid, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
    other = run.beside(after=pid)
    assert not alive(pid)
    replaced = run.tree.event("service.replaced")
    assert replaced["pid"] == pid
    assert ("it ended" if how == "kill" else "no sign of life") in replaced["reason"]
    assert [words for _, at, *words in run.seen("learn") if at == other] == [["app:q", "q", {"tasks": ["hold"]}]]
    eventually(lambda: "done" in (run.folder / "runs.txt").read_text(), 15, lambda: run.tree.text()[-3000:])
    assert (run.folder / "runs.txt").read_text().split() == [str(worker), "done"], "it ran once: its lease was renewed"
    assert not run.tree.events("keeper.replaced")
    assert run.tree.stop() == 0


def test_a_look_that_raises_is_logged_and_comes_again_in_the_same_process(start: Any) -> None:
    run = start("what='raise'")
    run.tree.ready()
    pid = run.beside()
    assert "this look fails" in json.dumps(run.tree.event("service.error"))
    assert {at for _, at, *_ in run.seen("made")} == {pid}


def test_one_that_grows_without_bound_is_replaced(start: Any) -> None:
    run = start("what='grow'")
    run.tree.ready()
    assert "out of memory" in run.tree.event("service.replaced", within=20)["reason"]
    run.beside()


def test_a_duty_hears_of_a_change_of_the_notice_board_and_has_connections_of_its_own(start: Any) -> None:
    run = start()
    run.tree.ready()
    run.beside()
    store = registry().build("connectors", as_use(f"sqlite:///{run.folder}/q.db"))
    store.open("push")
    store.post("q", paused=True)
    store.close()
    eventually(
        lambda: [words for _, _, *words in run.seen("news")] == [["q", True]], 5, lambda: run.tree.text()[-3000:]
    )
    eventually(lambda: [words for _, _, *words in run.seen("role")] == [[True]], 5, lambda: run.tree.text()[-3000:])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("refused", "the services of the plugin ext:Ext for app:q: AssertionError: no licence"),
        ("odd notes", "the notes of the plugin ext:Ext: TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_services_and_notes_that_cannot_be_had_fail_the_start_in_words(start: Any, what: str, words: str) -> None:
    run = start(f"what={what!r}")
    assert run.tree.end(15) == 6
    assert words in run.tree.text()


def test_the_interpreters_lock_is_really_held() -> None:
    """Else the test of it would show nothing."""
    import threading

    ticks: list[float] = []

    def tick() -> None:
        while len(ticks) < 1000:
            ticks.append(time.monotonic())
            time.sleep(0.005)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    time.sleep(0.05)
    before = len(ticks)
    ctypes.PyDLL(None).usleep(300_000)
    assert len(ticks) <= before + 2
    ticks += [0.0] * 1000
    thread.join()
