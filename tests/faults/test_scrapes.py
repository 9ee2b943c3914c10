"""What `regiment run --metrics` says of ended tasks: exact over kills of workers and keepers, and over recycles, and never less than before."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.scale import size
from harness.servers import free_port
from harness.site import Site
from harness.tree import Tree
from harness.wait import eventually
from metrics.scraping import scraped
from regiment_runner.shared.ledger import LEDGER


def successes(port: int) -> float | None:
    """Tasks that succeeded, of all names; None where nobody answers."""
    found = scraped(port)
    if found is None:
        return None
    return sum(
        value
        for (name, labels), value in found.items()
        if name == "regiment_tasks_total" and ("outcome", "success") in labels
    )


@contextmanager
def scraping(port: int) -> Iterator[list[float]]:
    """What scrapes see, one after the other, while a test goes on."""
    seen, over = list[float](), threading.Event()

    def scrape() -> None:
        while not over.wait(0.05):
            found = successes(port)
            if found is not None:
                seen.append(found)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def keeper(tree: Tree) -> int:
    """The pid of its keeper, which is not its only other child here."""
    return int(json.loads((tree.folder / "tree.json").read_text())["keeper"])


def files(folder: Path) -> list[str]:
    """What belongs to workers in the folder of a tree."""
    return sorted(
        path.name for path in folder.iterdir() if path.suffix in (".page", ".stacks") or path.name.startswith(LEDGER)
    )


@pytest.mark.fault(89)
def test_metrics_are_exact_after_many_kills_of_workers_and_of_keepers(site: Site) -> None:
    chance, kills, port, tasks = random.Random(1), size(30, 500), free_port(), 0
    site.app("tasks_per_transaction=20")
    tree = site.tree(workers=2, metrics=f"127.0.0.1:{port}")
    with scraping(port) as seen:
        for kill in range(kills):
            site.push_many({"seconds": chance.uniform(0, 0.003)} for _ in range(50))
            tasks += 50
            time.sleep(chance.uniform(0.02, 0.2))
            os.kill(chance.choice(tree.ready()), signal.SIGKILL)
            if kill % 10 == 9:
                os.kill(keeper(tree), signal.SIGKILL)
        site.settle(60, extra_starts=kills, extra_ends=kills)
        eventually(lambda: successes(port) == tasks, 20, lambda: f"{successes(port)} of {tasks}\n{tree.text()[-2000:]}")
    assert seen == sorted(seen), "no scrape says less than one before it"
    assert seen[-1] <= tasks
    assert not tree.events("service.replaced") and not tree.events("service.error")
    eventually(lambda: len(files(tree.folder)) <= 5, 20, lambda: str(files(tree.folder)))
    assert tree.stop() == 0


@pytest.mark.fault(89)
def test_metrics_are_exact_after_many_recycles_and_no_process_leaves_a_file(site: Site) -> None:
    recycles, port = size(60, 1000), free_port()
    site.app("max_tasks_per_run=1")
    tree = site.tree(workers=2, metrics=f"127.0.0.1:{port}")
    site.push_many({"seconds": 0} for _ in range(recycles))
    with scraping(port) as seen:
        eventually(lambda: successes(port) == recycles, 60 + recycles, lambda: f"{successes(port)} of {recycles}")
    assert seen == sorted(seen), "no scrape says less than one before it"
    found = scraped(port)
    assert found is not None
    ends = {
        dict(labels)["kind"]: value for (name, labels), value in found.items() if name == "regiment_worker_ends_total"
    }
    assert ends["max_tasks_per_run"] >= recycles - 2 and ends["crash"] == 0
    assert len(found) < 60, "what is served does not grow with processes"
    eventually(lambda: len(files(tree.folder)) <= 5, 20, lambda: str(files(tree.folder)))
    assert tree.stop() == 0
