"""One worker in the foreground, with a keeper: for debuggers. No limits, no respawn, stdin kept.

The worker runs in this process; the keeper is forked before the application is imported, renews its lease, settles for it
while it is busy, and gives back what it held if it is killed. A helper thread replaces a keeper that dies.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any, cast

from regiment import __version__, exits, installed, log
from regiment.errors import TargetError
from regiment.standard import open_standard
from regiment_cli.printing import say
from regiment_runner.keeper import keeper
from regiment_runner.shared import crossing, messages, page
from regiment_runner.shared.page import Page
from regiment_runner.shared.polling import readable
from regiment_runner.shared.scopes import scope_of
from regiment_runner.supervisor.keeping import Keeping
from regiment_runner.supervisor.signals import SAME_SIGNAL
from regiment_runner.supervisor.strikes import last_words
from regiment_runner.worker import main as child

PATIENCE = 2.0
"""Seconds that the end waits for the keeper to give back what is left."""

NAME = "solo"


class Solo:
    """One worker of `target`, run by `run()` in the calling process; it must be the main thread."""

    def __init__(self, target: str, *, burst: bool = False, app_dir: str = ".") -> None:
        self.target, self.burst, self.app_dir = target, burst, os.path.abspath(app_dir)
        installed.leave_out(self.app_dir)
        self._label = target
        self._stopping: float | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def run(self) -> int:
        """Work until told to stop; the exit code is one of `regiment.exits`."""
        open_standard()
        with contextlib.suppress(AttributeError, ValueError):
            sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
        self.folder = page.make_tree()
        self.page = Page(self.folder / f"{NAME}.page", create=True)
        self.page.words[page.WATCHING] = 0  # nobody watches: no deadline is worth a wake-up
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._over = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pidfd = os.pidfd_open(os.getpid())
        self._catch()
        # What the keeper takes for the end of the worker: the end of this process, or the word that its work is over.
        # The keeper inherits both descriptors; else their places in the epoll set would go with this process.
        self._end_fd = select.epoll(flags=select.EPOLL_CLOEXEC)
        for fd in (self._pidfd, self._over):
            self._end_fd.register(fd, select.EPOLLIN)
        self.keeping = Keeping(lambda: (), body=_keep)
        self.keeping.start()
        helper = threading.Thread(target=self._mind_the_keeper, name="regiment-solo", daemon=True)
        helper.start()
        try:
            code = self._work()
        finally:
            self._ended.set()
            helper.join()
            self._give_back()
        if not code and self.burst and self.page.words[page.DEAD_LETTERS]:
            return exits.BAD
        return code

    def _work(self) -> int:
        # The worker speaks to its supervisor through a socket's `send`; here the supervisor is one call away.
        channel = cast(Any, _Channel(self._hear))
        poke = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        setup = child.Setup(
            self.target,
            self.page.path,
            channel,
            self.wake,
            self.keeping.poke,
            poke,
            self.app_dir,
            self.burst,
            first=True,
            solo=True,
            notes=True,
        )
        try:
            return child.main(setup)
        except SystemExit as leave:
            return leave.code if isinstance(leave.code, int) else exits.OK

    def _hear(self, message: messages.FromWorker) -> None:
        """What a supervisor does with its child's words."""
        if "found" in message:
            self._catch()  # again: the worker has taken SIGTERM for itself
            found = message["found"]
            if len(found) > 1:
                raise TargetError(f'"{self.target}" names {len(found)} workers and --solo runs one: {", ".join(found)}')
            self._label = found[0]
        elif "configured" in message:
            spec = message["configured"]
            with self._lock:
                self.keeping.serve(NAME, self.page.path, self._end_fd.fileno(), spec)
            log.event(
                logging.INFO,
                "supervisor.started",
                regiment=__version__,
                pid=os.getpid(),
                target=self._label,
                queue=spec["queue"],
                workers=1,
                **spec["parts"],
                plugins=message["plugins"],
            )
            self._say_what_nobody_does(spec, message.get("notes") or {})
        elif "failed" in message:
            say(f"error: {message['failed']['text']}")  # the one message of a failed start

    def _say_what_nobody_does(self, spec: messages.Spec, notes: dict[str, Any]) -> None:
        """Services run beside a supervisor, and there is none."""
        found: list[str] = []
        for plugin, call in scope_of(spec).hooks("regiment_services"):
            found += dict(call({**spec, "solo": True}, notes.get(plugin)) or {})
        if found:
            log.event(
                logging.WARNING,
                "solo.without",
                services=found,
                reason="they run beside a supervisor, and --solo has none",
                queue=spec["queue"],
            )

    def _mind_the_keeper(self) -> None:
        while not self._ended.wait(0.5):
            with self._lock:
                self.keeping.receive()
                self.keeping.look(time.monotonic())
                self._obey()

    def _obey(self) -> None:
        """What the board of its queue tells it (`orders` does the same for a tree)."""
        while self.keeping.orders:
            told = self.keeping.orders.popitem()[1]["told"]
            words = self.page.words
            if told == "drain":
                words[page.ORDERS] |= page.STOP
            elif told:
                words[page.ORDERS] |= page.QUIET
            else:
                words[page.ORDERS] &= ~page.QUIET
            os.eventfd_write(self.wake, 1)

    def _give_back(self) -> None:
        """The worker has ended: have the keeper give back what is left, and close its consumer."""
        os.eventfd_write(self._over, 1)
        with self._lock:
            deadline = time.monotonic() + PATIENCE
            if self.keeping.bury(NAME, interrupted=True):
                while self.keeping.unacknowledged and time.monotonic() < deadline:
                    readable(cast(Any, self.keeping.channel).fileno(), 0.1)
                    self.keeping.receive()
            self.keeping.stop(patience=max(0.1, deadline - time.monotonic()))
        page.remove_tree(self.folder)

    def _catch(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: Any) -> None:
        """Finish what runs; a second signal more than a second later: end now, what runs is given back."""
        now = time.monotonic()
        self._stopping = self._stopping or now
        if now - self._stopping >= SAME_SIGNAL:
            self.keeping.bury(NAME, interrupted=True)  # without the lock, which a helper may hold
            os._exit(exits.KILLED)  # the keeper sees it, gives back, and goes
        self.page.words[page.ORDERS] |= page.STOP
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self.wake, 1)


class SoloKeeper(keeper.Keeper):
    """The keeper of a worker that is its own supervisor: one that is gone without a word has crashed, or was killed."""

    def _last_gasp(self) -> None:
        self._hear_out()
        for ward in self.wards.values():
            if ward.dead is None:
                reason = "its process ended in the foreground (--solo)"
                stacks = last_words(ward.page.path.with_suffix(".stacks"))
                ward.dead = {"note": {"kind": "crash", "reason": reason, "stacks": stacks}}
        super()._last_gasp()

    def _hear_out(self) -> None:
        """Read what was said before the end."""
        while crossing.piece(self.channel, socket.MSG_PEEK):
            self._receive()


def _keep(channel: socket.socket, parent: int, poke: int, tag: int | None) -> None:
    crossing.take_no_notice(crossing.HEARD)
    SoloKeeper(channel, parent, poke, tag).run()


class _Channel:
    """The worker's end of a socket to its supervisor, without the socket."""

    def __init__(self, hear: Any) -> None:
        self._hear, self._in = hear, crossing.Inbox[messages.FromWorker]()

    def send(self, data: bytes) -> None:
        message = self._in.add(data)
        if message is not None:
            self._hear(message)
