"""What was seen of a store, as Prometheus reads it. No label has a value that a task or a user of a queue can make up at will."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from regiment.contracts import OUTCOMES
from regiment_metrics.sampling import Sampler

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

ALWAYS = ("success", "failure", "timeout", "dead")
"""Outcomes that are served from the start, as 0: what grows from nothing to its first value is no growth to Prometheus."""


class Exposed(Collector):
    """The metrics of one store."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def collect(self) -> Iterator[Metric]:
        """What the last look has seen; of a store that does not answer, only that."""
        seen = self._sampler.last
        yield GaugeMetricFamily("regiment_store_up", "1 if the store has answered.", value=float(seen.up))
        yield GaugeMetricFamily("regiment_store_look_seconds", "How long the last look took.", value=seen.seconds)
        yield InfoMetricFamily("regiment_build", "The release.", {"version": _version()})
        made = {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()}
        for name, one in seen.queues.items():
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
        yield from self._counters()

    def _counters(self) -> Iterator[Metric]:
        made = {name: CounterMetricFamily(name, text, labels=labels) for name, (text, labels) in COUNTERS.items()}
        for one in self._sampler.last.ended:
            for task, counts, ms in one.ended:
                labels = [_text(one.queue), _text(task)]
                for outcome, number in zip(OUTCOMES, counts, strict=True):
                    if number or outcome in ALWAYS:
                        made["regiment_tasks_total"].add_metric([*labels, outcome], number)
                made["regiment_tasks_seconds_total"].add_metric(labels, ms / 1000)
        yield from made.values()


def registry_of(sampler: Sampler) -> CollectorRegistry:
    """A registry with these metrics and no others."""
    made = CollectorRegistry(auto_describe=False)
    made.register(Exposed(sampler))
    return made


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _version() -> str:
    try:
        return version("regiment-core")
    except PackageNotFoundError:
        return "unknown"
