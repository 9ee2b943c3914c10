"""The costs of a part on this machine: a few figures for the card of `regiment plugins check`.

Measured once, in one process, while the machine does other work: they show an order of magnitude and do not compare
releases.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regiment.contracts import Done
from regiment_runner.shared import page
from regiment_testing.contracts.bench import Consumer, push
from regiment_testing.contracts.executor import Trials
from regiment_testing.examining import placed

TASKS, BATCH = 1000, 100
ARGUMENTS: Mapping[str, Any] = {
    "url": "https://example.org/a/page?of=some&length=1",
    "depth": 3,
    "headers": {"accept": "text/html", "user-agent": "somebody"},
    "retry": False,
    "scores": [0.25, 1, 17, None],
}


class Figure(NamedTuple):
    """`value` in `unit`; `cpu` are the microseconds of this process for one, if time was measured."""

    what: str
    value: float
    unit: str
    cpu: float | None = None

    def __str__(self) -> str:
        cpu = "" if self.cpu is None else f" ({_short(self.cpu)} of them CPU of this process)"
        return f"{self.what}: {_short(self.value)} {self.unit}{cpu}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def figures(kind: str, cls: type[Any], options: Mapping[str, Any]) -> list[Figure]:
    """The figures of one part."""
    with tempfile.TemporaryDirectory(prefix="regiment-check-") as folder:
        part = cls(**placed(options, Path(folder)))
        return _KINDS[kind](part, Path(folder))


def _each(what: str, count: int, run: Callable[[], object]) -> Figure:
    """Microseconds for one of `count` that `run` does."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    spent, own = time.perf_counter() - wall, time.process_time() - cpu
    return Figure(what, spent / count * 1e6, "µs", own / count * 1e6)


def _connector(connector: Any, folder: Path) -> list[Figure]:
    connector.open("lease")
    payloads = [os.urandom(200)] * BATCH
    worker = Consumer(connector)

    def fill() -> None:
        for _ in range(TASKS // BATCH):
            push(connector, "q", *payloads)

    def empty() -> None:
        settle: list[Done] = []
        while taken := worker.take(BATCH, *settle):
            settle = [Done(taken[0].receipt, taken[-1].receipt)]

    def one_by_one() -> None:
        for _ in range(BATCH):
            push(connector, "one", b"x" * 200)

    try:
        return [
            _each(f"a task of a push of {BATCH}", TASKS, fill),
            _each(f"a task leased and settled by {BATCH}", TASKS, empty),
            _each("a push of one task", BATCH, one_by_one),
        ]
    finally:
        connector.close()


def _serializer(serializer: Any, folder: Path) -> list[Figure]:
    data = serializer.dumps(ARGUMENTS)
    return [
        _each("dumps of some arguments", TASKS, lambda: [serializer.dumps(ARGUMENTS) for _ in range(TASKS)]),
        _each("loads of them", TASKS, lambda: [serializer.loads(data) for _ in range(TASKS)]),
        Figure("their size", len(data), "bytes"),
    ]


def _compressor(compressor: Any, folder: Path) -> list[Figure]:
    text = json.dumps([{**ARGUMENTS, "depth": number} for number in range(500)]).encode()
    packed = compressor.compress(text)
    return [
        _each(f"compress of {len(text):,} bytes", 5, lambda: [compressor.compress(text) for _ in range(5)]),
        _each("decompress of them", 5, lambda: [compressor.decompress(packed, len(text)) for _ in range(5)]),
        Figure("what is left of them", 100 * len(packed) / len(text), "%"),
    ]


def _executor(executor: Any, folder: Path) -> list[Figure]:
    trials = Trials(executor.slots, TASKS, lambda number: None)
    try:
        return [_each("an attempt that does nothing", TASKS, lambda: executor.run(trials))]
    finally:
        if hasattr(executor, "close"):
            executor.close()


def _killer(killer: Any, folder: Path) -> list[Figure]:
    places = sorted(killer.softens | killer.ends)
    if "loop" in places and len(places) == 1:
        return []  # its guard wants a running loop around it; that would measure the loop
    import signal

    before = signal.getsignal(page.SOFT_SIGNAL)
    sheet = page.Page(folder / "page", create=True)
    sheet.words[page.SLOTS] = 1
    found: list[Figure] = []

    def guard() -> None:
        for number in range(1, TASKS + 1):
            sheet.start(0, number, b"", page.now())
            with killer.guard(0, 30.0, 60.0):
                pass

    try:
        killer.install(sheet, places[0])
        thread = threading.Thread(target=lambda: found.append(_each("a guarded task", TASKS, guard)))
        if places[0] == "main":
            thread.run()
        else:
            thread.start()
            thread.join()
    finally:
        signal.signal(page.SOFT_SIGNAL, before)
        sheet.close()
    return found


def _extension(extension: Any, folder: Path) -> list[Figure]:
    from regiment import Queue
    from regiment_testing import capture

    def pushes(*plugins: Any) -> Callable[[], object]:
        pushing = Queue("figures", connector="memory", plugins=list(plugins)).options(name="task")
        return lambda: [pushing.push(**ARGUMENTS) for _ in range(TASKS)]

    with capture():
        return [
            _each("a captured push without it", TASKS, pushes()),
            _each("a captured push with it", TASKS, pushes(extension)),
        ]


_KINDS: Mapping[str, Callable[[Any, Path], list[Figure]]] = {
    "connector": _connector,
    "serializer": _serializer,
    "compressor": _compressor,
    "executor": _executor,
    "killer": _killer,
    "extension": _extension,
}
