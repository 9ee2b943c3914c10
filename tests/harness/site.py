"""The ground of one test: a store, an application's folder, a ledger, and the trees that run there."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness import apps
from harness.ledger import Books, Producer
from harness.store import Store
from harness.tree import Tree
from harness.wait import eventually, with_variable
from regiment import Queue

LEASE = 3.0
"""Seconds of a lease in the rows, a tenth of the default."""


class Site:
    """Makes the parts of a test and takes them away again; `close` fails if a process is left (P)."""

    def __init__(self, folder: Path, url: str, queue: str = "work") -> None:
        self.folder, self.url = folder, url
        self.ledger = folder / "ledger"
        self.runtime = Path(
            tempfile.mkdtemp(prefix="regiment-test-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        )
        self.queue = Queue(queue, connector=url)
        self.store = Store(url, self.queue)
        # What only fills a queue may wait for a server whose machine is busy.
        bulk = Queue(queue, connector=url, push_timeout=20)
        self.producer = Producer(self.ledger, self.queue, bulk)
        self.push, self.push_many = self.producer.push, self.producer.push_many
        self.trees: list[Tree] = []
        self.mark = f"REGIMENT_TEST_SITE={self.runtime.name}"
        self._orders = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close(failed=kind is not None)
        finally:
            shutil.rmtree(self.runtime, ignore_errors=True)

    def app(
        self,
        settings: str = "",
        *,
        hooks: bool = False,
        body: str = "",
        losing: bool = False,
        name: str = "app",
        connector: str = "",
    ) -> str:
        """Write an application; its target. `settings` are keywords of its queue; a lease of 3 s is the default.

        `connector` is the source of its connector, if that is not the site's URL: another way to the same store.
        """
        if "lease=" not in settings:
            settings = f"lease={LEASE}, {settings}"
        connector = connector or repr(self.url)
        if losing:
            connector = f'Use("harness.losing:Losing", url={self.url!r}, script={str(self.folder / "orders")!r})'
        source = apps.text(str(self.ledger), connector, self.queue.name, settings, hooks=hooks, body=body)
        (self.folder / f"{name}.py").write_text(source)
        return f"{name}:work"

    def order(self, verb: str, how: str) -> Path:
        """Give the losing connector an order; the file is gone when it was obeyed."""
        folder = self.folder / "orders"
        folder.mkdir(exist_ok=True)
        self._orders += 1
        path = folder / f"{self._orders:06d},{verb},{how}"
        path.touch()
        return path

    def tree(
        self,
        target: str | list[str] = "app:work",
        workers: int = 1,
        *,
        ready: bool = True,
        **options: Any,
    ) -> Tree:
        """Start a tree, and wait until its workers are ready."""
        name, _, value = self.mark.partition("=")
        path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
        environment = {
            name: value,
            "PYTHONPATH": path.rstrip(os.pathsep),
            **options.pop("environment", {}),
        }
        targets = [target] if isinstance(target, str) else target
        tree = Tree(
            self.folder,
            self.runtime,
            targets,
            self.folder / f"log{len(self.trees)}",
            workers=workers,
            environment=environment,
            **options,
        )
        self.trees.append(tree)
        if ready:
            tree.ready(workers * len(targets))
        return tree

    def books(self) -> Books:
        """What the ledger says now."""
        return Books(self.ledger)

    def until(self, what: Any, within: float, why: object = "") -> Books:
        """Wait until `what(books)` is true; those books."""

        def look() -> Books | None:
            books = self.books()
            return books if what(books) else None

        return eventually(look, within, why or self.logs)

    def started(self, *numbers: int, within: float = 10.0) -> Books:
        """Wait until these tasks have started."""
        return self.until(lambda books: all(n in books.starts for n in numbers), within)

    def ended(self, *numbers: int, within: float = 10.0) -> Books:
        """Wait until these tasks have ended."""
        return self.until(lambda books: all(n in books.ends for n in numbers), within)

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"{tree.log.name}: {tree.text()[-2000:]}" for tree in self.trees)

    def reached(self, tree: Tree) -> None:
        """Wait until whoever of a tree has lost its store, and lives, has said that it is back."""

        def over() -> bool:
            gone = len(tree.events("worker.crashed"))
            return len(tree.events("connector.recovered")) + gone >= len(tree.events("connector.lost"))

        eventually(over, 10, tree.text)

    def settle(self, within: float, **bounds: Any) -> Books:
        """Q, then L0, L1 and D with the row's bounds."""
        self.store.quiet(within)
        books = self.books()
        books.check(self.store.dead(), **bounds)
        return books

    def close(self, failed: bool = False) -> None:
        """End all trees; P: nothing that they started is left 2 s later."""
        for tree in self.trees:
            if tree.process.poll() is None and not failed:
                tree.send(signal.SIGCONT)
                tree.send(signal.SIGTERM)
        try:
            for tree in self.trees:
                if not failed:
                    tree.end(30)
            if not failed:
                eventually(
                    lambda: not with_variable(self.mark),
                    2,
                    lambda: f"P: left: {with_variable(self.mark)}",
                )
        finally:
            for tree in self.trees:
                if tree.process.poll() is None:
                    tree.kill()
            for pid in with_variable(self.mark):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.store.close()
            self.queue.broker.close()
            self.producer.bulk.broker.close()
