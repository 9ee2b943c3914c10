"""A Dask cluster of real processes: a scheduler, and workers without a nanny, so that one that is killed is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from distributed import Client

from harness.wait import alive, eventually

START = 60.0
"""Seconds that a process of the cluster may take to start on a busy machine."""


class Cluster:
    """Dask's own programs, on a free port of this host. `folder` is where its workers find applications."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address, self._made = "", 0
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """A scheduler: on a free port, and once it has one, on that."""
        told = self.folder / f"scheduler{self._made}.json"
        port = self.address.rpartition(":")[2] or "0"
        made = self._start("scheduler", "--port", port, "--scheduler-file", str(told))

        def address() -> str | None:
            try:
                return str(json.loads(told.read_text())["address"])
            except (OSError, ValueError):
                return None

        self.address = eventually(address, START, self.logs)
        self.scheduler = made
        return made

    def start_worker(self) -> int:
        """A worker with two threads; its pid."""
        made = self._start("worker", self.address, "--no-nanny", "--nthreads", "2")
        self.workers[made.pid] = made
        return made.pid

    def ready(self) -> None:
        """Wait until the scheduler knows all workers that live."""
        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]

            def all_known() -> bool:
                known = len(client.scheduler_info(n_workers=-1)["workers"])
                return known >= sum(map(alive, self.workers))

            eventually(all_known, START, self.logs)

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        self._made += 1
        path = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH", "")]))
        with open(self.folder / f"{what}{self._made}.log", "wb") as log:
            line = [sys.executable, "-m", "dask", what, "--host", "127.0.0.1", "--no-dashboard", *options]
            environment = {**os.environ, "PYTHONPATH": path}
            return subprocess.Popen(line, stdout=log, stderr=log, cwd=self.folder, env=environment)

    def kill(self, pid: int) -> None:
        """`kill -9` of a worker."""
        self.workers[pid].send_signal(signal.SIGKILL)
        self.workers.pop(pid).wait()

    def mend(self) -> None:
        """A new worker for each that has died by itself."""
        for pid, process in list(self.workers.items()):
            if process.poll() is not None:
                del self.workers[pid]
                self.start_worker()

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """End all of it."""
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
            process.wait()
