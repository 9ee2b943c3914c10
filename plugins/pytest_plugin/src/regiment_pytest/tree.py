"""A real supervisor with its workers, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from regiment.contracts import Connector

STOP = 30.0
"""Seconds that a tree may take to stop."""
STEP = 0.05


class Tree:
    """One `regiment run` in a process of its own."""

    def __init__(
        self, folder: Path, number: int, targets: Sequence[str], app_dir: str, within: float, options: dict[str, Any]
    ) -> None:
        self.targets, self.within = targets, within
        self._log = folder / f"log{number}"
        command = [
            sys.executable,
            "-m",
            "regiment",
            "--log-format",
            "json",
            "--app-dir",
            options.pop("app_dir", app_dir),
        ]
        command += ["run", *targets]
        for name, value in options.items():
            flag = f"--{name.replace('_', '-')}"
            command += [flag] if value is True else [] if value is False else [flag, str(value)]
        path = os.pathsep.join([entry or os.getcwd() for entry in sys.path])
        variables = {**os.environ, "PYTHONPATH": path}
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    def log(self) -> str:
        """What supervisor, keeper and workers have written."""
        return self._log.read_text(errors="replace")

    def ready(self) -> Tree:
        """Wait until the targets have workers that take tasks; AssertionError with the log if that does not come."""

        def taking() -> bool:
            log = self.log()
            return log.count('"worker.ready"') >= max(len(self.targets), log.count('"supervisor.started"'))

        self._until(taking, "it is not ready")
        return self

    def drain(self, *queues: Any, within: float | None = None) -> None:
        """Wait until no task of these queues is ready, delayed or running; name all to which their tasks push, too."""
        if not queues:
            raise TypeError("drain() got no queue; name the queues whose tasks are waited for")
        with ExitStack() as stack:
            looks = []
            for queue in queues:
                connector = queue.outlet.broker().open("look")
                stack.callback(connector.close)
                looks.append((connector, queue.outlet.config().name))

            def over() -> bool:
                # Twice: a task may push to a queue that was looked at before, and end before its own is.
                return not any(_left(*look) for look in (*looks, *looks))

            self._until(over, "there are tasks left", within)

    def stop(self) -> int:
        """SIGTERM: what runs is finished; the exit code. AssertionError if the tree does not end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"the workers have not stopped within {STOP:.0f} s\n{self.log()[-4000:]}") from None

    def _until(self, what: Any, problem: str, within: float | None = None) -> None:
        until = time.monotonic() + (self.within if within is None else within)
        while not what():
            if self._process.poll() is not None:
                raise AssertionError(
                    f"the workers have ended with exit code {self._process.returncode}\n{self.log()[-4000:]}"
                )
            if time.monotonic() > until:
                raise AssertionError(f"{problem} after {within or self.within:g} s\n{self.log()[-4000:]}")
            time.sleep(STEP)


def faces(targets: Sequence[str], app_dir: str | None) -> list[Any]:
    """The Worker classes and queues of these targets, imported here, too."""
    from regiment_cli.targets import find

    if app_dir is not None and app_dir not in sys.path:
        sys.path.insert(0, app_dir)
    return [face for target in targets for face in find(target.partition("=")[0]).values()]


def _left(connector: Connector, queue: str) -> int:
    """Tasks of a queue that are ready, delayed or leased."""
    counts = connector.counts(queue)
    return int(counts.ready + counts.delayed + counts.leased)
