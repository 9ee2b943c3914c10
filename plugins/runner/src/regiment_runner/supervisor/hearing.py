"""What workers say until they are ready and at their end, and what the supervisor loads for what they have found."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

from regiment import __version__, log
from regiment.build import connector_use
from regiment.config import Use, WorkerConfig, as_use
from regiment.errors import PluginError, RegimentError
from regiment.registry import registry
from regiment_runner.shared import messages, page, process
from regiment_runner.shared.scopes import scope_of
from regiment_runner.supervisor.members import Child, Group, Tree
from regiment_runner.supervisor.numbers import Target


class Hearing:
    """Hears the workers of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._announced: set[str] = set()
        self._shared: set[tuple[str, str]] = set()
        self._throttle = log.Throttle()
        self.give_up: Callable[[int, str], None] = lambda code, text: None
        """Ends a tree that cannot go on, with its exit code and why."""

    def hear(self, item: Child) -> None:
        """Read all that a worker has said."""
        while True:
            try:
                data = item.channel.recv(1 << 20)
            except (BlockingIOError, OSError):
                return
            if not data:
                self._tree.loop.drop(item.channel.fileno())
                return
            message = item.inbox.add(data)
            if message is None:
                continue
            if "found" in message:
                self._found(item, message["found"])
            elif "configured" in message:
                self._configured(item, message)
            elif "ready" in message:
                self._ready(item)
            elif "leaving" in message:
                item.how = message["leaving"]
            elif "ended" in message:
                item.ended, item.why = message["ended"], message.get("why", "")
                item.over = message.get("over")
            elif "failed" in message:
                item.failed = message["failed"]

    def _found(self, item: Child, labels: list[str]) -> None:
        """A module's first child has found its workers: it is the first of them, the others get groups of their own."""
        group, groups = item.group, self._tree.groups
        if group.label == labels[0]:
            return
        known = {other.label for other in groups}
        group.label = labels[0]
        for label in labels[1:]:
            if label not in known:
                groups.append(Group(Target(label, group.low, group.high)))

    def _configured(self, item: Child, message: messages.Configured) -> None:
        item.spec, group = message["configured"], item.group
        assert item.spec is not None
        self._tree.keeping.serve(item.name, item.page.path, item.pidfd, item.spec)
        if "notes" in message:
            self._services(group, item.spec, message["notes"])
        parts = item.spec["parts"]
        self.arm(group, item.spec)
        # A killer that ends nothing reaches a task by the guard of its limit, or not at all.
        item.view.cancels.have(item.spec["graces"], unlimited=group.killer is None or bool(group.killer.ends))
        if group.high > 1 or len(self._tree.groups) > 1:
            # While a driver is imported here nobody watches a limit, so not for the sake of one worker.
            for kind in ("serializer", "compressor", "executor"):
                if parts[kind] != "none":
                    self._share(f"{kind}s", parts[kind])
            self._share("connectors", item.spec["connector"]["name"])
        if group.label not in self._announced:
            plugins: dict[str, Any] = {} if self._announced else {"plugins": message["plugins"]}  # once a tree
            self._announced.add(group.label)
            log.event(
                logging.INFO,
                "supervisor.started",
                regiment=__version__,
                pid=os.getpid(),
                target=group.label,
                queue=item.spec["queue"],
                workers=group.size,
                **parts,
                **plugins,
            )

    def _services(self, group: Group, spec: dict[str, Any], notes: dict[str, Any]) -> None:
        """Have the services that plugins of this target want; a tree that cannot have them does not start."""
        group.notes = notes
        try:
            self._tree.services.ask(group.label, {**spec, "beside": dict(self._tree.options.beside)}, notes)
        except RegimentError as error:
            self.give_up(error.exit_code, str(error))

    def arm(self, group: Group, spec: dict[str, Any]) -> None:
        """Have the group's killer here, too; what cannot be loaded for want of descriptors or memory is tried again."""
        if group.killer is not None:
            return
        killer = spec["killer"]
        try:
            group.killer = scope_of(spec).build("killers", Use(killer["name"], **killer["options"]))
        except (PluginError, OSError, MemoryError) as error:
            if not process.exhausted(error):
                raise
            if self._throttle() is not None:
                log.event(logging.ERROR, "supervisor.exhausted", error=str(error), what="a killer")

    def _ready(self, item: Child) -> None:
        item.ready = item.group.proven = self._tree.changed = True
        item.group.failures = 0
        item.group.first_error = ""
        if self._tree.stopping:
            self._tree.order(item, page.STOP)
        elif self._tree.quiet or item.group.told:
            self._tree.order(item, page.QUIET)

    # What is shared

    def share_defaults(self) -> None:
        """Load what a worker uses that names nothing else, before anything is forked."""
        config = WorkerConfig(name="default")
        self._share("serializers", as_use(config.serializer).name)
        self._share("executors", as_use(config.executor).name)
        self._share("connectors", connector_use(config)[0].name)

    def _share(self, kind: str, name: str) -> None:
        """Load a part in use here, too: what is forked from now on shares its memory, and starts sooner.

        What an application names by "module:Class" is its own affair, and stays out of this process.
        """
        use = Use(name)
        if (kind, name) not in self._shared and (":" not in name or use.scheme):
            self._shared.add((kind, name))
            with contextlib.suppress(PluginError, OSError, MemoryError):  # whoever uses it says what is wrong with it
                registry().resolve(kind, use)
