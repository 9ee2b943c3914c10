"""Seven ways to hang, under each executor and killer: each ends in time, once, with its evidence and its descendants.

With REGIMENT_WRITE_DOCS=1 the run writes what it saw into the table of `docs/killers.md`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.ledger import boot_ns
from harness.site import Site
from harness.wait import alive, eventually, took

LIMIT, GRACE, SLACK = 0.5, 0.3, 0.5
DOCS = Path(__file__).parents[2] / "docs" / "killers.md"
HANGERS = {
    "sleeps in C": "sleeps",
    "loops in Python": "loops",
    "matches a regular expression for ever": "matches",
    "catches BaseException in a loop": "catches",
    "is blocked in recv": "receives",
    "never awaits": "never_awaits",
    "swallows CancelledError": "swallows",
}


class Pair(NamedTuple):
    """An executor with a killer, and what the killer can do there."""

    executor: str
    killer: str
    settings: str
    asynchronous: bool = False
    soft: bool = False

    def __str__(self) -> str:
        return f"{self.executor}+{self.killer}"


HARD = f"timeouts=Timeouts({LIMIT}, grace={GRACE})"
SOFT = f"timeouts=Timeouts(soft={LIMIT})"
PAIRS = [
    Pair("serial", "process", f"{HARD}, tasks_per_transaction=10"),
    Pair("threaded", "process", f"{HARD}, executor=Use('threaded', threads=3)"),
    Pair("asyncio", "process", f"{HARD}, executor=Use('asyncio', concurrency=3)", True),
    Pair("asyncio", "coroutine", f"{HARD}, executor=Use('asyncio', concurrency=3), killer='coroutine'", True),
]
THREAD = Pair(
    "threaded",
    "thread",
    f"{SOFT}, executor=Use('threaded', threads=3), killer=Use('thread', grace={GRACE})",
    soft=True,
)

BODIES = """
import asyncio, subprocess

def leave_a_child(n):
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    write("C", n, child.pid)


def in_c():
    time.sleep(60)

def in_python():
    while True:
        pass

def in_a_regex():
    re.match(r"(a+)+$", "a" * 40 + "b")

def in_deafness():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

def in_recv():
    ours, theirs = socket.socketpair()
    ours.recv(1)

async def without_await():
    while True:
        pass

async def swallowing():
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass
"""
PLAIN = """
def {name}(n):
    begin(n)
    leave_a_child(n)
    {call}

work.task({name})
"""
CALLS = {
    "sleeps": "in_c()",
    "loops": "in_python()",
    "matches": "in_a_regex()",
    "catches": "in_deafness()",
    "receives": "in_recv()",
}
COROUTINES = {"never_awaits": "without_await()", "swallows": "swallowing()"}
NEIGHBOR = {
    False: "@work.task\ndef neighbor(n):\n    begin(n)\n    time.sleep(0.02)\n    end(n)\n",
    True: "@work.task\nasync def neighbor(n):\n    begin(n)\n    await asyncio.sleep(0.02)\n    end(n)\n",
}

seen: dict[Pair, dict[str, str]] = {}


def body(asynchronous: bool) -> str:
    """The hangers and a neighbor, as plain functions or as coroutine functions."""
    calls = dict(CALLS)
    for name, call in COROUTINES.items():
        calls[name] = f"await {call}" if asynchronous else f"asyncio.run({call})"
    text = "".join(PLAIN.format(name=name, call=call) for name, call in calls.items())
    if asynchronous:
        text = text.replace("def ", "async def ")
    return BODIES + text + NEIGHBOR[asynchronous]


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Write the table at the end of a run that was asked to."""
    yield
    if os.environ.get("REGIMENT_WRITE_DOCS") and seen:
        write_table(DOCS)


def hang(site: Site, tree: Any, name: str) -> tuple[int, float, str]:
    """Push one hanger among neighbors and wait for its end: (number, seconds that it ran, how it ended)."""
    site.push_many([{}] * 3, task="neighbor")
    n = site.push(name)
    site.push_many([{}] * 5, task="neighbor")
    start = site.started(n).starts[n][0]
    while True:
        ended = not alive(start.pid)  # looked at first: a worker may tell and be gone right after
        told = [told for told in site.books().told[n] if told.outcome == "timeout"]
        if told and told[0].pid == start.pid:
            return n, took(start.at, told[0].at), "soft"
        if ended:
            return n, took(start.at), "killed"
        if boot_ns() - start.at > 20e9:
            pytest.fail(f"{name} still runs\n{site.logs()}")
        time.sleep(0.004)


def check(site: Site, tree: Any, n: int) -> dict[str, Any]:
    """One outcome, a dead letter with its evidence, nothing lost, no descendant left; the letter's reason."""
    site.store.quiet(15)
    books = site.until(lambda books: n in site.store.dead(), 5)
    kinds = [told.outcome for told in books.told[n]]
    assert kinds == ["timeout", "dead"], f"{kinds}\n{site.logs()}"
    reason = site.store.dead()[n]
    assert reason["kind"] == "timeout"
    evidence = reason["evidence"]
    assert evidence["rung"] in ("soft", "hard", "written off")
    assert evidence["seconds"] >= LIMIT
    assert evidence["rss"] > 1_000_000
    assert evidence["cpu"] >= 0
    lost = [m for m in site.books().acknowledged if m not in site.books().ends and m not in site.store.dead()]
    assert not lost
    child = next(int(words[2]) for words in site.books().words if words[:2] == ["C", str(n)])
    return {**reason, "child": child}


@pytest.mark.fault(9, 10, 14, 15)
@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_each_hanger_ends_within_limit_grace_and_half_a_second(site: Site, pair: Pair) -> None:
    site.app(pair.settings, hooks=True, body=body(pair.asynchronous))
    tree = site.tree(workers=1)
    seen[pair] = {}
    for words, name in HANGERS.items():
        tree.ready(1)
        n, seconds, how = hang(site, tree, name)
        assert seconds <= LIMIT + GRACE + SLACK, f"{name} ran {seconds:.2f} s"
        reason = check(site, tree, n)
        assert reason["evidence"]["rung"] == ("soft" if how == "soft" else "hard")
        if how == "killed":
            assert "Current thread" in reason["evidence"]["stacks"] or "Thread 0x" in reason["evidence"]["stacks"]
            eventually(lambda: not alive(reason["child"]), 2, "the descendant is gone")
        seen[pair][words] = f"{'ended' if how == 'soft' else 'killed'} at {seconds:.2f} s"
    assert tree.stop() == 0
    books = site.books()
    for n in books.acknowledged - site.store.dead().keys():
        assert [told.outcome for told in books.told[n]] == ["success"]


@pytest.mark.fault(13)
@pytest.mark.slow
def test_the_thread_killer_ends_what_runs_python_and_writes_off_what_stays_in_c(site: Site) -> None:
    site.app(THREAD.settings, hooks=True, body=body(False))
    tree = site.tree(workers=1)
    seen[THREAD] = {"matches a regular expression for ever": "**not stopped** (it holds the interpreter)"}
    for words, name in HANGERS.items():
        if name == "matches":
            continue
        tree.ready(1)
        n, seconds, how = hang(site, tree, name)
        reason = check(site, tree, n)
        rung = reason["evidence"]["rung"]
        assert rung == ("soft" if name in ("loops", "never_awaits") else "written off"), site.logs()
        assert how == "soft"
        assert seconds <= LIMIT + (GRACE if rung != "soft" else 0) + SLACK
        seen[THREAD][words] = f"{'ended' if rung == 'soft' else 'written off'} at {seconds:.2f} s"
        if rung != "soft":
            assert re.search(r'File ".*app\.py"', reason["evidence"]["stacks"])
            eventually(lambda: not alive(site.books().starts[n][0].pid), 3, "the worker is replaced")
    assert tree.stop() == 0


def write_table(path: Path) -> None:
    """Replace the table between the marks of the page."""
    pairs = [pair for pair in [*PAIRS, THREAD] if pair in seen]
    lines = [
        "| a task that … | " + " | ".join(f"{pair.executor}, `{pair.killer}`" for pair in pairs) + " |",
        "|---|" + "---|" * len(pairs),
    ]
    for words in HANGERS:
        lines.append(f"| {words} | " + " | ".join(seen[pair].get(words, "–") for pair in pairs) + " |")
    text = path.read_text()
    before, _, rest = text.partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    table = "\n".join(lines)
    path.write_text(f"{before}<!-- table -->\n{table}\n<!-- end of table -->{after}")
