"""The HTTP server under the pages."""

from __future__ import annotations

import signal
import socket
from typing import Any

import uvicorn


def serve(application: Any, listening: socket.socket, prefix: str) -> None:
    """Serve until SIGTERM or Ctrl-C; what is being answered then has a second."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, lambda *_: None
        )  # uvicorn has its own while it serves, and sends itself the same again afterwards
    serve_here(application, listening, prefix)


def serve_here(application: Any, listening: socket.socket, prefix: str = "") -> None:
    """Serve in this thread, which need not be the main one."""
    settings = uvicorn.Config(
        application,
        root_path=prefix,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=64 * 1024,
    )
    uvicorn.Server(settings).run(sockets=[listening])
