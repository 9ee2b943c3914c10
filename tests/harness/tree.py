"""A supervisor and its workers as real processes, seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.ledger import boot_ns
from harness.wait import alive, children, eventually
from regiment_runner.shared import page
from regiment_runner.shared.page import Page

START = 15.0
"""Seconds that a tree may take to start on a busy machine."""

TEST_LEASES = "REGIMENT_TEST_LEASES"
"""With this variable a worker starts with any lease. No user's option: below 4 s a keeper that hangs costs the lease
(`docs/guarantees.md`), and a row that stops a keeper for longer than that has to be written with that in mind.
"""

RUN_OPTIONS = {"workers", "burst", "stop_timeout", "max_memory", "preload", "reload", "heartbeat"} | {
    *("metrics", "metrics_token", "dashboard", "dashboard_token")
}
"""Fields of `regiment_runner.Supervisor` that are options of `regiment run`."""


def command_line(
    targets: list[str],
    folder: Path,
    level: str,
    supervisor: dict[str, Any],
    program: str = "run_tree.py",
) -> list[str]:
    """What starts a tree: `regiment run`, as users start it, or, with a field that the command line has no option for
    (`tick`, `crash_backoff`, …), a program that calls `regiment_runner.Supervisor`.
    """
    if not set(supervisor) <= RUN_OPTIONS or program != "run_tree.py":
        order = {"targets": targets, "level": level, "supervisor": {"app_dir": str(folder), **supervisor}}
        return [str(Path(__file__).with_name(program)), json.dumps(order)]
    line = ["-m", "regiment", "run", *targets, "--app-dir", str(folder)]
    line += ["--log-format", "json", "--log-level", level]
    for name, value in supervisor.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            line += [option] if value else []
        else:
            line += [option, _written(value)]
    return line


def _written(value: Any) -> str:
    """A number, a size, or a range of workers, as an option has it."""
    return f"{value[0]}..{value[1]}" if isinstance(value, (tuple, list)) else str(value)


class Tree:
    """One `regiment run`. Its log is JSON lines, its pages lie under `runtime`."""

    def __init__(
        self,
        folder: Path,
        runtime: Path,
        targets: list[str],
        log: Path,
        *,
        level: str = "INFO",
        environment: dict[str, str] | None = None,
        new_group: bool = True,
        program: str = "run_tree.py",
        **supervisor: Any,
    ) -> None:
        self.runtime, self.log = runtime, log
        variables = {**os.environ, TEST_LEASES: "1", "XDG_RUNTIME_DIR": str(runtime), **(environment or {})}
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command_line(targets, folder, level, supervisor, program)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=variables,
                start_new_session=new_group,
            )
        self.pid = self.process.pid
        self.started = time.monotonic()

    # Looking

    @property
    def folder(self) -> Path:
        """Where its pages lie."""
        found = list((self.runtime / "regiment").glob(f"{self.pid}-*"))
        return found[0] if found else self.runtime / "none"

    @contextmanager
    def pages(self) -> Iterator[list[Page]]:
        """The pages of its workers, living and dead, oldest first."""
        opened = []
        for path in sorted(self.folder.glob("*.page"), key=lambda path: int(path.stem[1:])):
            try:
                opened.append(Page(path))
            except (OSError, ValueError):
                continue
        try:
            yield opened
        finally:
            for one in opened:
                one.close()

    def workers(self) -> list[int]:
        """Pids of its workers that are ready and alive."""
        with self.pages() as pages:
            pids = [(int(one.words[page.PID]), one.words[page.STATE]) for one in pages]
        return [pid for pid, state in pids if pid and state == page.READY and alive(pid)]

    def lose_folder(self) -> None:
        """Remove the folder of its pages, and that of all trees. What its keeper writes there meanwhile goes too."""
        try:
            shutil.rmtree(self.folder.parent)
        except OSError:
            shutil.rmtree(self.folder.parent)

    def keeper(self) -> int:
        """Pid of its keeper."""

        def found() -> int | None:
            with self.pages() as pages:
                workers = {int(one.words[page.PID]) for one in pages}
                born = 0 in workers
            others = [pid for pid in children(self.pid) if pid not in workers and alive(pid)]
            return None if born or len(others) != 1 else others[0]

        return eventually(found, 10, "one keeper")

    def ready(self, count: int = 1, within: float = START) -> list[int]:
        """Wait until so many workers are ready; their pids."""
        return eventually(
            lambda: found if len(found := self.workers()) >= count else None,
            within,
            lambda: self.text()[-3000:],
        )

    def text(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Its log's events of a name, or all."""
        found = []
        for line in self.text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and (name is None or event.get("event") == name):
                found.append(event)
        return found

    def event(self, name: str, within: float = 5.0, count: int = 1) -> dict[str, Any]:
        """Wait for the `count`-th event of a name."""
        return eventually(
            lambda: found[count - 1] if len(found := self.events(name)) >= count else None,
            within,
            lambda: f"event {name}\n{self.text()[-3000:]}",
        )

    def lived(self) -> float:
        """Seconds from its supervisor's start to the last that it said. It must have ended."""
        started = datetime.fromisoformat(self.event("supervisor.started")["timestamp"])
        said = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        last = max(datetime.fromisoformat(event["timestamp"]) for event in said)
        return (last - started).total_seconds()

    def ready_at(self) -> dict[int, int]:
        """When each of its workers, by pid, was ready for its first task, on the boot clock in nanoseconds."""
        shift = boot_ns() - time.time_ns()
        return {
            event["worker"]: shift + int(datetime.fromisoformat(event["timestamp"]).timestamp() * 1e9)
            for event in self.events("worker.ready")
        }

    # Doing

    def send(self, number: signal.Signals) -> None:
        """Signal the supervisor."""
        self.process.send_signal(number)

    def end(self, within: float) -> int:
        """Wait for the supervisor's end; its exit code."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the tree has not ended within {within:g} s\n{self.text()[-3000:]}") from None

    def stop(self, within: float = 30.0) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        self.send(signal.SIGTERM)
        return self.end(within)

    def kill(self) -> None:
        """SIGKILL the supervisor, and reap it."""
        self.process.kill()
        self.process.wait()
