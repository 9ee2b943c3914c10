"""Row 12 of the fault matrix on SQLite: a limit passes inside a push that a task makes."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from harness.ledger import Books
from harness.scale import size
from harness.site import Site
from harness.store import Store
from harness.wait import eventually
from regiment import Queue

PUSHES = """
out = Queue("out", connector={url!r})


@out.task
def leaf(n: int) -> None: ...


@work.task
def pushes(n: int) -> None:
    "Push, and nothing else, until the limit strikes: `sent` before the call, `kept` when it has returned."
    begin(n)
    m = n * 1_000_000 + current().task.delivery_count * 100_000
    while True:
        m += 1
        write("sent", m)
        leaf.push(n=m)
        write("kept", m)
"""


def numbers(books: Books, word: str) -> set[int]:
    return {int(words[1]) for words in books.words if words[0] == word}


def whole(path: str) -> str:
    with contextlib.closing(sqlite3.connect(path)) as handle:
        return str(handle.execute("PRAGMA integrity_check").fetchone()[0])


def check_what_was_pushed(site: Site, strikes: int) -> None:
    """Each push that returned is there once, of those that were cut off at most one for each strike, and nothing else."""
    with contextlib.closing(Store(site.url, Queue("out", connector=site.url))) as out:
        codec = out.queue.broker.codec
        seen = out.look.peek("out", "ready", 10_000_000)
        stored = [codec.decode(one.payload, "out").kwargs["n"] for one in seen]
    books = site.books()
    sent, kept = numbers(books, "sent"), numbers(books, "kept")
    assert kept, "it did push"
    assert len(stored) == len(set(stored)), "a push is there twice"
    assert not kept - set(stored), "a push that returned is lost"
    assert not set(stored) - sent, "there is a task that nobody pushed"
    assert len(sent - kept) <= strikes, "only what a strike cut off is unknown"
    assert whole(site.url.removeprefix("sqlite:///")) == "ok"


@pytest.mark.fault(12)
def test_a_soft_limit_that_passes_inside_a_push_leaves_it_whole_or_absent_and_the_worker_usable(
    site: Site,
) -> None:
    body = PUSHES.format(url=site.url)
    site.app("timeouts=Timeouts(0.02, grace=30), tasks_per_transaction=5", hooks=True, body=body)
    tree = site.tree(workers=2)
    pids = tree.workers()
    count = size(150, 5000)
    struck = site.push_many([{}] * count, task="pushes")
    after = site.push_many([{}] * 20)
    site.ended(*after, within=60 + count / 10)
    site.store.quiet(10)
    books = site.books()
    assert set(site.store.dead()) == set(struck)
    assert {reason["kind"] for reason in site.store.dead().values()} == {"timeout"}
    assert all([one.outcome for one in books.told[n]] == ["timeout", "dead"] for n in struck)
    assert tree.workers() == pids, "the workers live, and so do their connections"
    check_what_was_pushed(site, count)
    assert tree.stop() == 0


@pytest.mark.fault(12)
def test_a_worker_killed_inside_a_push_at_its_hard_limit_damages_nothing(site: Site) -> None:
    body = PUSHES.format(url=site.url)
    settings = "timeouts=Timeouts(0.03, grace=0.000001), tasks_per_transaction=5, recheck=0.2"
    site.app(settings, body=body)
    tree = site.tree(workers=2)
    count = size(15, 400)
    struck = site.push_many([{}] * count, task="pushes")
    after = site.push_many([{}] * 20)
    site.ended(*after, within=60 + 2 * count)
    site.store.quiet(10)
    assert set(site.store.dead()) == set(struck)
    eventually(lambda: len(tree.workers()) == 2, 10)
    check_what_was_pushed(site, count)
    assert tree.stop() == 0
