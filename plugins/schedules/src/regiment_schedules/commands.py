"""`regiment schedules`: what is scheduled, when it is next, and changes of that at run time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from regiment.build import make_broker
from regiment.config import WorkerConfig
from regiment.errors import ConfigError, RegimentError, nearest
from regiment.queue import Queue
from regiment_cli import targets
from regiment_cli.options import json_option, settings
from regiment_cli.printing import put, say
from regiment_cli.reaching import where_options
from regiment_cli.terminal import show_json
from regiment_cli.text import age, table
from regiment_cli.verbs import Group
from regiment_schedules.plan import Entry, Plan, schedules
from regiment_schedules.records import ticks_of
from regiment_schedules.spec import in_words, schedule
from regiment_schedules.zones import offsets


@click.group("schedules", cls=Group)
def command() -> None:
    """Schedules: what is pushed by itself, and when (without a verb: list)."""


_where = where_options("Look at the queues of this application.", "Look at this queue only.")


BACK = (
    "it comes back with a newer REGIMENT_RELEASE, or, where that is not set, with the next start. Take it out of the code, or "
    "pause it instead, which holds"
)
"""What becomes of a schedule from code that was removed."""
IDLE = ". A queue in which nothing waits or runs is only found by --queue or --app"
"""What may be wrong where nothing is found."""


@contextmanager
def _plans(app: str | None, connector: str | None, queue: str | None) -> Iterator[list[Plan]]:
    with ExitStack() as stack:
        if app:
            settings().reach_application()
            faces = [face for face in targets.find(app).values() if isinstance(face, Queue)]
            found = [schedules(face) for face in faces if queue in (None, face.name)]
            for face in faces:
                stack.callback(face.broker.close)
        else:
            config = WorkerConfig(name=queue or "cli", connector=connector)
            broker = make_broker(config)
            stack.callback(broker.close)
            if queue is None:
                with broker.connector() as store:
                    names = list(store.queues())
            else:
                names = [queue]
            found = [Plan(broker, name) for name in names]
        yield found


def _entries(plans: list[Plan]) -> list[tuple[Plan, Entry]]:
    return [(plan, entry) for plan in plans for entry in plan.list()]


def _one(plans: list[Plan], name: str) -> tuple[Plan, Entry]:
    """The schedule of this name; in several queues it needs -q."""
    all_of_them = _entries(plans)
    found = [pair for pair in all_of_them if pair[1].name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise RegimentError(
            f"{name!r} is a schedule of {', '.join(plan.queue for plan, _ in found)}; name one: -q QUEUE"
        )
    names = [entry.name for _, entry in all_of_them]
    raise RegimentError(
        f"no schedule {name!r}.{nearest(name, names)} There are: {', '.join(names[:20]) or 'none'}{IDLE}"
    )


def _record(entry: Entry) -> dict[str, Any]:
    found = entry._asdict()
    for field in ("next", "last"):
        found[field] = None if found[field] is None else found[field].isoformat()
    return found


@command.command("list")
@click.argument("queue_name", required=False, metavar="[QUEUE]")
@_where
@json_option
def list_all(queue_name: str | None, queue: str | None, app: str | None, connector: str | None, as_json: bool) -> None:
    """List the schedules of QUEUE, or of all queues, with their next tick."""
    with _plans(app, connector, queue_name or queue) as plans:
        found = [entry for _, entry in _entries(plans)]
        served = {name for plan in plans for name in plan.served()} if found else set()
        missing = [name for plan in plans for name in plan.declared() if (plan.queue, name) not in _places(found)]
    if as_json:
        show_json([{**_record(entry), "served": entry.queue in served} for entry in found])
        return
    if missing:
        say(f"in code, and in the store after the next regiment run that may bring them: {', '.join(missing)}")
    if not found:
        say("no schedules" + ("" if app or queue_name or queue else IDLE))
        return
    now = datetime.now(UTC)
    rows = [
        (
            one.name,
            one.queue,
            one.task,
            one.when,
            _next_of(one, now, one.queue in served),
            one.source,
            one.release or None,
            one.fired,
            one.skipped,
        )
        for one in found
    ]
    put(
        table(
            rows,
            ("name", "queue", "task", "when", "next", "from", "release", "fired", "skipped"),
            right=["fired", "skipped"],
        )
    )
    if idle := sorted({one.queue for one in found if one.next is not None and not one.paused} - served):
        say(f"nobody serves {', '.join(idle)}, so that nothing is pushed: regiment run TARGET")


def _places(found: list[Entry]) -> set[tuple[str, str]]:
    return {(one.queue, one.name) for one in found}


def _next_of(one: Entry, now: datetime, served: bool = True) -> str:
    if one.paused:
        return f"paused by {one.paused}"
    if one.next is None:
        return one.trouble or "never"
    due = f"in {age((one.next - now).total_seconds())}"
    return due if served else f"{due}, but nobody serves the queue"


@command.command("show")
@click.argument("name")
@_where
@json_option
def show(name: str, queue: str | None, app: str | None, connector: str | None, as_json: bool) -> None:
    """Show everything that is kept of a schedule."""
    with _plans(app, connector, queue) as plans:
        _, entry = _one(plans, name)
    if as_json:
        show_json(_record(entry))
        return
    fields = {**_record(entry), "spec": json.dumps(entry.spec)}
    put("\n".join(f"{field:9} {value}" for field, value in fields.items() if value not in (None, "")))


@command.command("next")
@click.argument("what", metavar="NAME|EXPRESSION")
@click.option("--tz", default="UTC", show_default=True, help="Zone of an expression.")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@_where
@json_option
def next_ticks(
    what: str, tz: str, count: int, queue: str | None, app: str | None, connector: str | None, as_json: bool
) -> None:
    """The next ticks of a schedule, or of an expression ("0 9 * * mon-fri", which asks no store)."""
    if " " in what.strip() or what.startswith("@"):
        spec = schedule(what, tz=tz).spec
        found = [datetime.fromtimestamp(t, UTC) for t in ticks_of(spec, {}).between(time.time(), float("inf"), count)]
    else:
        with _plans(app, connector, queue) as plans:
            plan, entry = _one(plans, what)
            found, spec = list(plan.next(what, count)), dict(entry.spec)
    if as_json:
        show_json([tick.isoformat() for tick in found])
        return
    if not found:
        say(f"{in_words(spec)} has no tick any more")
    for tick in found:
        put(f"{tick.astimezone(offsets(spec['tz']).zone).isoformat()}{_beside(tick, spec['tz'])}")


def _beside(tick: datetime, tz: str) -> str:
    """What happens to the clock in the hours around a tick, if anything does."""
    known, at = offsets(tz), int(tick.timestamp())
    change = known.at(at + 5400) - known.at(at - 5400)
    if not change:
        return ""
    return f"   beside {'a skipped' if change > 0 else 'a doubled'} {timedelta(seconds=abs(change))}"


@command.command("add")
@click.argument("name")
@click.argument("task", metavar="TASK")
@click.argument("expression", metavar="EXPRESSION|SECONDS")
@click.argument("arguments", nargs=-1, metavar="key=text key:=json")
@click.option("--tz", default="UTC", show_default=True, help="Zone of the expression.")
@click.option("-A", "--app", metavar="MODULE:NAME", required=True, help="The queue that has the task.")
def add(name: str, task: str, expression: str, arguments: tuple[str, ...], tz: str, app: str) -> None:
    """Add a schedule at run time, or replace one that was added so: EXPRESSION, or every so many SECONDS."""
    settings().reach_application()
    faces = [face for face in targets.find(app).values() if isinstance(face, Queue) and task in face.tasks]
    if len(faces) != 1:
        known = [one for face in targets.find(app).values() if isinstance(face, Queue) for one in face.tasks]
        raise RegimentError(f'"{app}" has {len(faces)} queues with a task {task!r}.{nearest(task, known)}')
    kwargs: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise click.UsageError(f"{argument!r} is no argument; expected key=text or key:=json")
        try:
            kwargs[key.removesuffix(":")] = json.loads(value) if key.endswith(":") else value
        except ValueError as error:
            raise click.UsageError(f"{key}= is {value[:60]!r}, which is no JSON: {error}") from None
    how: dict[str, Any] = (
        {"every": float(expression)} if expression.replace(".", "", 1).isdigit() else {"cron": expression}
    )
    plan = schedules(faces[0])
    plan.add(name, faces[0].tasks[task], tz=tz, kwargs=kwargs, **how)
    say(f'{name}: {task} of "{plan.queue}", {plan.get(name).when}; next {_next_of(plan.get(name), datetime.now(UTC))}')


def _verb(name: str, text: str, said: str) -> None:
    def run(name: str, queue: str | None, app: str | None, connector: str | None) -> None:
        with _plans(app, connector, queue) as plans:
            plan, _ = _one(plans, name)
            answer = getattr(plan, method)(name)
        say(said.format(name=name, queue=plan.queue, answer=answer))
        if method == "remove" and answer:
            say(f"{answer} declares it: {BACK}")

    method = "run_now" if name == "run" else name
    run.__doc__ = text
    command.command(name)(click.argument("name")(_where(run)))


_verb(
    "remove",
    "Remove a schedule; one from code stays away until a newer release declares it.",
    '{name} is removed from "{queue}"',
)
_verb("pause", "Fire a schedule no more, until it is resumed.", '{name} of "{queue}" is paused')
_verb("resume", "Fire a schedule again, from now on.", '{name} of "{queue}" goes on from now')
_verb("run", "Push the task of a schedule now, beside its ticks.", 'pushed {answer} to "{queue}"')


@command.command("calendar")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_where
def calendar(name: str, file: Path, queue: str | None, app: str | None, connector: str | None) -> None:
    """Keep the dates in FILE, one a line, as days off: except_=["calendar:NAME"]."""
    days = [line.split()[0] for line in file.read_text().splitlines() if line.split() and not line.startswith("#")]
    with _plans(app, connector, queue) as plans:
        if not plans:
            raise ConfigError("no queue is known here to keep a calendar beside; name one with --queue")
        for plan in plans:
            plan.calendar(name, days)
            say(f'calendar {name} of "{plan.queue}" has {len(days)} days')
