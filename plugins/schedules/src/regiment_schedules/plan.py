"""The schedules of a queue as its store has them, from any process: looked at, added, paused, removed, run at once."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from regiment.bounds import seen
from regiment.broker import Broker, effective
from regiment.contracts import Applied, Drop, Effect, Keep, Send, When
from regiment.errors import ConfigError, RegimentError, nearest
from regiment.queue import Queue, TaskFunction
from regiment.task import new_id
from regiment_cli.release import newest, of
from regiment_cli.serving import serving
from regiment_schedules import records
from regiment_schedules.declared import declared, encoded, priority
from regiment_schedules.naming import extended
from regiment_schedules.records import INDEX, Index, Row, body_key, calendar_key, renamed, row_key, row_of
from regiment_schedules.spec import in_words, moment, name_problems, schedule
from regiment_schedules.ticks import Ticks

TRIES = 50
"""Times that a change begins anew because somebody else changed the same."""


class Entry(NamedTuple):
    """A schedule as the store has it. Times are aware datetimes in UTC."""

    name: str
    queue: str
    task: str
    when: str
    """In words: "0 9 * * mon-fri Europe/Berlin"."""
    next: datetime | None
    """The next tick; None if it is paused, has none, or cannot be computed here."""
    last: datetime
    """Up to when all ticks are done."""
    paused: str
    """By whom and since when; empty if it is not."""
    source: str
    """ "code" or "store"."""
    release: str
    fired: int
    skipped: int
    trouble: str
    """Why its ticks cannot be computed here; else empty."""
    spec: Mapping[str, Any]
    late: float = 0.0
    """Seconds since the first tick was due that nobody has done; 0 if there is none. Above a few: nobody fires it."""


class Plan:
    """What `schedules(queue)` gives. Every verb may raise `StoreUnavailable`."""

    def __init__(self, broker: Broker, queue: str, face: Queue | None = None) -> None:
        self._broker, self.queue, self._face = broker, queue, face

    # Looking

    def list(self) -> list[Entry]:
        """All schedules, by name."""
        with self._store() as store:
            names = sorted(Index(store.records(self.queue, [INDEX])[0]).names)
            rows = [row for row in self._rows(store, names) if row is not None]
            days = self._days(store, rows)
        return [self._entry(row, days) for row in rows]

    def get(self, name: str) -> Entry:
        """The schedule of this name; `RegimentError` with the nearest one if there is none."""
        with self._store() as store:
            row = self._row(store, name)
            return self._entry(row, self._days(store, [row]))

    def next(self, name: str, count: int = 1, *, since: datetime | None = None) -> Sequence[datetime]:
        """Its next ticks, whether it is paused or not."""
        with self._store() as store:
            row = self._row(store, name)
            ticks = records.ticks_of(row.spec, self._days(store, [row]))
        begin = time.time() if since is None else since.timestamp()
        return [datetime.fromtimestamp(tick, UTC) for tick in ticks.between(begin, float("inf"), count)]

    def served(self) -> frozenset[str]:
        """The queues of this store that living workers serve, as their keepers announce; only their trees push what is due."""
        with self._store() as store:
            return frozenset(serving(store))

    def declared(self) -> Sequence[str]:
        """The names of those in code, as far as that is known here; no store is asked."""
        return [] if self._face is None else [name for name, _, _ in declared(self._face)]

    # Changing

    def add(self, name: str, task: TaskFunction[..., Any], cron: str | None = None, **how: Any) -> None:
        """Add a schedule, or replace the one of this name that was added before (it goes on where that one was); what it takes is
        what `schedule` takes. `ConfigError` for what is wrong, and for a name that code has.
        """
        problems = name_problems(name)
        if not isinstance(task, TaskFunction) or task.queue.name != self.queue:
            problems.append(f"its task is {seen(task)}; expected a task of queue {self.queue!r}")
        elif not (extended(task.queue) or any(True for _ in declared(task.queue))):
            problems.append(
                f"queue {self.queue!r} fires no schedules, so nothing would happen: it needs plugins=[Schedules()], or a schedule in code"
            )
        if problems:
            raise ConfigError([f"schedule {name!r}: {problem}" for problem in problems])
        one = schedule(cron, name=name, **how)
        payload, digest, spec = encoded(task, one)

        def work(store: Any, index: Index, row: Row | None) -> Sequence[Effect]:
            if row is not None and row.data["source"] != "store":
                raise ConfigError(
                    f"schedule {name!r} is one of the code ({row.data['target']}); give this one another name"
                )
            for calendar in records.calendars(one.spec):
                if store.records(self.queue, [calendar_key(calendar)])[0] is None:
                    raise ConfigError(
                        f"there is no calendar {calendar!r}; regiment schedules calendar {calendar} FILE keeps one"
                    )
            data = records.fresh(spec, task.name, digest, self._now(store), source="store", target="")
            data.update({"release": "", "started": 0.0, "by": _who()})
            if row is not None:
                data = {**row.data, **{key: data[key] for key in ("spec", "task", "digest", "by")}}
            index.names.add(name)
            if len(index.names) > records.MOST:
                raise ConfigError(f"queue {self.queue!r} has {records.MOST:,} schedules, and takes no more")
            return [Row(name, 0, data).keep(), Keep(body_key(name), payload, None)]

        self._change(name, work)

    def remove(self, name: str) -> str:
        """Remove it; the target whose code declares it, or nothing. A tick that was armed, at most two seconds ahead, still runs.

        One from code stays away until a release that is newer than all that live now declares it; where no REGIMENT_RELEASE is
        set, until the next start. `pause` holds longer.
        """
        home = ""

        def work(store: Any, index: Index, row: Row | None) -> Sequence[Effect]:
            nonlocal home
            data = self._known(index, row, name).data
            home = data["target"] if data["source"] == "code" else ""
            if home:
                index.remove(name, newest(of(data), store.presence().values()), self._now(store), _who())
            index.names.discard(name)
            return [Drop([row_key(name), body_key(name)])]

        self._change(name, work)
        return home

    def pause(self, name: str) -> None:
        """Fire it no more, until `resume`; deploys change nothing of that. A tick that was armed still runs."""

        def work(store: Any, index: Index, row: Row | None) -> Sequence[Effect]:
            return [self._known(index, row, name).keep(paused={"by": _who(), "at": time.time()})]

        self._change(name, work)

    def resume(self, name: str) -> None:
        """Fire it again, from now on: the ticks of the pause are not made up for."""

        def work(store: Any, index: Index, row: Row | None) -> Sequence[Effect]:
            found = self._known(index, row, name)
            last = max(found.last, self._now(store)) if found.data["paused"] else found.last
            return [found.keep(paused=None, last=last)]

        self._change(name, work)

    def run_now(self, name: str) -> str:
        """Push its task now, beside its ticks, paused or not; the id of the task."""
        with self._store() as store:
            row = self._row(store, name)
            (body,) = store.records(self.queue, [body_key(name)])
            if body is None:
                raise RegimentError(f"schedule {name!r} has no task in the store; was it removed meanwhile?")
            id = f"{name}!{new_id()}"
            tickets = records.tickets(row.spec, id)
            send = Send(self.queue, [renamed(body.value, id)], priority(row.spec), tickets=tickets)
            store.apply(self.queue, [send], token=id)
        return id

    def calendar(self, name: str, days: Sequence[str]) -> None:
        """Keep the days of a calendar ("2026-12-25", …), for schedules with `except_=["calendar:NAME"]`."""
        try:
            kept = sorted({date.fromisoformat(day).isoformat() for day in days})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"calendar {name!r}: {error}; expected dates such as 2026-12-25") from None
        self._change(None, lambda *_: [Keep(calendar_key(name), json.dumps(kept).encode(), None)])

    # Parts

    @contextmanager
    def _store(self) -> Iterator[Any]:
        with self._broker.connector() as connector:
            yield effective(connector, f'the schedules of queue "{self.queue}" need')

    def _now(self, store: Any) -> float:
        """The store's time."""
        return float(store.apply(self.queue, [], token=new_id()).now) or time.time()

    def _rows(self, store: Any, names: Sequence[str]) -> Sequence[Row | None]:
        found: list[Row | None] = []
        for at in range(0, len(names), records.BULK):
            part = names[at : at + records.BULK]
            kept = store.records(self.queue, [row_key(name) for name in part])
            found += [row_of(name, record) for name, record in zip(part, kept, strict=True)]
        return found

    def _row(self, store: Any, name: str) -> Row:
        (row,) = self._rows(store, [name])
        return self._known(Index(store.records(self.queue, [INDEX])[0]), row, name)

    def _known(self, index: Index, row: Row | None, name: str) -> Row:
        if row is None:
            names = sorted(index.names)
            there = f"There are: {', '.join(names[:20])}" if names else "It has none."
            raise RegimentError(f"queue {self.queue!r} has no schedule {name!r}.{nearest(name, names)} {there}")
        return row

    def _days(self, store: Any, rows: Sequence[Row]) -> dict[str, Sequence[str]]:
        wanted = sorted({name for row in rows for name in records.calendars(row.spec)})
        found = store.records(self.queue, [calendar_key(name) for name in wanted]) if wanted else []
        return {name: json.loads(one.value) for name, one in zip(wanted, found, strict=True) if one is not None}

    def _change(self, name: str | None, work: Callable[[Any, Index, Row | None], Sequence[Effect]]) -> None:
        """Change a row and the index in one step, as often as somebody else was faster."""
        with self._store() as store:
            for _ in range(TRIES):
                index = Index(store.records(self.queue, [INDEX])[0])
                row = None if name is None else self._rows(store, [name])[0]
                effects = [*work(store, index, row), index.keep()]
                when = [When(INDEX, index.version)]
                if name is not None:
                    when.append(When(row_key(name), 0 if row is None else row.version))
                answer: Applied = store.apply(self.queue, effects, token=new_id(), when=when)
                if answer.done:
                    return
                time.sleep(0.01)
        raise RegimentError(
            f"the schedules of queue {self.queue!r} are changed by others all the time; nothing was changed"
        )

    def _entry(self, row: Row, days: Mapping[str, Sequence[str]]) -> Entry:
        data, following, late, trouble = row.data, None, 0.0, ""
        try:
            ticks: Ticks = records.ticks_of(row.spec, days)
            if not data["paused"]:
                now = time.time()
                following, due = ticks.after(max(row.last, now)), ticks.after(row.last)
                late = 0.0 if due is None else max(0.0, now - due)
        except LookupError as error:
            trouble = f"the calendar {error} is not there"
        except ConfigError as error:
            trouble = str(error)
        paused = data["paused"]
        since = f"{paused['by']} since {moment(paused['at'])}" if paused else ""
        return Entry(
            row.name,
            self.queue,
            data["task"],
            in_words(row.spec),
            None if following is None else datetime.fromtimestamp(following, UTC),
            datetime.fromtimestamp(row.last, UTC),
            since,
            data["source"],
            data["release"],
            data["fired"],
            data["skipped"],
            trouble,
            row.spec,
            late,
        )


def schedules(queue: Queue) -> Plan:
    """The schedules of a queue, as its store has them."""
    if not isinstance(queue, Queue):
        raise ConfigError(f"schedules(…) got {seen(queue)}; expected a Queue: worker classes have no schedules")
    return Plan(queue.broker, queue.name, queue)


def between(queue: Queue, name: str, since: datetime, until: datetime) -> list[datetime]:
    """The ticks that a schedule of the code has, later than `since` and not later than `until`; no store is asked."""
    for known, _, one in declared(queue):
        if known == name:
            ticks = records.ticks_of({**one.spec, "except": [d for d in one.spec["except"] if ":" not in d]}, {})
            found = ticks.between(since.timestamp(), until.timestamp())
            return [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=tick) for tick in found]
    names = [known for known, _, _ in declared(queue)]
    raise RegimentError(f"queue {queue.name!r} has no schedule {name!r} in code.{nearest(name, names)}")


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"
