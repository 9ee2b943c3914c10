"""The supervisor's side of what runs beside the keeper: which services there are, and the care of their processes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from regiment import log
from regiment.contracts import Service
from regiment.errors import PluginError
from regiment_runner.shared import crossing, messages, process, procfs
from regiment_runner.shared.scopes import scope_of
from regiment_runner.steward import steward
from regiment_runner.supervisor.pauses import Pauses

SILENCE = 2.5
"""Seconds after its last sign of life at which such a process is killed and replaced."""
MOST_MEMORY = 512 * process.MIB
"""Bytes of resident memory above which it is killed and replaced."""
STEADY = 10.0
"""Seconds that it has to live before the next replacement waits no longer than the first did."""


class Side:
    """One process beside the keeper: the steward, or a server. `learnt` survives every process; a new one is told all."""

    def __init__(self, name: str, kind: str, close_in_child: Callable[[], Iterable[int]]) -> None:
        self.name, self.kind, self._close_in_child = name, kind, close_in_child
        self.learnt: dict[tuple[str, str], messages.Learn] = {}
        self.channel: socket.socket | None = None
        self.pid, self.pidfd = 0, -1
        self._out: crossing.Outbox | None = None
        self._heard = self._born = self._weighed = 0.0
        self._slept = time.monotonic()
        self._pauses = Pauses()

    def learn(self, key: str, message: messages.Learn) -> None:
        """Tell it of a target, now and whenever it is replaced."""
        self.learnt[key, message["learn"]] = message
        if self._out is not None:
            self._out.send(message)

    @property
    def fds(self) -> list[int]:
        """The descriptors that are readable when it speaks or has ended."""
        return [] if self.channel is None else [self.channel.fileno(), self.pidfd]

    @property
    def patience(self) -> float:
        """Monotonic time at which it is to be looked after."""
        return self._pauses.until if self.channel is None else self._heard + SILENCE

    def look(self, now: float) -> None:
        """Hear it; start it, or replace it if it has ended, is silent while we were awake to hear it, or has grown."""
        awake, self._slept = now - self._slept < SILENCE, now
        if not awake:
            self._heard = now
        if self.channel is None:
            if now >= self._pauses.until:
                self._start()
            return
        self._hear()
        if self._out:
            self._out.flush()
        if process.reap(self.pidfd) is not None:
            self._replace("it ended")
        elif now - self._heard > SILENCE:
            self._kill(f"no sign of life for {now - self._heard:.1f} s")
        elif now - self._weighed >= 1.0:
            self._weighed = now
            used = procfs.resident(self.pid) or 0
            if used > MOST_MEMORY:
                self._kill(process.out_of_memory(used, MOST_MEMORY))

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while self.channel is not None and self.channel.recv(65536):
                self._heard = time.monotonic()

    def _start(self) -> None:
        try:
            self._fork()
        except OSError as error:
            pause = round(self._pauses.refused(), 1)
            log.event(logging.ERROR, "supervisor.exhausted", error=str(error), what=self.name, next_in=pause)
            return
        log.event(logging.DEBUG, "service.started", pid=self.pid, service=self.name)
        for message in self.learnt.values():
            assert self._out is not None
            self._out.send(message)

    def _fork(self) -> None:
        def body(channel: socket.socket, parent: int) -> int:
            return steward.start(channel, parent, self.kind)

        self.pid, self.pidfd, ours = process.fork_beside(body, self._close_in_child())
        self.channel, self._out = ours, crossing.Outbox(ours)
        self._heard = self._born = time.monotonic()

    def _kill(self, why: str) -> None:
        process.end(self.pidfd)
        self._replace(why)

    def _replace(self, why: str) -> None:
        if time.monotonic() - self._born >= STEADY:
            self._pauses.over()
        pause = round(self._pauses.refused(), 1)
        log.event(logging.WARNING, "service.replaced", pid=self.pid, service=self.name, reason=why, next_in=pause)
        self._hang_up()

    def _hang_up(self) -> None:
        if self.channel is not None:
            os.close(self.pidfd)
            self.channel.close()
            self.channel, self._out, self.pid, self.pidfd = None, None, 0, -1

    def stop(self) -> None:
        """End it. It holds no task: there is nothing to wait for."""
        if self.channel is not None:
            process.end(self.pidfd)
            self._hang_up()


class Services:
    """All services of a tree. A process exists as soon as somebody has a duty for it, and no sooner."""

    def __init__(self, close_in_child: Callable[[], Iterable[int]]) -> None:
        self._close_in_child = close_in_child
        self.sides: dict[str, Side] = {}

    def ask(self, label: str, spec: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Ask the plugins of a target for services; `PluginError` says what is wrong with one."""
        for plugin, call in scope_of(spec).hooks("regiment_services"):
            try:
                found = dict(call(spec, notes.get(plugin)) or {})
                for name, service in found.items():
                    self._learn(name, service, label, dict(spec), notes.get(plugin))
            except Exception as error:
                text = f"the services of the plugin {plugin} for {label}: {type(error).__name__}: {error}"
                raise PluginError(text) from error

    def _learn(self, name: str, service: Service, label: str, spec: messages.Spec, notes: Any) -> None:
        if not isinstance(service, Service) or service.kind not in ("duty", "server"):
            raise TypeError(
                f'{name!r} is {service!r}; expected Service("module:attribute", options, "duty" or "server")'
            )
        described = {"target": service.target, "options": dict(service.options), "kind": service.kind}
        key = json.dumps(described, sort_keys=True)  # plain data only
        side = self._side("steward" if service.kind == "duty" else key, service)
        side.learn(key, {"learn": label, "spec": spec, "notes": notes, "key": key, "service": described})

    def _side(self, key: str, service: Service) -> Side:
        if key not in self.sides:
            name, kind = ("steward", "steward") if service.kind == "duty" else (service.target, "server")
            self.sides[key] = Side(name, kind, self._close_in_child)
        return self.sides[key]

    @property
    def fds(self) -> list[int]:
        """The descriptors on which to wait, and which no child keeps."""
        return [fd for side in self.sides.values() for fd in side.fds]

    def look(self, now: float) -> float:
        """Look after all of them; the monotonic time of the next look."""
        for side in self.sides.values():
            side.look(now)
        return min((side.patience for side in self.sides.values()), default=float("inf"))

    def stop(self) -> None:
        """End all of them."""
        for side in self.sides.values():
            side.stop()
