"""The supervisor's side of the keeper: starting it, replacing it, and repeating what it has not acknowledged (R9)."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Unpack

from regiment import exits, log
from regiment_runner.keeper import keeper
from regiment_runner.shared import crossing, messages, process, procfs
from regiment_runner.shared.silence import SILENCE
from regiment_runner.supervisor.pauses import Pauses

AGAIN = 0.05
"""Seconds before what a keeper could not take yet is offered again."""

MOST_EVENTS = 1000
"""Pieces that may wait for a keeper before events for observers are left out."""


class Keeping:
    """The keeper of this tree. `served` and `dead` survive every keeper; each new one is told all of them."""

    def __init__(
        self,
        close_in_child: Callable[[], Iterable[int]],
        silence: float = SILENCE,
        tag: int | None = None,
        body: Callable[[socket.socket, int, int, int | None], None] = keeper.start,
    ) -> None:
        self._close_in_child, self._silence = close_in_child, silence
        self._tag, self._body = tag, body
        self.poke = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._served: dict[str, tuple[messages.Serve, int]] = {}
        """Worker -> what the keeper is told of it, and its pidfd, which its supervisor closes after `released`."""
        self._dead: dict[str, messages.Dead] = {}
        self._untold: dict[str, messages.Untold] = {}
        """Worker -> who is to be told of its end, and what, as far as no keeper has begun to."""
        self._holders: set[str] = set()
        self._released: list[str] = []
        self.backlogs: dict[str, int] = {}
        """Worker -> tasks that are ready in its queue, as asked for by `ask_backlog`."""
        self.orders: dict[str, messages.Order] = {}
        """Worker -> what a board tells its target; whoever obeys takes it out."""
        self.channel: socket.socket | None = None
        self.pid, self.pidfd = 0, -1
        self._in = crossing.Inbox[messages.FromKeeper]()
        self._out: crossing.Outbox | None = None
        self._heard = 0.0
        self._slept = time.monotonic()
        self._pauses = Pauses()
        self.dozing = False
        """Whether it was told to tick no more."""
        self._expected = 0.0

    def start(self) -> None:
        """Fork a keeper and tell it everything that is not acknowledged; if it cannot be now, `look` tries again."""
        try:
            self._fork()
        except OSError as error:
            self.pid, self.pidfd, self.channel, self._out = 0, -1, None, None
            pause = self._pauses.refused()
            log.event(
                logging.ERROR,
                "supervisor.exhausted",
                error=str(error),
                what="a keeper",
                next_in=round(pause, 1),
            )
            return
        self._pauses.over()
        log.event(logging.DEBUG, "keeper.started", pid=self.pid)
        for message, pidfd in self._served.values():
            self._send({**message, "path": _where(message["path"])}, [pidfd])
        for death in self._dead.values():
            self._send(death)
        for end in self._untold.values():
            self._send(end)

    def _fork(self) -> None:
        def body(channel: socket.socket, parent: int) -> int:
            self._body(channel, parent, self.poke, self._tag)
            return exits.OK

        self.pid, self.pidfd, ours = process.fork_beside(body, self._close_in_child(), tied=False)
        self.channel, self._heard, self.dozing = ours, time.monotonic(), False
        self._in, self._out = crossing.Inbox[messages.FromKeeper](), crossing.Outbox(ours)

    def serve(self, name: str, path: Path, pidfd: int, spec: dict[str, Any]) -> None:
        """Put a worker under the keeper's care."""
        message: messages.Serve = {"serve": name, "path": str(path), "spec": spec}
        self._served[name] = (message, pidfd)
        self._send(message, [pidfd])

    def bury(self, name: str, joined: bool = True, **how: Unpack[messages.PostMortem]) -> bool:
        """A worker has ended: give back what it held. False if it was never served, so that it held nothing.

        One that never `joined` held nothing either: nobody waits for a store that may never let the keeper in.
        """
        if name not in self._served:
            return False
        if joined:
            self._holders.add(name)
        self._dead[name] = {"dead": name, **how}
        self._send(self._dead[name])
        return True

    def tell(self, event: dict[str, Any]) -> None:
        """Have the keeper tell the observers of this supervisor; one that is stopped is not told without end."""
        if self._out is not None and len(self._out) < MOST_EVENTS:
            self._send({"event": event})

    def doze(self, dozing: bool) -> None:
        """Tell the keeper whether to tick no more; then `expect` says when it is to do something."""
        self.dozing, self._heard = dozing, time.monotonic()
        self._expected = self._heard
        self._send({"doze": dozing})

    def expect(self, at: float) -> None:
        """Of a keeper that dozes: the monotonic time at which it wakes at the latest, as its pages say."""
        self._expected = max(self._heard, at)

    def ask_backlog(self, name: str) -> None:
        """Ask how many tasks are ready in the queue of a worker; the answer comes into `backlogs`."""
        self._send({"count": name})

    @property
    def fds(self) -> list[int]:
        """The descriptors that are readable when the keeper speaks or has ended."""
        if self.channel is None or self.channel.fileno() < 0:
            return []
        return [self.channel.fileno(), self.pidfd]

    @property
    def unacknowledged(self) -> int:
        """Deaths of workers that may have held something, with which the keeper has not dealt yet."""
        return len(self._holders)

    @property
    def patience(self) -> float:
        """Monotonic time at which a keeper that stays silent is to be killed, or something else is to be tried again."""
        if self.channel is None:
            return self._pauses.until
        heard = self._expected if self.dozing else self._heard
        waiting = time.monotonic() + AGAIN if self._out else heard + self._silence
        return min(waiting, heard + self._silence)

    @property
    def busy(self) -> bool:
        """Whether something is on its way to the keeper, or there is none."""
        return self.channel is None or bool(self._out)

    def receive(self) -> list[str]:
        """Read what the keeper says; names of the dead that are dealt with."""
        self._read()
        released, self._released = self._released, []
        return released

    def _read(self) -> None:
        while self.channel is not None:
            try:
                data = self.channel.recv(65536)
            except (BlockingIOError, OSError):
                break
            if not data:
                break
            self._heard = time.monotonic()
            message = self._in.add(data)
            if message is not None:
                self._hear(message)

    def _hear(self, message: messages.FromKeeper) -> None:
        if "backlog" in message:
            self.backlogs[message["backlog"]] = message["ready"]
        elif "order" in message:
            self.orders[message["order"]] = message
        elif "telling" in message:
            self._begun(message)
        elif "released" in message:
            name = message["released"]
            if "untold" in message:
                self._keep(message["untold"])
            self._dead.pop(name, None)
            self._holders.discard(name)
            self._served.pop(name, None)
            self._released.append(name)

    def _keep(self, untold: messages.Untold) -> None:
        """Who is to be told of an end; of more than a keeper is given, the oldest are left out."""
        self._untold[untold["untold"]] = untold
        if len(self._untold) > MOST_EVENTS:
            del self._untold[next(iter(self._untold))]

    def _begun(self, said: messages.Telling) -> None:
        """A hook is being told: if that costs the keeper, it is not told again."""
        name = said["telling"]
        if name in self._untold:
            self._untold[name]["left"] = said["left"]
            if not said["left"]:
                del self._untold[name]

    def look(self, now: float) -> None:
        """Replace a keeper that has ended, or has been silent for too long while we were awake to hear it."""
        meant = self._expected + self._silence if self.dozing else self._slept
        awake = now - max(meant, self._slept) < self._silence
        self._slept = now
        if not awake:
            self._heard = now  # it was us who slept (SIGSTOP, suspend): give it time to speak
            self._expected = max(self._expected, now)
        heard = self._expected if self.dozing else self._heard
        if self.channel is None:
            if now >= self._pauses.until:
                self.start()
            return
        if self._out:
            self._out.flush()
        if process.reap(self.pidfd) is not None:
            self._replace("it ended")
        elif now - heard > self._silence:
            process.end(self.pidfd)
            self._replace(f"no sign of life for {now - heard:.1f} s")

    def _replace(self, why: str) -> None:
        log.event(logging.WARNING, "keeper.replaced", pid=self.pid, reason=why)
        self._read()  # its last words: of what it has begun to tell, nobody is told again
        self._hang_up()
        self.start()

    def _hang_up(self) -> None:
        if self.channel is not None:
            os.close(self.pidfd)
            self.channel.close()

    def stop(self, patience: float) -> None:
        """Say goodbye and wait; a keeper that cannot reach its store is left behind after `patience` seconds."""
        if self.channel is None:
            return
        self._send({"bye": True})
        deadline = time.monotonic() + patience
        while process.reap(self.pidfd) is None:
            if time.monotonic() > deadline:
                process.send(self.pidfd, signal.SIGKILL)
                deadline += 3600
            if self._out:
                self._out.flush()
            time.sleep(0.005)
        self._hang_up()

    def _send(self, message: messages.ToKeeper, fds: Iterable[int] = ()) -> None:
        if self._out is not None:
            self._out.send(message, fds)


def _where(path: str) -> str:
    """Where a page can be opened: at `path`, or, where something outside has removed it, by way of our own mapping."""
    return path if os.path.exists(path) else procfs.removed(path) or path
