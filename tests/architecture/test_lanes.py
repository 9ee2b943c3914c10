"""The tests' own lanes: what needs the machine for itself has it, and has not to wait for the end of all others."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from harness.lanes import lane
from harness.wait import eventually


def test_who_runs_alone_waits_for_those_before_and_keeps_out_those_behind(tmp_path: Path) -> None:
    seen: list[str] = []

    def run(name: str, alone: bool) -> threading.Thread:
        def body() -> None:
            with lane(tmp_path, alone):
                seen.append(name)

        thread = threading.Thread(target=body)
        thread.start()
        return thread

    with lane(tmp_path, alone=False), lane(tmp_path, alone=False):
        waiting = [run("alone", True)]
        held = tmp_path / "door"
        eventually(lambda: _locked(held), 10, "it stands in the door")
        waiting += [run("behind", False) for _ in range(3)]
        waiting[1].join(0.1)
        assert seen == [], "two run, and nobody beside them any more"
    for thread in waiting:
        thread.join(10)
    assert seen == ["alone", "behind", "behind", "behind"]


def _locked(path: Path) -> bool:
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
