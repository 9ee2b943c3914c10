"""The server of `regiment run --dashboard`: the pages of the store that a tree works on."""

from __future__ import annotations

import logging
import os
import queue
from pathlib import Path
from typing import Any

from regiment import log
from regiment.config import Use, WorkerConfig
from regiment.contracts import Served
from regiment_cli.listening import in_url, secret, taken
from regiment_dashboard.doors import LOCAL, Doors


class Beside:
    """Serves until its process ends. Who knows what is in `token_file` may act; without one everybody on this host may."""

    def __init__(self, host: str, port: int, token_file: str | None = None) -> None:
        self._host, self._port = host, port
        self._token = None if token_file is None else secret("--dashboard-token", Path(token_file))
        self._shown: queue.SimpleQueue[WorkerConfig] = queue.SimpleQueue()
        self._where: str | None = None

    def learn(self, target: Served, notes: Any) -> None:
        """Show the store of the first target; of others the log says that they are not shown."""
        spec = target.spec["connector"]
        if self._where is None:
            self._where = spec["where"]
            named = [
                Use(one["name"], **one["options"]) if isinstance(one, dict) else one for one in target.spec["plugins"]
            ]
            self._shown.put(
                WorkerConfig(name=target.queue, connector=Use(spec["name"], **spec["options"]), plugins=named)
            )
        elif spec["where"] != self._where:
            log.event(
                logging.WARNING,
                "dashboard.other_store",
                target=target.label,
                store=spec["where"],
                shown=self._where,
                next="regiment dashboard --connector URL shows it",
            )

    def serve(self) -> None:
        """Take the address, and answer. OSError where it is taken: the next process tries again."""
        from regiment_dashboard.app import Dashboard
        from regiment_dashboard.serving import serve_here

        config, host = self._shown.get(), self._host
        with taken(host, self._port) as listening:
            port, shown = listening.getsockname()[1], in_url(host)
            doors = Doors(
                frozenset({*LOCAL, shown.lower(), os.uname().nodename.lower()}),
                {"admin": self._token} if self._token else {},
                "admin",
                port,
            )
            pages = Dashboard(config, "of this tree", str(self._where), doors, quiet=True)
            log.event(logging.INFO, "dashboard.serving", url=f"http://{shown}:{port}/")
            serve_here(pages.application(), listening)
