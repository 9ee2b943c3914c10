"""The extension itself: large arguments leave a push, come back before the work, and live on while their task may run again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Annotated, Any

from regiment import bounds, log, pushing
from regiment.broker import Broker
from regiment.codec import Codec
from regiment.config import WorkerConfig
from regiment.context import attempt_now
from regiment.contracts import Push, Secret, Service
from regiment.errors import ArgumentsError, Fail, PayloadTooLarge, Requeue
from regiment.hooks import hookimpl
from regiment.masking import shown_url
from regiment.outcome import Outcome
from regiment.task import Task, new_id
from regiment_claims.choosing import place_of
from regiment_claims.errors import ClaimError, ClaimTooLarge, ClaimUnreachable, ClaimUnreadable
from regiment_claims.places import Held, Place
from regiment_claims.references import FORMAT, Reference, bucket, human, read, references, written
from regiment_claims.settings import ABOVE, LETTER_TTL, LIMIT, STORE, STORE_LIMIT, TTL, problems_of
from regiment_claims.values import got, in_words, put
from regiment_claims.weighing import large

NAME = "claims"
"""Of the extension, of its tag, and of what it keeps for results."""
_HELD = "claims of regiment-claims"
"""Where a task that was prepared has its references: it has values in their places."""
_AGAIN = 5.0
"""Seconds after which a task comes again whose claims cannot be reached."""


class Claiming:
    """What a queue gets that names `Claims(…)`. Each process builds its own: that which pushes, and the worker."""

    understands = frozenset({NAME})
    keeps_as = NAME

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of the options, one sentence each."""
        return problems_of(options)

    def __init__(
        self,
        place: str,
        above: int = ABOVE,
        ttl: float = TTL,
        letter_ttl: float = LETTER_TTL,
        limit: int | None = None,
        sweep: bool = True,
        options: Annotated[dict[str, Any] | None, Secret] = None,
    ) -> None:
        self.needs = frozenset({"effects"}) if place == STORE else frozenset()
        self.keeps_above, self.ttl, self.letter_ttl = above, float(ttl), float(letter_ttl)
        self._limit = limit or (STORE_LIMIT if place == STORE else LIMIT)
        self._url, self._sweep, self._options = place, sweep, options
        self._shown = place if place == STORE else shown_url(place)
        self._place = None if place == STORE else place_of(place, options)
        self._held: tuple[object, Held] = (None, Held())
        self._configs: dict[str, WorkerConfig] = {}
        self._codecs: dict[str, Codec] = {}
        self._brokers: dict[str, Broker] = {}

    # Where tasks are pushed

    @hookimpl
    def regiment_push(self, push: Push) -> None:
        """Put what is large into its place, and what says where into the message. It is there before the task is."""
        codec, seal = self._codec(push.broker.config), ""
        for task in push.tasks:
            try:
                values = large(task.kwargs, self.keeps_above, codec)
            except PayloadTooLarge as error:
                raise self._too_large(task, error) from error
            if not values:
                continue
            place = self._where(push.broker, push.queue)
            now = time.time()
            self._refuse_late(push, now)
            seal = seal or new_id()
            until = bucket(now, self.ttl)
            kept = {name: written(put(place, self._shown, data, until), seal) for name, data in values.items()}
            task.kwargs = {**task.kwargs, **kept}
        if seal:
            push.tags[NAME] = [FORMAT, seal, self._shown]

    def _too_large(self, task: Task, error: PayloadTooLarge) -> ClaimTooLarge:
        what = str(error).partition(" has ")[2].partition(" when ")[0] or "more bytes"
        return ClaimTooLarge(
            f"an argument of {task.name or task.queue} has {what}; Claims(limit=…) is {self._limit:,} bytes. Nothing was pushed. Keep "
            "it elsewhere and push where it is, or raise the limit for producers and workers alike"
        )

    def _refuse_late(self, push: Push, now: float) -> None:
        """A task that is due when its claims may be gone is no task."""
        due = bounds.timestamp(push.at) if push.at is not None else now + bounds.seconds(push.delay or 0)
        if due - now >= self.ttl:
            raise ArgumentsError(
                f"the task is due in {due - now:,.0f} s, and its large arguments are kept for {self.ttl:,.0f} s: they would be gone. "
                "Raise Claims(ttl=…), or push it later. Nothing was pushed"
            )

    # Where they run

    @hookimpl
    def regiment_prepare(self, task: Task) -> None:
        """Give the task its values. What is gone for good ends it as a dead letter; what cannot be reached lets it come again later."""
        mark = task.tags.get(NAME) if task.tags else None
        if mark is None:
            return
        found, home = _claims(task, mark)
        own = vars(task)
        own[_HELD] = ()  # what cannot be reached is not renewed either
        config = self._config_of(task.queue)
        try:
            values = {name: self._value(one, home, f"the argument {name!r}", config) for name, one in found.items()}
        except ClaimUnreachable as error:
            self._come_again(task, found, error)
        except ClaimError as error:
            raise Fail(reason=f"{type(error).__name__}: {error}") from None
        task.kwargs, own[_HELD] = {**task.kwargs, **values}, tuple(found.values())

    def _come_again(self, task: Task, found: Mapping[str, Reference], error: ClaimError) -> None:
        over = time.time() > min(one.until for one in found.values())
        log.event(
            logging.ERROR,
            "claim.unreachable",
            why=str(error),
            next="is dead" if over else "comes again",
            **log.attempt_fields(),
        )
        if over:
            raise Fail(reason=f"{type(error).__name__}: {error}; its time to live is over") from None
        raise Requeue(delay=_AGAIN, reason=str(error)) from None

    def _value(self, one: Reference, home: str, what: str, config: WorkerConfig) -> Any:
        place = self._where(None, config.name, config)
        return got(place, self._shown, one, self._codec(config), home, what)

    @hookimpl
    def regiment_task_failed(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """A task that may run again keeps its claims for another time to live."""
        self._renew(task, self.ttl)

    @hookimpl
    def regiment_task_dead(self, letter: Any) -> None:
        """A dead letter keeps them longer, for its replay."""
        task = getattr(attempt_now.get(None), "task", None)
        if task is not None and task.id == letter["task_id"]:
            self._renew(task, self.letter_ttl)

    def _renew(self, task: Task, ttl: float) -> None:
        mark = task.tags.get(NAME) if task.tags else None
        if mark is None:
            return
        held, until = vars(task).get(_HELD), bucket(time.time(), ttl)
        try:
            if held is None:  # it did not get as far as being prepared
                held = _claims(task, mark)[0].values()
            config = self._config_of(task.queue)
            place = self._where(None, config.name, config)
            for one in held:
                if one.until < until:
                    place.renew(one.digest, one.size, one.until, until)
        except Exception as error:  # it has failed already, and that is what counts
            log.event(logging.WARNING, "claim.not_renewed", why=in_words(error), **log.attempt_fields())

    # Results (what regiment-results asks a plugin that has `keeps_as`)

    def keep_value(self, value: Any, ttl: float, config: WorkerConfig) -> Any:
        """Put a value that a task has returned into its place; what stands for it, as plain data."""
        try:
            data = self._codec(config).pack(value, ("claims", "value"))
        except PayloadTooLarge as error:
            raise ClaimTooLarge(f"{str(error).partition('; ')[0]}; Claims(limit=…) is {self._limit:,}") from error
        place = self._where(None, config.name, config)
        reference = put(place, self._shown, data, bucket(time.time(), ttl))
        return [*reference, self._shown, f"claim of {human(reference.size)}"]

    def kept_value(self, kept: Any, config: WorkerConfig, what: str) -> Any:
        """The value for which that stands; a `ClaimError` says why it cannot be had. Reads once, and waits for nothing."""
        one = read(kept)
        if one is None:
            raise ClaimUnreadable(
                f"{what} is {bounds.seen(kept)}; expected a claim. A newer regiment-claims wrote it: upgrade"
            )
        return self._value(one, str(kept[3]) if len(kept) > 3 else self._shown, what, config)

    # Beside the keeper

    @hookimpl
    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """What removes the buckets that are over."""
        if not self._sweep or self._place is None:
            return {}
        options = {"place": self._url, "options": self._options}
        return {f"{NAME} {self._shown}": Service("regiment_claims.duty:Sweeping", options)}

    # With what

    @hookimpl
    def regiment_worker_started(self, worker: Any) -> None:
        """Learn whose tasks run here."""
        config = worker.config
        if self._configs.get(config.name) is not config:
            self._configs[config.name] = config
            self._codecs.pop(config.name, None)
            self._brokers.pop(config.name, None)

    def _config_of(self, queue: str) -> WorkerConfig:
        """The configuration of a task's queue; for a task that was taken from elsewhere, that of this worker."""
        return self._configs.get(queue) or next(iter(self._configs.values()))

    def _codec(self, config: WorkerConfig) -> Codec:
        """What writes the values of a queue: its serializer and compressor, with the limit of claims."""
        from regiment.build import make_codec
        from regiment.registry import registry

        if config.name not in self._codecs:
            larger = config.replace(payload_limit=self._limit)
            self._codecs[config.name] = make_codec(larger, registry().scope(config.plugins))
        return self._codecs[config.name]

    def _where(self, broker: Broker | None, queue: str, config: WorkerConfig | None = None) -> Place:
        """The place. In `capture()` it is this process: tests need no storage."""
        if pushing.override is not None:
            if self._held[0] is not pushing.override:
                self._held = pushing.override, Held()
            return self._held[1]
        if self._place is not None:
            return self._place
        from regiment.build import make_broker
        from regiment_claims.beside import Beside

        if broker is None:
            assert config is not None
            if config.name not in self._brokers:
                self._brokers[config.name] = make_broker(config)
            broker = self._brokers[config.name]
        return Beside(broker, queue)


def _claims(task: Task, mark: Any) -> tuple[dict[str, Reference], str]:
    """The claims among the arguments of a message, and the place into which they were put."""
    if type(mark) is not list or len(mark) < 3 or mark[0] != FORMAT:
        raise Fail(
            reason=f"the claims of this task have the mark {bounds.seen(mark)}; this release reads {FORMAT}. A newer "
            "regiment-claims wrote them: upgrade the workers, then replay it"
        )
    return references(task.kwargs, mark[1]), str(mark[2])
