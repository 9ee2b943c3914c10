"""The server of `regiment run --metrics`: metrics of one tree, and of the stores that it works on."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from regiment import log
from regiment.contracts import Connector, Served
from regiment_cli.listening import in_url, secret
from regiment_metrics.sampling import Sample, Sampler, Standing
from regiment_metrics.serving import Pages, listening

EVERY = 5.0
"""Seconds between two looks at a store."""


class Tended(Protocol):
    """What a tree shows of itself (`regiment_runner.steward.pages.Tree`)."""

    @property
    def workers(self) -> Sequence[Any]:
        """Its workers: queue, state, running, memory."""

    @property
    def ended(self) -> Mapping[str, Mapping[str, Sequence[int]]]:
        """Queue -> task -> how often it ended in each of `OUTCOMES`, and nanoseconds."""

    @property
    def ends(self) -> Mapping[str, Mapping[str, int]]:
        """Target -> kind -> how often its workers ended so."""


class OfTree(Served, Protocol):
    """A target that shows its tree."""

    def tree(self) -> Tended:
        """The tree now."""


class Several:
    """The stores of a tree, seen as one. Of two queues with one name in two stores the first is shown."""

    def __init__(self) -> None:
        self.each: dict[str, Sampler] = {}

    @property
    def last(self) -> Sample:
        """What the last look at each has seen: up if all are."""
        seen = [one.last for one in list(self.each.values())]
        queues: dict[str, Standing] = {}
        for one in reversed(seen):
            queues.update(one.queues)
        shown = {name for one in seen if one.leads for name in one.queues}
        return Sample(
            bool(seen) and all(one.up for one in seen), sum(one.seconds for one in seen), queues, shown=frozenset(shown)
        )

    def most(self, queue: str) -> int:
        """The largest load of a queue in the last two minutes."""
        return max((one.most(queue) for one in list(self.each.values())), default=0)


class Beside:
    """Serves until its process ends. `token_file` holds what readers have to send."""

    def __init__(self, host: str, port: int, token_file: str | None = None) -> None:
        self._address = host, port
        self._token = None if token_file is None else secret("--metrics-token", Path(token_file))
        self._stores = Several()
        self._targets: dict[str, OfTree] = {}
        self._owner = f"{os.uname().nodename}:{os.getpid()}"

    def learn(self, target: OfTree, notes: Any) -> None:
        """Look at the store of this target, too."""
        self._targets[target.label] = target
        key = json.dumps(target.spec["connector"], sort_keys=True, default=repr)
        if key not in self._stores.each:

            def open(role: str, target: OfTree = target) -> Connector:
                return target.connect()

            sampler = self._stores.each[key] = Sampler(open, EVERY, owner=self._owner)
            threading.Thread(target=sampler.run, name="sampler", daemon=True).start()

    def serve(self) -> None:
        """Take the address, and answer. OSError where it is taken: the next process tries again."""
        host, port = self._address
        with listening(host, port) as server:
            server.set_app(Pages(self._stores, self._token, self))
            log.event(logging.INFO, "metrics.serving", url=f"http://{in_url(host)}:{server.server_port}/metrics")
            server.serve_forever(poll_interval=0.5)

    def tree(self) -> tuple[Tended, Mapping[str, str]] | None:
        """The tree now, and the queue of each of its targets; None as long as it has none."""
        targets = dict(self._targets)
        if not targets:
            return None
        return next(iter(targets.values())).tree(), {label: one.queue for label, one in targets.items()}
