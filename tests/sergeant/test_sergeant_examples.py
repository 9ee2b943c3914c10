"""Sergeant's documented examples run by a changed import, under its own command, on a real Redis."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.each_store import Stores
from harness.wait import eventually

PROJECT = Path(__file__).parent / "project"


class Moved:
    """The project of Sergeant's form, an empty Redis, and what its workers note."""

    def __init__(self, folder: Path, url: str) -> None:
        self.outbox, self.log = folder / "outbox.txt", folder / "run.log"
        self.outbox.touch()
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        left = {key: value for key, value in os.environ.items() if not key.startswith("REGIMENT")}
        self.variables = {
            **left,
            "REDIS_PORT": str(urlsplit(url).port),
            "XDG_RUNTIME_DIR": str(runtime),
            "OUTBOX": str(self.outbox),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._trees: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a program that supervises."""
        with self.log.open("ab") as out:
            tree = subprocess.Popen(
                [sys.executable, *words],
                cwd=PROJECT,
                env=self.variables,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._trees.append(tree)
        return tree

    def supervise(self, name: str, workers: int = 1, *more: str) -> subprocess.Popen[bytes]:
        """Sergeant's command, by the name of the shim."""
        options = [f"--concurrent-workers={workers}", "--worker-module=consumers", f"--worker-class={name}"]
        return self.start("-m", "regiment_sergeant.supervisor", *options, *more)

    def python(self, code: str) -> str:
        """What a program of the project prints."""
        told = subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        return told.stdout

    def push(self, name: str, *many: str) -> None:
        """Push tasks with these arguments, by an instance of the worker."""
        self.python(f"import consumers; consumers.{name}().push_tasks(kwargs_list=[{', '.join(many)}])")

    def notes(self, number: int) -> list[str]:
        """The first lines that the workers noted, when they are so many."""

        def lines() -> list[str] | None:
            found = self.outbox.read_text().splitlines()
            return found if len(found) >= number else None

        return eventually(lines, 60, lambda: self.outbox.read_text() + self.log.read_text())

    def close(self) -> None:
        """End what was started."""
        for tree in self._trees:
            tree.terminate()
        for tree in self._trees:
            tree.wait(60)


@pytest.fixture
def moved(tmp_path: Path, stores: Stores) -> Iterator[Moved]:
    made = Moved(tmp_path, stores.redis(tmp_path))
    yield made
    made.close()


def test_a_producer_and_a_consumer_need_nothing_but_the_import(moved: Moved) -> None:
    assert moved.python("import producer; producer.main()") == "20\n"
    moved.supervise("Consumer")
    lines = moved.notes(21)
    assert lines[0] == "initialize"
    assert [line.split(" by ")[0] for line in lines[1:]] == [f"consumed {number}" for number in range(20)]
    # log_to_stdout: lines in Sergeant's form beside what `regiment run` writes
    eventually(lambda: re.search(r"regiment\.worker\.consumer \d+ INFO +got 19", moved.log.read_text()), 30)


def test_several_consumers_share_the_tasks_of_one_producer(moved: Moved) -> None:
    moved.push("Consumer", *(f"{{'number': {number}}}" for number in range(200)))
    moved.supervise("Consumer", 3)
    lines = [line for line in moved.notes(203) if line.startswith("consumed")]
    assert sorted(int(line.split()[1]) for line in lines) == list(range(200))


def test_a_consumer_pushes_to_another_one_and_the_trace_id_goes_along(moved: Moved) -> None:
    moved.supervise("First")
    moved.supervise("Second")
    moved.python(
        "import consumers; w = consumers.First()\n"
        "for n in range(3): w.push_task(kwargs={'text': str(n)}, trace_id=f'trace-{n}')"
    )
    assert sorted(moved.notes(3)) == [f"second got {n}, and first of trace-{n}" for n in range(3)]


def test_a_task_beyond_its_timeout_is_interrupted_and_a_stubborn_one_killed(moved: Moved) -> None:
    moved.push("Slow", "{'stubborn': False}", "{'stubborn': True}")
    moved.supervise("Slow")
    assert moved.notes(5) == [
        "post_work False True",
        "timed out, stubborn False",
        "ignored the timeout",
        "post_work False True",
        "timed out, stubborn True",
    ]


def test_retries_end_at_max_retries_and_on_retry_is_called_for_each_that_follows(moved: Moved) -> None:
    moved.push("Retried", "{}")
    moved.supervise("Retried")
    expected = [line for number in range(3) for line in (f"run {number}", "on_retry")]
    assert moved.notes(8) == [*expected, "run 3", "on_max_retries"]


def test_threads_of_one_worker_run_tasks_at_once(moved: Moved) -> None:
    moved.push("Threaded", "{}", "{}")
    moved.supervise("Threaded")
    assert moved.notes(2) == ["met", "met"]


def test_a_delayed_task_waits_for_its_time(moved: Moved) -> None:
    moved.supervise("Delayed")
    moved.python(
        "import consumers, time; due = time.time() + 1.5\n"
        "consumers.Delayed().push_task(kwargs={'due': due}, consumable_from=due)"
    )
    assert moved.notes(1) == ["early False"]


def test_stop_ends_all_workers_and_their_supervisor_and_the_task_is_over(moved: Moved) -> None:
    moved.push("Stopping", "{'param': 'first'}")
    tree = moved.supervise("Stopping", 2)
    assert tree.wait(60) == 0, moved.log.read_text()
    counted = "import consumers; print(consumers.Stopping().number_of_enqueued_tasks(include_delayed=True))"
    assert (moved.notes(1), moved.python(counted)) == (["param first"], "0\n")


def test_respawn_replaces_the_worker_and_the_task_is_over(moved: Moved) -> None:
    moved.push("Respawning", "{}", "{}")
    moved.supervise("Respawning")
    assert len(set(moved.notes(2))) == 2
    time.sleep(1)
    assert len(moved.notes(2)) == 2


def test_get_next_tasks_takes_tasks_of_another_queue(moved: Moved) -> None:
    numbers = "[{'number': number} for number in range(5)]"
    moved.python(f"import consumers; consumers.Adding().push_tasks(kwargs_list={numbers}, task_name='numbers')")
    moved.push("Adding", "{}")
    moved.supervise("Adding")
    assert moved.notes(1) == ["sum 10, left 0"]


def test_a_supervisor_in_a_program_has_a_logger_of_its_own_and_a_starved_worker_stops_it(moved: Moved) -> None:
    tree = moved.start("supervise.py")
    assert tree.wait(60) == 0, moved.log.read_text()
    lines = moved.outbox.read_text().splitlines()
    assert "starved True" in lines and any("worker.ready" in line for line in lines)


def test_a_class_that_is_not_there_is_an_error_in_words(moved: Moved) -> None:
    tree = moved.supervise("Consumers", 1, "--max-worker-memory-usage=500000000")
    assert tree.wait(60) != 0
    assert 'Did you mean "Consumer"?' in moved.log.read_text()
