"""The steward: one process for all duties of a tree. A server has a process of the same kind to itself.

It is no keeper: no lease depends on it, so whatever a plugin does here, the worst is that this process is replaced. Each
service has a thread; the main thread hears the supervisor and shows signs of life.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from regiment import log
from regiment.contracts import AtWork, Connector
from regiment.errors import ConfigError
from regiment.options import check_options
from regiment.registry import registry
from regiment_runner.shared import crossing, messages
from regiment_runner.shared.pause import Pause
from regiment_runner.shared.retold import retell
from regiment_runner.shared.scopes import connect
from regiment_runner.steward.pages import Tree, at_work, own_tree, tree

TICK = 1.0
"""Seconds between two signs of life to the supervisor."""
NEWS = 1.0
"""Seconds between two looks at the notice boards for a duty that has `news`."""
PATIENCE = 60.0
"""Seconds that one call of a service may take before this process ends and is replaced."""
SOONEST, LATEST = 0.01, 3600.0
"""Bounds of the seconds that a duty asks for until its next look."""
PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a service that has failed is tried again: after the first time, and at most."""


class Target:
    """A target of the tree, as a service learns of it (`regiment.contracts.Served`)."""

    def __init__(self, label: str, spec: Mapping[str, Any]) -> None:
        self.label, self.spec, self.queue = label, spec, str(spec["queue"])
        self._tree: Path | None = None

    def connect(self) -> Connector:
        """A connection to the store of this queue, in the role `duty`."""
        return connect(self.spec["connector"], "duty")

    def at_work(self, seconds: float) -> Sequence[AtWork]:
        """The tasks of this queue that have run for so long in this tree."""
        folder = self._folder()
        return [] if folder is None else at_work(folder, self.queue, seconds)

    def tree(self) -> Tree:
        """The whole tree now: its workers, what has ended in it, and how workers of it ended."""
        folder = self._folder()
        return Tree([], {}, {}) if folder is None else tree(folder)

    def _folder(self) -> Path | None:
        self._tree = self._tree or own_tree(os.getppid())
        return self._tree


class Servant:
    """One service and its thread."""

    def __init__(self, service: Mapping[str, Any], first: tuple[Target, Any]) -> None:
        self.name, self.options, self.kind = service["target"], service["options"], service["kind"]
        self.inbox: queue.SimpleQueue[tuple[Target, Any] | None] = queue.SimpleQueue()
        """What there is to be learnt; None wakes."""
        self.inbox.put(first)
        self.known: dict[str, tuple[Target, Any]] = {}
        self.began: float | None = None
        """Monotonic time since which a call has been going on; None between two calls, and while a server serves."""
        self._boards: dict[str, tuple[Connector, int]] = {}
        self._throttle = log.Throttle()
        self.thread = threading.Thread(target=self._run, name=f"regiment {self.name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        pause, made = Pause(PAUSE, LONGEST_PAUSE), None
        while True:
            try:
                if made is None:
                    made = self._call(self._made)
                    if hasattr(made, "wakes"):
                        self._call(made.wakes, lambda: self.inbox.put(None))
                    for known in self.known.values():
                        self._call(made.learn, *known)
                self._learn(made, 0.0)
                if self.kind == "server":
                    self._serve(made)
                    return
                seconds = float(self._call(made.look, time.time()))
                if math.isnan(seconds):
                    raise ValueError(f"{self.name}: look returned nan; expected the seconds until its next look")
                self._learn(made, min(max(seconds, SOONEST), LATEST))
                pause.over()
            except Exception as error:
                if self._throttle() is not None:
                    log.event(logging.ERROR, "service.error", exc_info=error, service=self.name)
                time.sleep(pause())

    def _serve(self, made: Any) -> None:
        """A server serves in a thread of its own, while this one tells it of further targets."""
        serving = threading.Thread(target=self._serving, args=(made,), name=f"regiment {self.name} serves", daemon=True)
        serving.start()
        while serving.is_alive():
            self._learn(made, TICK)

    def _serving(self, made: Any) -> None:
        try:
            made.serve()
        except Exception as error:  # the process is replaced, with pauses that grow
            log.event(logging.ERROR, "service.error", exc_info=error, service=self.name)

    def _call(self, call: Any, *args: Any) -> Any:
        self.began = time.monotonic()
        try:
            return call(*args)
        finally:
            self.began = None

    def _made(self) -> Any:
        module, _, attribute = self.name.partition(":")
        cls = getattr(import_module(module), attribute)
        problems = check_options(f"service {self.name!r}", cls, self.options)
        if problems:
            raise ConfigError(problems)
        return cls(**self.options)

    def _learn(self, made: Any, seconds: float) -> None:
        """Learn what there is to be learnt, and the news, until the next look; a new target is looked after at once."""
        until, news = time.monotonic() + seconds, getattr(made, "news", None)
        while True:
            left = max(0.0, until - time.monotonic())
            try:
                told = self.inbox.get(timeout=min(left, NEWS) if news else left) if left else self.inbox.get(False)
            except queue.Empty:
                if news is not None:
                    self._call(self._tell, news)
                if time.monotonic() >= until:
                    return
                continue
            if told is None:
                until = time.monotonic()
                continue
            target, notes = told
            self.known[target.label] = (target, notes)
            self._call(made.learn, target, notes)
            until = time.monotonic()

    def _tell(self, news: Any) -> None:
        for target, _ in list(self.known.values()):
            connector, version = self._boards.pop(target.label, (None, 0))
            connector = connector or target.connect()  # one that fails is not kept: the next look opens another
            board = connector.board(target.queue)
            if board.version != version:
                news(target.queue, board)
            self._boards[target.label] = (connector, board.version)


class Steward:
    """The main loop. `parent` is a pidfd of the supervisor, `channel` the socket to it."""

    def __init__(self, channel: socket.socket, parent: int, process: str, patience: float = PATIENCE) -> None:
        self.channel, self.parent, self.process, self.patience = channel, parent, process, patience
        self._in, self._out = crossing.Inbox[messages.ToService](), crossing.Outbox(channel)
        self.servants: dict[str, Servant] = {}

    def run(self) -> int:
        """Work until the supervisor says goodbye or is gone; 1 where this process is to be replaced."""
        poll = select.poll()
        for fd in (self.channel.fileno(), self.parent):
            poll.register(fd, select.POLLIN)
        retell(registry(), self.process)
        ticked = -1e9
        while True:
            if time.monotonic() - ticked >= TICK:
                ticked = time.monotonic()
                self._out.send({"tick": True})
            for fd, _ in poll.poll(TICK * 1000):
                if fd == self.parent or not self._hear():
                    return 0
            why = self._broken()
            if why:
                log.event(logging.ERROR, "service.error", error=why, next="its process is replaced")
                return 1

    def _broken(self) -> str:
        for one in self.servants.values():
            if not one.thread.is_alive():
                return f"{one.name} has ended"
            began = one.began
            if began is not None and time.monotonic() - began > self.patience:
                return f"a call of {one.name} has not returned for {self.patience:.0f} s"
        return ""

    def _hear(self) -> bool:
        """Read one piece of what the supervisor says; whether there is more to come."""
        try:
            data = self.channel.recv(1 << 20)
        except BlockingIOError:
            return True
        except OSError:
            return False
        message = self._in.add(data) if data else messages.Bye(bye=True)
        if message is not None and "bye" in message:
            return False
        if message is not None:
            key, service = message["key"], message["service"]
            learnt = (Target(message["learn"], message["spec"]), message["notes"])
            if key in self.servants:
                self.servants[key].inbox.put(learnt)
            else:
                self.servants[key] = Servant(service, learnt)
        return True


def start(channel: socket.socket, parent: int, process: str) -> int:
    """Be the steward, or a server: the body of the forked process."""
    crossing.take_no_notice(crossing.HEARD)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    return Steward(channel, parent, process).run()
