"""`regiment limits`: what a queue, its pools and its lanes may do and do, and changes of that at run time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from regiment.contracts import FOREVER, Flowing, Spot, Standing
from regiment.errors import nearest
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.terminal import Duration, show_json
from regiment_cli.text import age, many, table
from regiment_cli.verbs import Group
from regiment_console.acting import account, who
from regiment_console.store import Store, open_store, shown_name, store_options
from regiment_limits.budgets import in_words, name_problem, typed
from regiment_limits.later import written
from regiment_limits.ruling import forget, pools
from regiment_limits.stores import flowing

F = TypeVar("F", bound=Callable[..., Any])

MOST_LANES = 10_000
"""Lanes of one pool that are looked at for the fullest ones."""
HEAD = ("what", "waiting", "running", "limits", "gate", "next in", "from")


class _Group(Group):
    """`regiment limits QUEUE` lists that queue."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if (
            args
            and not args[0].startswith("-")
            and args[0] not in self.commands
            and not nearest(args[0], self.commands)
        ):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


@click.group("limits", cls=_Group)
def command() -> None:
    """Limits of queues, pools and lanes (without a verb: list)."""


_reason = click.option("--reason", help="Why; kept with the account, and shown by regiment audit.")
_what = click.argument("what", metavar="[queue|pool:NAME|lane:POOL/LANE]", default="queue")


def spot_of(text: str) -> Spot:
    """The spot that was typed; `UsageError` for what is none."""
    kind, colon, name = text.partition(":")
    if text == "queue":
        return ("", "")
    if kind == "pool" and colon and name_problem(name) is None:
        return (name, "")
    pool, slash, lane = name.partition("/")
    if kind == "lane" and slash and lane:
        return (pool, lane)
    raise click.UsageError(
        f"{text!r} names nothing that has limits; expected queue, pool:NAME or lane:POOL/LANE (lane:/LANE if it is in no pool)"
    )


@contextmanager
def _changing(app: str | None, connector: str | None) -> Iterator[tuple[Store, Flowing]]:
    """The store, and a connection that changes it."""
    with open_store(app, connector) as store, store.open("push") as writing:
        yield store, flowing(writing, "regiment limits needs")


@command.command("list")
@click.argument("queue", required=False)
@click.option(
    "--lanes", type=click.IntRange(0), default=20, show_default=True, help="Most lanes of a pool to show: the fullest."
)
@store_options
@json_option
def show(queue: str | None, lanes: int, app: str | None, connector: str | None, as_json: bool) -> None:
    """Show the limits of QUEUE, or of all queues: of the queue, its pools, and their fullest lanes."""
    with open_store(app, connector) as store:
        looking = flowing(store.looking, "regiment limits needs")
        names = [queue] if queue else list(looking.queues())
        found = {name: _standings(looking, name, lanes) for name in names}
        there = looking.queues() if queue else ()
        near = nearest(queue, there) if queue and queue not in there else ""
        where = store.where
    if as_json:
        listed = [_record(name, one) for name, all_of_it in found.items() for one in all_of_it]
        show_json({"store": where, "limits": listed})
        return
    shown = {name: all_of_it for name, all_of_it in found.items() if any(map(_worth_showing, all_of_it))}
    if not shown:
        if queue:
            say(f'no limits of "{queue}".{near}')
        else:
            say("no limits; a queue in which nothing is left is only found by its name")
    for name, all_of_it in shown.items():
        put(f'"{shown_name(name)}"')
        put(table(map(_row, all_of_it), HEAD, right=("waiting",)))
        if not any(one.rule for one in all_of_it):
            say(f'"{shown_name(name)}" has no limits in the store: those of its code are written by the first worker')


def _standings(store: Flowing, queue: str, lanes: int) -> list[Standing]:
    """The queue, each pool, and behind each its fullest lanes."""
    found: list[Standing] = []
    for one in pools(store, queue):
        found.append(one)
        if lanes:
            found += sorted(
                _lanes(store, queue, one.spot[0]), key=lambda lane: (-lane.waiting, -lane.running, lane.spot)
            )[:lanes]
    return found


def _lanes(store: Flowing, queue: str, pool: str) -> list[Standing]:
    found: list[Standing] = []
    while len(found) < MOST_LANES:
        page = store.standings(queue, 1000, pool=pool, after=found[-1].spot if found else None)
        found += page
        if len(page) < 1000:
            return found
    say(f"  {written((pool, ''))} has more than {MOST_LANES:,} lanes; only so many were looked at")
    return found


def _worth_showing(one: Standing) -> bool:
    return one.spot != ("", "") or one.rule is not None or one.gate > 0


def _record(queue: str, one: Standing) -> dict[str, Any]:
    return {
        "queue": shown_name(queue),
        "what": written(one.spot),
        "waiting": one.waiting,
        "running": one.running,
        "rule": None
        if one.rule is None
        else one.rule._asdict() | {"lanes": one.rule.lanes and one.rule.lanes._asdict()},
        "source": one.source or None,
        "by": one.by or None,
        "gate": "closed" if math.isinf(one.gate) else round(one.gate, 3),
        "until_rate": round(one.until_rate, 3),
    }


def _row(one: Standing) -> tuple[Any, ...]:
    most = None if one.rule is None else one.rule.at_once
    running = f"{one.running:,}" + ("" if most is None else f" of {most:,}")
    gate = "paused" if one.gate == FOREVER else f"closed for {age(one.gate)}" if one.gate > 0 else "open"
    source = (
        f"{one.source}{f' ({one.by})' if one.by else ''}"
        if one.source
        else "pool"
        if one.rule and one.spot[1]
        else None
    )
    limits = in_words(one.rule) or None
    return (
        written(one.spot),
        one.waiting,
        running,
        limits,
        gate,
        age(one.until_rate) if one.until_rate > 0 else None,
        source,
    )


@command.command("set")
@click.argument("queue")
@click.argument("words", nargs=-1, required=True, metavar="[queue|pool:NAME|lane:POOL/LANE] at_once=5 rate=10/m …")
@_reason
@store_options
def change(queue: str, words: tuple[str, ...], reason: str | None, app: str | None, connector: str | None) -> None:
    """Give QUEUE, a pool or a lane of it other limits than its code does, until they are cleared; deploys change nothing of that."""
    what, words = ("queue", words) if "=" in words[0] else (words[0], words[1:])
    spot = spot_of(what)
    rule = typed(words, bool(spot[0]) and not spot[1], bool(spot[1]))
    with _changing(app, connector) as (store, flow):
        before, unknown = flow.flow(queue, [spot])[0], _unknown(flow, queue, spot)
        with account(flow, queue, "limits set", reason, spot=what, limits=in_words(rule)) as told:
            flow.rule(queue, spot, rule, operator=True, by=who()[:150])
            told.done = True
        near = "" if queue in store.looking.queues() else nearest(queue, store.looking.queues())
    if near:
        say(f'{store.where} knows nothing of a queue "{queue}" yet; the limit counts all the same.{near}')
    if unknown:
        say(unknown)
    old = in_words(before.rule) or "nothing"
    say(
        f'{what} of "{queue}": {in_words(rule)} in the place of {old}; back to the code: regiment limits clear {queue} {what}'
    )


@command.command("clear")
@click.argument("queue")
@_what
@click.option(
    "--code",
    is_flag=True,
    help="Take back all limits that code has written, for a queue whose code names Limits no more.",
)
@_reason
@store_options
def clear(queue: str, what: str, code: bool, reason: str | None, app: str | None, connector: str | None) -> None:
    """Take an operator's limits back: those of the code count again."""
    spot = spot_of(what)
    with _changing(app, connector) as (_, flow):
        if code:
            with account(flow, queue, "limits clear", reason, spot="all of the code") as told:
                taken = forget(flow, queue)
                told.done = bool(taken)
            say(
                f'"{queue}": {many(len(taken), "limit")} of its code taken back; a tree that has them writes them again'
            )
            return
        before = flow.flow(queue, [spot])[0]
        if before.source != "operator":
            say(f'{what} of "{queue}" has no limits of an operator{_those_of_code(before)}')
            return
        with account(flow, queue, "limits clear", reason, spot=what, limits=in_words(before.rule)) as told:
            flow.rule(queue, spot, None, operator=True)
            told.done = True
        after = flow.flow(queue, [spot])[0]
    say(f'{what} of "{queue}": {in_words(after.rule) or "no limits"} again, in the place of {in_words(before.rule)}')


def _those_of_code(one: Standing) -> str:
    return f"; the code says {in_words(one.rule)}" if one.source == "code" else ""


@command.command("pause")
@click.argument("queue")
@_what
@click.option("--for", "seconds", type=Duration(), help="For so long: 10m, 2h.  [default: until it is resumed]")
@_reason
@store_options
def pause(
    queue: str, what: str, seconds: float | None, reason: str | None, app: str | None, connector: str | None
) -> None:
    """Let nothing more of QUEUE, a pool or a lane start. What runs goes on, and pushes are taken."""
    spot = spot_of(what)
    if seconds is not None and seconds <= 0:
        raise click.UsageError("--for expects a time above 0")
    with _changing(app, connector) as (store, flow):
        unknown, there = _unknown(flow, queue, spot), store.looking.queues()
        with account(flow, queue, "limits pause", reason, spot=what, seconds=seconds) as told:
            flow.gate(queue, spot, FOREVER if seconds is None else seconds)
            told.done = True
        one = flow.flow(queue, [spot])[0]
    if seconds is not None and one.gate == FOREVER:
        say(f'{what} of "{queue}" is paused already until somebody resumes it, and stays so')
        return
    if queue not in there and (near := nearest(queue, there)):
        say(f'{store.where} knows nothing of a queue "{queue}" yet; it is paused all the same.{near}')
    elif unknown:
        say(unknown)
    until = f"until regiment limits resume {queue} {what}" if seconds is None else f"for {age(seconds)}"
    say(f'paused {what} of "{queue}" {until}: {one.waiting:,} waiting, {_going_on(one.running)}')


def _going_on(running: int) -> str:
    return f"{running:,} running, which {'goes' if running == 1 else 'go'} on" if running else "none running"


def _unknown(store: Flowing, queue: str, spot: Spot) -> str:
    """What is said of a pool or a lane that nothing names yet, with the nearest that is known; empty for one that is known."""
    if spot == ("", ""):
        return ""
    known = [one.spot for one in pools(store, queue)]
    if spot[1]:
        known += [
            one.spot
            for pool in dict.fromkeys((spot[0], *(one[0] for one in known)))
            for one in _lanes(store, queue, pool)
        ]
    if spot in known:
        return ""
    near = nearest(written(spot), map(written, known))
    return f'nothing of {written(spot)} is in "{queue}" now; this counts all the same.{near}'


@command.command("resume")
@click.argument("queue")
@_what
@_reason
@store_options
def resume(queue: str, what: str, reason: str | None, app: str | None, connector: str | None) -> None:
    """Let what was paused, or closed by a task, start again."""
    spot = spot_of(what)
    with _changing(app, connector) as (_, flow):
        one = flow.flow(queue, [spot])[0]
        if not one.gate:
            say(f'{what} of "{queue}" is not paused')
            return
        with account(flow, queue, "limits resume", reason, spot=what) as told:
            flow.gate(queue, spot, None)
            told.done = True
    say(f'resumed {what} of "{queue}": {one.waiting:,} waiting')


@command.command("recount")
@click.argument("queue", required=False)
@store_options
@json_option
def recount(queue: str | None, app: str | None, connector: str | None, as_json: bool) -> int:
    """Compare what is counted as waiting and running with what is there, and put it right. Exit code 1 if something was wrong."""
    with _changing(app, connector) as (_, flow):
        names = [queue] if queue else list(flow.queues())
        found = {}
        for name in names:
            with account(flow, name, "limits recount") as told:
                found[name] = flow.recount(name)
                told.done = bool(found[name])
    wrong = [(name, *one) for name, all_of_it in found.items() for one in all_of_it]
    if as_json:
        rows = [{"queue": name, "what": written(spot), "waiting": w, "running": r} for name, spot, w, r in wrong]
        show_json({"wrong": rows})
    elif not wrong:
        say(f"all counts of {many(len(names), 'queue')} are right")
    for name, spot, waiting, running in wrong if not as_json else ():
        say(
            f'{written(spot)} of "{name}" was counted wrong: {waiting:,} wait and {running:,} run. This is a bug: tell us'
        )
    return 1 if wrong else 0
