"""`regiment queues pause|resume|drain`: whether a queue's tasks are leased, and waiting until it is empty."""

from __future__ import annotations

import sys
import time

import click

from regiment.contracts import Connector, Counts
from regiment.errors import RegimentError, nearest
from regiment_cli.printing import draw, say
from regiment_cli.serving import serving
from regiment_cli.terminal import Duration
from regiment_cli.text import age, many
from regiment_console.acting import account, read
from regiment_console.queues import command
from regiment_console.steering import steered
from regiment_console.store import Store, open_store, store_options

__all__ = ["command"]

LOOK = 0.5
"""Seconds between two looks at a queue that is drained."""

_reason = click.option("--reason", help="Why; kept with the account, and shown by regiment why.")


@command.command("pause")
@click.argument("queue")
@_reason
@store_options
def pause(queue: str, reason: str | None, app: str | None, connector: str | None) -> None:
    """Let no worker lease a task of QUEUE, until it is resumed. What runs goes on, and pushes are taken."""
    with open_store(app, connector) as store:
        looking = steered(store.looking, "regiment queues pause")
        if looking.board(queue).paused:
            say(f'"{queue}" is paused already{paused_by(looking, queue)}')
            return
        if queue not in looking.queues():
            near = nearest(queue, looking.queues())
            say(f'{store.where} knows nothing of a queue "{queue}" yet, which is paused all the same.{near}')
        counts = looking.counts(queue)
        _post(store, queue, True, reason)
    say(
        f'paused "{queue}": {counts.ready + counts.delayed:,} waiting, {_going_on(counts.leased)}; '
        f"regiment queues resume {queue}"
    )


def _going_on(leased: int) -> str:
    return f"{leased:,} on lease, which {'goes' if leased == 1 else 'go'} on" if leased else "none on lease"


@command.command("resume")
@click.argument("queue")
@_reason
@store_options
def resume(queue: str, reason: str | None, app: str | None, connector: str | None) -> None:
    """Let workers lease the tasks of QUEUE again."""
    with open_store(app, connector) as store:
        looking = steered(store.looking, "regiment queues resume")
        if not looking.board(store.known(queue)).paused:
            say(f'"{queue}" is not paused')
            return
        by = paused_by(looking, queue)
        _post(store, queue, False, reason)
        counts = looking.counts(queue)
    say(f'resumed "{queue}", which was paused{by}: {many(counts.ready, "task")} ready')


def _post(store: Store, queue: str, paused: bool, reason: str | None) -> None:
    with store.open("push") as writing:
        made = steered(writing, "regiment queues pause")
        with account(made, queue, "pause" if paused else "resume", reason) as told:
            made.post(queue, paused=paused)
            told.done = True


def paused_by(store: Connector, queue: str) -> str:
    """Who paused a queue, when and why, as far as an account was kept: ` by ada@web1 5 m ago: deploy`."""
    for act in steered(store, "an account of acts").acts(queue, 1000):
        entry = read(act.entry)
        if entry["what"] == "pause":
            why = f": {entry['reason']}" if entry.get("reason") else ""
            return f" by {entry['who']} {age(max(0.0, time.time() - act.at))} ago{why}"
    return ""


@command.command("drain")
@click.argument("queue")
@click.option("--timeout", type=Duration(), help="Wait at most so long: 25s, 5m.  [default: no end]")
@store_options
def drain(queue: str, timeout: float | None, app: str | None, connector: str | None) -> None:
    """Wait until nothing of QUEUE is ready, delayed or on lease; exit code 1 if that does not come about in time.

    No store refuses pushes to one queue: stop the programs that push, or the queue is empty for a moment only.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with open_store(app, connector) as store:
        counts = store.looking.counts(store.known(queue))
        if not _left(counts):
            say(f'"{queue}" is empty')
            return
        _refuse(store, queue, counts)
        say(f'"{queue}" has {_left(counts)}; pushes are taken meanwhile, for no store refuses them')
        while words := _left(counts):
            if deadline is not None and time.monotonic() >= deadline:
                raise RegimentError(f'"{queue}" still has {words} after {age(timeout)}')
            if sys.stderr.isatty():
                draw(f"{words}   ", "\r", stream=sys.stderr)
            time.sleep(LOOK)
            counts = store.looking.counts(queue)
    if sys.stderr.isatty():
        draw("", "\n", stream=sys.stderr)
    say(f'"{queue}" is empty')


def _left(counts: Counts) -> str:
    """What is left, in words; empty if nothing is."""
    parts = {"ready": counts.ready, "delayed": counts.delayed, "on lease": counts.leased}
    return ", ".join(f"{number:,} {what}" for what, number in parts.items() if number)


def _refuse(store: Store, queue: str, counts: Counts) -> None:
    """Say at once why it would never end, or only late."""
    if counts.paused:
        raise RegimentError(
            f'"{queue}" is paused and has {_left(counts)}: nothing is leased until regiment queues resume {queue}'
        )
    if not serving(store.looking).get(queue, (0, 0.0))[0]:
        say(f'  no living worker serves "{queue}": regiment run')
