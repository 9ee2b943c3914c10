"""What systemd is told: readiness is not lost where it could not be said, and one that does not read holds nobody up."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regiment_runner.supervisor.heartbeat import Notify


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "15000000")
    return str(tmp_path / "notify")


@pytest.fixture
def listener(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(10)
        yield made


def test_readiness_that_could_not_be_said_is_said_at_the_next_tick_and_then_no_more(
    address: str, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    notify = Notify()
    notify.ready()
    (record,) = caplog.records
    assert record.message == "supervisor.notify"
    said: dict[str, str] = vars(record)["regiment"]
    assert said["what"] == "systemd is not told of READY"
    assert "No such file or directory" in said["error"]
    listener.bind(address)
    notify.ready()
    notify.ready()
    notify.alive()
    assert [listener.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]


def test_one_that_does_not_read_does_not_hold_up_the_supervisor(address: str, listener: socket.socket) -> None:
    listener.bind(address)
    notify = Notify()
    start = time.monotonic()
    for _ in range(2000):  # more than a queue of datagrams holds (net.unix.max_dgram_qlen)
        notify.alive()
    assert time.monotonic() - start < 10
    notify.ready()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            assert listener.recv(100) == b"WATCHDOG=1"
    notify.ready()
    assert listener.recv(100) == b"READY=1"
