"""The HTTP server under the pages. Nobody holds it up: a connection that sends slowly, or nothing, or does not read, is closed."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

ASKING = 10.0
"""Seconds from the opening of a connection, or the first byte of a further request, until its headers are there."""
ANSWERED = 60.0
"""Seconds from then until the request is read and the answer is taken."""
STOPPING = 0.3
"""Seconds that are left to what is being answered when it is told to stop: it has stopped within one."""
MOST = 1000
"""Connections at once, or half the descriptors that this process may have; one more is closed at once."""


class Bounded(H11Protocol):
    """A connection with a deadline in each of its states."""

    _deadline: asyncio.TimerHandle | None = None
    _answering = False
    most = MOST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._until(ASKING)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and not self._answering:
            self._until(ANSWERED)
        elif not answering and self._deadline is None:
            self._until(ASKING)
        self._answering = answering

    def on_response_complete(self) -> None:
        self._until(None)  # until something more is sent it is uvicorn that counts: five seconds
        self._answering = False
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._until(None)
        super().connection_lost(exc)

    def _until(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        self.transport.abort()


def serve(application: Any, listening: socket.socket, prefix: str) -> None:
    """Serve until SIGTERM or Ctrl-C; what is being answered then has `STOPPING`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn has its own while it serves, and sends itself the same again afterwards.
        signal.signal(number, lambda *_: None)
    serve_here(application, listening, prefix)


def serve_here(application: Any, listening: socket.socket, prefix: str = "") -> None:
    """Serve in this thread, which need not be the main one."""
    Bounded.most = min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    settings = uvicorn.Config(
        application,
        root_path=prefix,
        http=Bounded,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=STOPPING,  # type: ignore[arg-type]  # it waits for any number of seconds
        h11_max_incomplete_event_size=64 * 1024,
    )
    uvicorn.Server(settings).run(sockets=[listening])
