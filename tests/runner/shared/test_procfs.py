"""What /proc says is bytes: any name a process may have, cut anywhere."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator

import pytest

from harness.wait import eventually
from regiment_runner.shared import procfs
from regiment_runner.shared.descendants import Descendants, end_tagged

NAME = "обработка".encode()[:15]
"""Cut within a letter, as the kernel cuts; it holds no byte that ends a name."""


@pytest.fixture(params=[NAME, b"a) R 1 (b", b""], ids=["cut", "brackets", "empty"])
def strange(request: pytest.FixtureRequest) -> Iterator[int]:
    """A child with a strange name, which wears a mark of tag 5."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(15, request.param)
        marked = Descendants()
        marked.tag = 5
        marked.wear(1)
        os.write(write, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(read, 1)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    os.close(read)
    os.close(write)


def test_a_process_of_any_name_is_read(strange: int) -> None:
    found = procfs.stat(strange)
    assert found is not None
    assert found.lives and found.parent == os.getpid()
    # The kernel counts a new process's pages in batches: at first it may have none.
    eventually(lambda: (procfs.resident(strange) or 0) > 0, 5)
    found = procfs.stat(strange)
    assert found is not None and abs((procfs.resident(strange) or 0) - found.resident) < 2**22
    assert procfs.start_ticks(strange) == found.started
    assert procfs.cpu_seconds(strange) is not None
    assert strange in procfs.children() and strange in set(procfs.everyone())


def test_a_process_of_any_name_gives_evidence_and_is_ended(strange: int) -> None:
    end_tagged(5, 2.0)
    assert os.waitpid(strange, 0)[1] == signal.SIGKILL


def test_a_process_that_is_gone_is_none() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    zombie = procfs.stat(pid)
    os.waitpid(pid, 0)
    assert procfs.stat(pid) is None and procfs.resident(pid) is None
    assert procfs.children(pid) == [] and not procfs.exists(pid)
    assert zombie is None or zombie.state in "RZ"
