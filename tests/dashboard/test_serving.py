"""Nobody holds the server up: who sends slowly, sends nothing, does not read, or comes with a thousand connections."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dashboard.conftest import Served, fill
from harness import servers
from harness.wait import eventually
from regiment_dashboard.asked import SENDING
from regiment_dashboard.asking import Asking
from regiment_dashboard.serving import ASKING

HEAD = b"POST /act/purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@contextlib.contextmanager
def opened(served: Served) -> Iterator[socket.socket]:
    """A connection whose reads do not block."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as link:
        link.settimeout(0)
        yield link


def over(link: socket.socket, more: bytes = b"") -> bool:
    """True if the server has closed it; else one more piece is sent."""
    try:
        if link.recv(65536) == b"":
            return True
        if more:
            link.send(more)
    except BlockingIOError:
        with contextlib.suppress(BlockingIOError):
            link.send(more)
    except OSError:
        return True
    return False


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
        (HEAD + b"Content-Length: 60000\r\n\r\n", b"a"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"GET /workers HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n", b"a"),
    ],
    ids=["sends nothing", "trickles headers", "trickles a form", "trickles chunks", "trickles what nobody reads"],
)
def test_who_sends_slowly_is_shown_out_and_nobody_else_waits(serve: Any, file: str, begin: bytes, more: bytes) -> None:
    served: Served = serve(file)
    with opened(served) as slow:
        slow.send(begin)
        assert served.ask("/workers").status == 200, "others are served meanwhile"
        eventually(lambda: over(slow, more), ASKING + SENDING + 20, "the slow one is still there")
    assert served.counts().ready == 3


def test_a_further_request_of_a_connection_has_its_own_time(serve: Any, file: str) -> None:
    served: Served = serve(file)
    with opened(served) as link:
        link.send(b"GET /workers HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        eventually(lambda: b"</html>" in _read(link), 30, "the first answer")
        link.send(b"GET /workers HTTP/1.1\r\n")
        eventually(lambda: over(link, b"X-A: b\r\n"), ASKING + 20, "the slow one is still there")


def _read(link: socket.socket) -> bytes:
    try:
        return link.recv(1 << 20)
    except BlockingIOError:
        return b""


def test_more_idle_connections_than_it_takes_keep_nobody_out_for_long(serve: Any, file: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))  # of which it takes half
    try:
        served: Served = serve(file)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(opened(served)) for _ in range(260)]
        eventually(lambda: any(map(over, links)), 30, "one more than it takes is closed at once")
        assert not all(map(over, links))
        eventually(lambda: _answers(served), ASKING + 30, "it serves nobody any more")


def _answers(served: Served) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return served.ask("/workers").status == 200
    return False


PROMISED, MARGIN = 1.0, 0.5
"""Seconds in which it stops, and those that a busy machine may need more in the best of three times."""


@pytest.mark.parametrize("hangs", [False, True], ids=["", "and the store hangs"])
def test_it_stops_within_a_second_though_pages_are_open_and_one_still_sends(serve: Any, hangs: bool) -> None:
    took = []
    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        fill(url)
        while not took or (min(took) > PROMISED + MARGIN and len(took) < 3):
            took.append(_stopped(serve(url), server.pid if hangs else 0))
    assert min(took) <= PROMISED + MARGIN, took


def _stopped(served: Served, hang: int) -> float:
    """Seconds from SIGTERM to the end, with 20 connections; `hang`: the pid of a server that is stopped before that."""
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(opened(served)) for _ in range(20)]
        for link in links[:10]:
            link.send(b"GET /?fragment=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        links[-1].send(HEAD + b"Content-Length: 60000\r\n\r\na")
        eventually(lambda: all(b"200 OK" in _read(link) for link in links[:1]), 30, "it answers")
        if hang:
            os.kill(hang, signal.SIGSTOP)
            stack.callback(os.kill, hang, signal.SIGCONT)
            links[-2].send(b"GET /letter?queue=mail&id=t1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
        return time.monotonic() - began


def test_an_act_that_is_under_way_is_not_cut_by_the_end() -> None:
    asking, done, begun = Asking("test"), list[str](), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.3)
        done.append("an act")

    asking.submit(work, act=True)
    assert begun.wait(10)
    asking.submit(lambda: done.append("another"), act=True)
    asking.stop()
    assert done == ["an act", "another"]
    assert asking.submit(lambda: done.append("too late")).cancelled() and len(done) == 2
