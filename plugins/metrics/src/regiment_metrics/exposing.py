"""What was seen of a store, as Prometheus reads it. No label has a value that a task or a user of a queue can make up at will."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from regiment.contracts import OUTCOMES
from regiment_metrics.sampling import Sample

STATES = ("ready", "delayed", "leased", "dead")
GAUGES = {
    "regiment_queue_tasks": ("Tasks of a queue in each state; dead ones are dead letters.", ("queue", "state")),
    "regiment_queue_oldest_seconds": ("Age of the oldest ready task; 0 if none is ready.", ("queue",)),
    "regiment_queue_paused": ("1 if the queue is paused.", ("queue",)),
    "regiment_queue_load": ("Most tasks that were ready or ran, in the last two minutes.", ("queue",)),
    "regiment_queue_rate": ("Tasks a second that its workers ended of late.", ("queue",)),
    "regiment_queue_workers": ("Workers that serve the queue, of all hosts.", ("queue",)),
}
COUNTERS = {
    "regiment_tasks_total": ("Tasks that ended, by what became of them.", ("queue", "task", "outcome")),
    "regiment_tasks_seconds_total": ("Seconds that they ran.", ("queue", "task")),
}

OF_TREE = {
    "regiment_tasks_running": ("Tasks that run now.", ("queue",)),
    "regiment_workers": ("Workers of this tree, by what they do.", ("queue", "state")),
    "regiment_worker_memory_bytes": ("Resident memory of the largest worker.", ("queue",)),
}
"""Of `regiment run --metrics` alone."""
ENDS = {"regiment_worker_ends_total": ("Workers that ended, by what ended them.", ("queue", "kind"))}
WORKER_STATES = ("starting", "idle", "busy", "quiet", "stopping", "frozen")
BAD_ENDS = ("crash", "timeout", "memory", "oom")

ALWAYS = ("success", "failure", "timeout", "dead")
"""Outcomes that are served from the start, as 0: what grows from nothing to its first value is no growth to Prometheus."""


class Seeing(Protocol):
    """Who looks at stores."""

    @property
    def last(self) -> Sample:
        """What was seen last."""

    def most(self, queue: str) -> int:
        """The largest load of a queue in the last two minutes."""


class Shown(Protocol):
    """Who knows a tree."""

    def tree(self) -> tuple[Any, Mapping[str, str]] | None:
        """The tree, and the queue of each of its targets."""


class Exposed(Collector):
    """The metrics of one store, or with a `tree` of that tree and its stores."""

    def __init__(self, sampler: Seeing, tree: Shown | None = None) -> None:
        self._sampler, self._tree = sampler, tree
        self._most: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """What the last look has seen; of a store that does not answer, only that."""
        seen = self._sampler.last
        yield GaugeMetricFamily("regiment_store_up", "1 if the store has answered.", value=float(seen.up))
        yield GaugeMetricFamily("regiment_store_look_seconds", "How long the last look took.", value=seen.seconds)
        yield InfoMetricFamily("regiment_build", "The release.", {"version": _version()})
        made = {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()}
        for name, one in seen.queues.items():
            if not seen.shows(name):
                continue
            queue = _text(name)
            for state in STATES:
                made["regiment_queue_tasks"].add_metric([queue, state], getattr(one.counts, state))
            values = {
                "regiment_queue_oldest_seconds": one.counts.oldest or 0.0,
                "regiment_queue_paused": float(one.counts.paused),
                "regiment_queue_load": self._sampler.most(name),
                "regiment_queue_rate": one.rate,
                "regiment_queue_workers": one.workers,
            }
            for metric, value in values.items():
                made[metric].add_metric([queue], value)
        yield from made.values()
        yield from (
            self._counters([(one.queue, one.ended) for one in seen.ended]) if self._tree is None else self._of_tree()
        )

    def _counters(self, ended: Iterable[tuple[str, Iterable[tuple[str, Sequence[int], float]]]]) -> Iterator[Metric]:
        """(queue, rows of task, counts by outcome, milliseconds)."""
        made = {name: CounterMetricFamily(name, text, labels=labels) for name, (text, labels) in COUNTERS.items()}
        for queue, rows in ended:
            for task, counts, ms in rows:
                labels = [_text(queue), _text(task)]
                for outcome, number in zip(OUTCOMES, counts, strict=True):
                    if number or outcome in ALWAYS:
                        value = self._grown("tasks", *labels, outcome, value=number)
                        made["regiment_tasks_total"].add_metric([*labels, outcome], value)
                value = self._grown("seconds", *labels, value=ms / 1000)
                made["regiment_tasks_seconds_total"].add_metric(labels, value)
        yield from made.values()

    def _of_tree(self) -> Iterator[Metric]:
        """What a tree has counted, its workers, and how those before them ended."""
        assert self._tree is not None
        found = self._tree.tree()
        if found is None:
            return
        tree, queues = found
        yield from self._counters(
            (queue, [(task, row[:-1], row[-1] / 1e6) for task, row in rows.items()])
            for queue, rows in tree.ended.items()
        )
        made = {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in OF_TREE.items()}
        for queue in sorted({*queues.values(), *(one.queue for one in tree.workers if one.queue)}):
            mine = [one for one in tree.workers if one.queue == queue]
            label = _text(queue)
            made["regiment_tasks_running"].add_metric([label], sum(one.running for one in mine))
            made["regiment_worker_memory_bytes"].add_metric([label], max((one.memory for one in mine), default=0))
            for state in WORKER_STATES:
                made["regiment_workers"].add_metric([label, state], sum(one.state == state for one in mine))
        yield from made.values()
        yield self._worker_ends(tree.ends, queues)

    def _worker_ends(self, ends: Mapping[str, Mapping[str, int]], queues: Mapping[str, str]) -> Metric:
        ((name, (text, labels)),) = ENDS.items()
        made, total = CounterMetricFamily(name, text, labels=labels), Counter[tuple[str, str]]()
        for target, queue in queues.items():
            for kind, number in {**dict.fromkeys(BAD_ENDS, 0), **ends.get(target, {})}.items():
                total[queue, kind] += number
        for (queue, kind), number in total.items():
            made.add_metric([_text(queue), kind], self._grown("ends", queue, kind, value=number))
        return made

    def _grown(self, *key: str, value: float) -> float:
        """What a counter says: never less than it has said before, even where a page can no longer be read."""
        with self._lock:
            self._most[key] = max(value, self._most.get(key, 0.0))
            return self._most[key]


def registry_of(sampler: Seeing, tree: Shown | None = None) -> CollectorRegistry:
    """A registry with these metrics and no others."""
    made = CollectorRegistry(auto_describe=False)
    made.register(Exposed(sampler, tree))
    return made


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _version() -> str:
    try:
        return version("regiment-core")
    except PackageNotFoundError:
        return "unknown"
