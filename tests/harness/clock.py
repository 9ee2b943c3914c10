"""A clock that a test sets, for processes of its own. Only the time of day is wrong; the others stay as they are.

For a server it is libfaketime (Debian's package of that name), preloaded. Without the library, which may also be named by
REGIMENT_TEST_FAKETIME, the test is skipped and says so; under CI=true it fails. For a tree it is what Python's `time` says: under libfaketime
0.9.10, `time.sleep` of Python 3.11 fails with EINVAL, which no wrong clock would make it do.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def found() -> str | None:
    """Where libfaketime is, if it is here."""
    return os.environ.get("REGIMENT_TEST_FAKETIME") or next(
        map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None
    )


def library() -> str:
    """Where libfaketime is; without it the test is skipped, or fails under CI=true."""
    where = found()
    if where is None:
        text = "no libfaketime (Debian's package libfaketime)"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(f"SKIPPED WITHOUT PROOF: {text}")
    return where


FOR_PYTHON = """\
import time


def _wrong(name, unit):
    right = getattr(time, name)

    def clock():
        with open({file!r}) as file:
            return right() + int(file.read()) * unit

    setattr(time, name, clock)


_wrong("time", 1)
_wrong("time_ns", 1_000_000_000)
"""


class Clock:
    """A time of day; it starts out right."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "clock"
        self.set(0)

    def set(self, seconds: int) -> None:
        """Be so many seconds off, from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    def of_server(self) -> dict[str, str]:
        """Variables of a server with this clock."""
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def of_tree(self) -> dict[str, str]:
        """Variables of a tree with this clock."""
        (self._folder / "sitecustomize.py").write_text(FOR_PYTHON.format(file=str(self._file)))
        tests = str(Path(__file__).parent.parent)
        return {"PYTHONPATH": os.pathsep.join([str(self._folder), tests, os.environ.get("PYTHONPATH", "")])}
