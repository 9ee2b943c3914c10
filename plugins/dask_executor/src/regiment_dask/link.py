"""The connection to a Dask scheduler: made at first use, made anew when it was lost, and told what tasks report."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid
from typing import Any

from regiment import log
from regiment.contracts import Attempt
from regiment_dask.errors import SchedulerAway
from regiment_dask.loop import Loop

AGAIN = 2.0
"""Seconds after which a scheduler that did not answer is asked once more."""
CLOSING = 5.0
"""Seconds that a client may take to say good-bye."""


class Handed:
    """A task that is on the cluster: its future, and where it has started."""

    def __init__(self, client: Any, key: str, attempt: Attempt) -> None:
        self.client, self.key, self.attempt = client, key, attempt
        self.future: Any = None
        self.started = ""
        """Address of the Dask worker that has said that it starts it; empty as long as none has."""


class Link:
    """One client for all attempts of this process. It opens nothing before the first of them asks."""

    def __init__(self, address: str | None, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self.topic = f"regiment-{uuid.uuid4().hex}"
        self._connecting, self._telling = threading.Lock(), threading.Lock()
        self._client: Any = None
        self._comm: Any = None
        self._loop: Loop | None = None
        self._pid = 0
        self._failed: tuple[float, str] = (0.0, "")
        self._handed: dict[str, Handed] = {}

    @property
    def where(self) -> str:
        """The scheduler's address, for people."""
        return self._address or "the address in Dask's configuration"

    def client(self) -> Any:
        """A client that is connected; `SchedulerAway` if no scheduler answers, `RuntimeError` in a process that was forked."""
        if self._pid not in (0, os.getpid()):
            raise RuntimeError(
                "this process was forked from a worker that is connected to Dask; its threads and its connection are not here. "
                "Start a program of its own instead (subprocess), or connect in the child: distributed.Client(…)"
            )
        with self._connecting:
            if self._client is not None and not self._lives():
                self._drop()
            if self._client is None:
                self._connect()
            return self._client

    def _lives(self) -> bool:
        """True if the connection is the one that was made. After a reconnection another scheduler may be there, which knows
        nothing of us.
        """
        return self._client.status == "running" and self._client.scheduler_comm is self._comm

    def _connect(self) -> None:
        at, why = self._failed
        if why and time.monotonic() - at < AGAIN:
            raise SchedulerAway(why)
        self._loop = Loop()
        try:
            self._client = _opened(self._address, self._timeout, self._loop)
        except (OSError, TimeoutError, ValueError) as error:
            self._drop()
            why = (
                f"no Dask scheduler answers at {self.where} within {self._timeout:g} s: {error or type(error).__name__}"
            )
            self._failed = (time.monotonic(), why)
            raise SchedulerAway(why) from error
        self._pid, self._failed = os.getpid(), (0.0, "")
        try:
            self._ask()
        except Exception as error:
            self._drop()
            why = (
                f"the Dask scheduler at {self.where} does not take what regiment asks of it: {type(error).__name__}: {error}; "
                f"regiment-dask has to be installed there too"
            )
            self._failed = (time.monotonic(), why)
            raise SchedulerAway(why) from error
        self._comm = self._client.scheduler_comm
        log.event(logging.INFO, "dask.connected", scheduler=self._client.scheduler.address)

    def _ask(self) -> None:
        from regiment_dask.scheduler import OneTry

        self._client.register_plugin(OneTry())
        self._client.subscribe_topic(self.topic, self._heard)

    def _drop(self) -> None:
        client, self._client, self._comm = self._client, None, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close(timeout=CLOSING)
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    def hand(self, attempt: Attempt, key: str, data: bytes) -> Handed:
        """Send a task to the cluster."""
        from regiment_dask.there import run

        client = self.client()
        made = Handed(client, key, attempt)
        with self._telling:
            self._handed[key] = made
        try:
            made.future = client.submit(run, data, key=key, pure=False, retries=0)
        except BaseException:
            self.take_back(made)
            raise
        return made

    def take_back(self, handed: Handed) -> None:
        """It has ended, or nobody waits for it any more: it is cancelled if it has not ended, and forgotten."""
        with self._telling:
            self._handed.pop(handed.key, None)
        future, handed.future = handed.future, None
        if future is None or handed.client.status != "running":
            return
        with contextlib.suppress(Exception):
            if not future.done():
                future.cancel()
            future.release()

    def _heard(self, event: Any) -> None:
        """What tasks report, in the client's own thread."""
        told = event[1]
        with self._telling:
            handed = self._handed.get(told["key"])
            if handed is None:
                return
            if "started" in told:
                handed.started = told["started"]
            else:
                handed.attempt.progress(*told["progress"])

    def close(self) -> None:
        """End the connection and its thread."""
        if self._pid == os.getpid():
            with self._connecting:
                self._drop()


def _opened(address: str | None, timeout: float, loop: Loop) -> Any:
    import dask
    from distributed import Client

    address = address or dask.config.get("scheduler-address", None)
    if not address:
        raise ValueError("no address is given; expected Dask(address=…) or DASK_SCHEDULER_ADDRESS")
    return Client(address, loop=loop.io, timeout=timeout, set_as_default=False, name="regiment")  # type: ignore[no-untyped-call]
