"""`regiment outbox`: what stands in the outboxes of targets, and the relay for those who run it apart from workers."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import click
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from regiment import log
from regiment.config import as_use
from regiment.errors import ConfigError, StoreError, TargetError
from regiment_cli import targets
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.said import settings
from regiment_cli.terminal import show_json
from regiment_cli.text import many, table
from regiment_cli.verbs import Group
from regiment_outbox.relay import Here
from regiment_sqlalchemy.relay import Engined, Relay
from regiment_sqlalchemy.schema import outbox
from regiment_sqlalchemy.settings import problems_of

F = TypeVar("F", bound=Callable[..., Any])


@click.group("outbox", cls=Group)
def command() -> None:
    """Pushes that wait in a database of SQLAlchemy: shown, relayed, and what a store refused."""


class Target(NamedTuple):
    """A queue with an outbox, and the database of that."""

    here: Here
    url: str

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.here.queue


def _found(names: Sequence[str], url: str | None) -> list[Target]:
    """The queues of these targets that have an outbox."""
    settings().reach_application()
    if url is not None and (problems := problems_of({"url": url})):
        raise ConfigError([problem.replace("url is", "--url is", 1) for problem in problems])
    faces = {label: face for name in names for label, face in targets.find(name).items()}
    found = []
    for label, face in faces.items():
        config = targets.application(face).config
        uses = [as_use(plugin) for plugin in config.plugins if hasattr(plugin, "options") or isinstance(plugin, str)]
        for use in uses:
            if use.name != "outbox":
                continue
            at = url or use.options.get("url")
            if at is None:
                raise ConfigError(f"{label}: its Outbox() names no database; expected --url, as SQLAlchemy writes it")
            found.append(Target(Here(label, config), at))
    if not found:
        raise TargetError(
            f"no queue of {', '.join(faces)} has an outbox; expected Queue(…, plugins=[Outbox(url=…)]), of regiment_sqlalchemy"
        )
    return found


@contextmanager
def _asking(url: str) -> Iterator[Any]:
    """A connection to a database, in a transaction; `StoreError` in words if it does not work."""
    database = Engined(url)
    try:
        with database.engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(
            f"the outbox in {database.name} does not answer: {str(getattr(error, 'orig', None) or error).splitlines()[0]}. Is the "
            "table there? regiment_sqlalchemy.metadata.create_all(engine) makes it"
        ) from error
    finally:
        database.close()


def _by_url(found: Sequence[Target]) -> dict[str, list[str]]:
    queues: dict[str, list[str]] = {}
    for target in found:
        queues.setdefault(target.url, []).append(target.queue)
    return queues


_names = click.argument("names", metavar="TARGET…", nargs=-1, required=True)
_url = click.option(
    "--url",
    envvar="REGIMENT_OUTBOX",
    show_envvar=True,
    help="The database, in place of the one that Outbox(url=…) names.",
)


@command.command("list")
@_names
@_url
@json_option
def list_(names: Sequence[str], url: str | None, as_json: bool) -> int:
    """Show how many rows of each queue wait, and the rows that a store has refused, with the reason.

    Exit codes: 0 none was refused, 1 some were, 4 the database does not answer.
    """
    waiting, refused = list[dict[str, Any]](), list[dict[str, Any]]()
    for at, queues in _by_url(_found(names, url)).items():
        with _asking(at) as connection:
            counted = dict(
                connection.execute(
                    select(outbox.c.queue, func.count())
                    .where(outbox.c.queue.in_(queues), outbox.c.reason == "")
                    .group_by(outbox.c.queue)
                ).all()
            )
            bad = connection.execute(
                select(outbox.c.id, outbox.c.queue, outbox.c.task, outbox.c.reason)
                .where(outbox.c.queue.in_(queues), outbox.c.reason != "")
                .order_by(outbox.c.id)
            )
            waiting += [{"queue": queue, "waiting": counted.get(queue, 0)} for queue in queues]
            refused += [dict(row._mapping) for row in bad]
    if as_json:
        show_json({"waiting": waiting, "refused": refused})
    else:
        put(table([tuple(one.values()) for one in waiting], ("queue", "waiting"), ("waiting",)))
        if refused:
            put("\nRefused; regiment outbox retry --row lets one go again, drop --row deletes it:")
            put(table([tuple(one.values()) for one in refused], ("row", "queue", "task", "reason"), ("row",)))
    return 1 if refused else 0


@command.command("relay")
@_names
@_url
@click.option("--once", is_flag=True, help="End when nothing waits any more; exit 1 if a row was refused.")
def relay(names: Sequence[str], url: str | None, once: bool) -> int:
    """Push the rows of these queues to their stores, until SIGTERM or Ctrl-C.

    A tree of `regiment run` does this by itself where Outbox(url=…) names the database. Any number may run.
    """
    found, duty = _found(names, url), Relay()
    log.logger.addHandler(Saying(logging.WARNING))
    for target in found:
        duty.learn(target.here, {"url": target.url})
    if once:
        return _relay_once(duty)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    say(f"relaying {', '.join(sorted(target.here.label for target in found))}; Ctrl-C ends it")
    while not ended.wait(duty.look(time.time())):
        pass
    for shelf in duty.shelves.values():
        shelf.close()
    return 0


def _relay_once(duty: Relay) -> int:
    moved = refused = 0
    for shelf in duty.shelves.values():
        with _closing(shelf):
            while some := shelf.relay():
                moved += some
        refused += shelf.refused
    say(f"{many(moved - refused, 'row')} relayed" + (f", {refused:,} refused" if refused else ""))
    return 1 if refused else 0


class Saying(logging.Handler):
    """Says events of the relay to people."""

    def emit(self, record: logging.LogRecord) -> None:
        """The event and its fields, on one line."""
        fields: dict[str, Any] = getattr(record, "regiment", {})
        say(" ".join([record.getMessage(), *(f"{name}={value}" for name, value in fields.items())]))


@contextmanager
def _closing(shelf: Any) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(
            f"the outbox in {shelf.database.name} does not answer: {str(getattr(error, 'orig', None) or error).splitlines()[0]}"
        ) from error
    finally:
        shelf.close()


def _chosen(function: F) -> F:
    """The options of verbs that act on refused rows."""
    rows = click.option(
        "--row", "rows", type=int, multiple=True, metavar="ROW", help="The row, by its number; may be repeated."
    )
    return _names(_url(rows(click.option("--all", "every", is_flag=True, help="All that were refused.")(function))))


def _act(names: Sequence[str], url: str | None, rows: Sequence[int], every: bool, statement: Any, done: str) -> int:
    if bool(rows) == every:
        raise click.UsageError("name rows with --row, or all with --all")
    changed = 0
    for at, queues in _by_url(_found(names, url)).items():
        with _asking(at) as connection:
            where = [outbox.c.queue.in_(queues), outbox.c.reason != "", *([] if every else [outbox.c.id.in_(rows)])]
            changed += connection.execute(statement.where(*where)).rowcount
    say(f"{many(changed, 'row')} {done}")
    return 0 if changed or every else 1


@command.command("retry")
@_chosen
def retry(names: Sequence[str], url: str | None, rows: Sequence[int], every: bool) -> int:
    """Let rows that were refused go again."""
    return _act(names, url, rows, every, update(outbox).values(reason=""), "to be relayed again")


@command.command("drop")
@_chosen
def drop(names: Sequence[str], url: str | None, rows: Sequence[int], every: bool) -> int:
    """Delete rows that were refused: their tasks never run."""
    return _act(names, url, rows, every, delete(outbox), "deleted")
