"""The processes of one session: a client that pushes, and the workers; both in the system's own environment."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Self

from benchmark.measure import metering
from benchmark.peers.system import Job, System
from harness.wait import with_variable

APPS = Path(__file__).resolve().parents[1] / "peers" / "apps"
PATIENCE = 180.0
"""Seconds that a client may take for one order; orders have limits of their own, far below."""


class Failed(Exception):
    """A measurement that cannot be made; the text says why."""


class Client:
    """A process that pushes what it is told to."""

    def __init__(self, app: str, job: Job, environment: Mapping[str, str], log: Path) -> None:
        with open(log, "ab") as errors:
            self._process = subprocess.Popen(
                [job.python, str(APPS / "client.py"), app],
                cwd=APPS,
                env=environment,
                stderr=errors,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._log = log
        self._answer()

    def ask(self, **order: Any) -> dict[str, Any]:
        """One order and its answer."""
        self._pipe(self._process.stdin).write(json.dumps(order) + "\n")
        self._pipe(self._process.stdin).flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            self._pipe(pipe).close()

    def _answer(self) -> dict[str, Any]:
        answers = self._pipe(self._process.stdout)
        if not select.select([answers], [], [], PATIENCE)[0]:
            raise Failed(f"the client did not answer within {PATIENCE:g} s: {tail(self._log)}")
        line = answers.readline()
        if not line.startswith("{"):
            raise Failed(f"the client ended: {tail(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


class Workers:
    """Worker processes, as their system starts them, until the block ends; nothing of them stays."""

    def __init__(self, system: System, job: Job, environment: Mapping[str, str], log: Path) -> None:
        self._lines, self._log = system.commands(job), log
        self._mark = f"BENCH_MARK={log}-{time.monotonic_ns()}"
        name, _, value = self._mark.partition("=")
        self._environment = {**environment, name: value}
        self.began = time.monotonic_ns()
        self._processes = [self._start(line) for line in self._lines]
        self.restarts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def roots(self) -> list[int]:
        """The processes that were started here."""
        return [process.pid for process in self._processes]

    def cpu(self) -> float:
        """Seconds of CPU of all of them."""
        return metering.tree_cpu(self.roots)

    def look(self, restart: bool = False) -> None:
        """Raise if one has ended; or start it again, as a service manager would."""
        for index, process in enumerate(self._processes):
            if process.poll() is not None:
                if not restart:
                    raise Failed(f"a worker ended with {process.returncode}: {tail(self._log)}")
                self._processes[index] = self._start(self._lines[index])
                self.restarts += 1

    def hold(self) -> None:
        """Stop all of them where they are, until `go`."""
        self._signal(signal.SIGSTOP, metering.descendants(self.roots))

    def go(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT, metering.descendants(self.roots))

    def stop(self, patience: float = 8.0) -> None:
        """SIGTERM, and SIGKILL for what is left."""
        self.go()
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + patience
        for process in self._processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        while left := with_variable(self._mark):
            self._signal(signal.SIGKILL, left)
            time.sleep(0.02)
        for process in self._processes:
            process.wait()

    @staticmethod
    def _signal(number: int, pids: Iterable[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _start(self, line: list[str]) -> subprocess.Popen[bytes]:
        with open(self._log, "ab") as log:
            return subprocess.Popen(
                line,
                cwd=APPS,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def tail(log: Path) -> str:
    """The end of a log, in one line."""
    return " | ".join(log.read_text(errors="replace").splitlines()[-6:])[-700:]
