"""The event loop on which a client of Dask lives, in a thread of its own. Dask's own loop stays when a connection fails."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

PATIENCE = 10.0
"""Seconds that the thread may take to start or to end."""


class Loop:
    """A running loop; `stop` ends it and its thread."""

    def __init__(self) -> None:
        self.io: Any = None
        """As Dask's client takes it."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop of a Dask client", daemon=True)
        self._thread.start()
        self._ready.wait(PATIENCE)

    def _run(self) -> None:
        asyncio.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        from tornado.ioloop import IOLoop

        self._loop, self.io, self._over = asyncio.get_running_loop(), IOLoop.current(), asyncio.Event()
        self._ready.set()
        await self._over.wait()

    def stop(self) -> None:
        """End it; what still runs on it is cancelled."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(PATIENCE)
