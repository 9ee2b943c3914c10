"""`regiment flows`: what runs and how far it is, and what people do to it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from regiment.broker import Broker
from regiment.contracts import Drop
from regiment.errors import RegimentError
from regiment_cli.options import json_option
from regiment_cli.printing import draw, put, say
from regiment_cli.reaching import chosen, where_options
from regiment_cli.terminal import Duration, show_json
from regiment_cli.text import table
from regiment_cli.verbs import Group
from regiment_workflows import keys
from regiment_workflows.finding import runs_of
from regiment_workflows.runs import Run
from regiment_workflows.states import Step

F = TypeVar("F", bound=Callable[..., Any])


@click.group("flows", cls=Group)
def command() -> None:
    """Flows: list, show, watch, cancel, retry, open, tend, purge. ID is that of a flow."""


_where = where_options(
    "Look at the store that this worker uses.", "Look at this queue only.  [default: those of -A, else all]"
)


def _one(function: F) -> F:
    return click.argument("id")(_where(function))


@command.command("list")
@_where
@click.option("--state", help="Only those that are so: running, failed, cancelled, success, partly, filling.")
@json_option
def list_flows(queue: str | None, app: str | None, connector: str | None, state: str | None, as_json: bool) -> None:
    """List flows, the one that changed last first."""
    broker, queues = _reach(queue, app, connector)
    found = []
    for run in runs_of(broker, queues):
        how = run.state()
        if state is None or how == state:
            data = run.plan().data
            found.append(
                {"id": run.id, "name": data["name"], "queue": run.home, "state": how, "started": data["started"]}
            )
    if as_json:
        show_json(found)
    elif not found:
        say("no flows. An idle queue is only found by --queue or --app")
    else:
        head = ("id", "name", "queue", "state")
        put(table([tuple(one[name] for name in head) for one in found], head))


@command.command("show")
@_one
@click.option("--mermaid", is_flag=True, help="Its picture, as Mermaid.")
@click.option("--svg", is_flag=True, help="Its picture, as SVG.")
@json_option
def show(
    id: str, queue: str | None, app: str | None, connector: str | None, mermaid: bool, svg: bool, as_json: bool
) -> None:
    """Show how each step of a flow stands."""
    run = _find(id, queue, app, connector)
    if mermaid or svg:
        put((run.mermaid() if mermaid else run.svg()).rstrip())
        return
    data, steps = run.plan().data, run.steps()
    if as_json:
        how = {"id": run.id, "name": data["name"], "queue": run.home, "state": run.state(), "started": data["started"]}
        show_json({**how, "progress": run.progress()._asdict(), "steps": [one._asdict() for one in steps]})
        return
    done = sum(one.state in ("success", "skipped") for one in steps)
    lines = [
        f"{run.id}  {data['name']}  {run.state()}, started {_ago(data['started'])} ago   {done} of {len(steps)} steps"
    ]
    put("\n".join([*lines, *(f"  {one.name:<16} {_told(run, one)}" for one in steps)]))


@command.command("watch")
@_one
@click.option("--timeout", type=Duration(), default=None, help="Watch at most so long: 25s, 5m.  [default: no end]")
def watch(id: str, queue: str | None, app: str | None, connector: str | None, timeout: float | None) -> None:
    """Watch a flow until it has ended, with a bar on a terminal; exit code 1 if it did not succeed."""
    run = _find(id, queue, app, connector)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        state, at = run.state(), run.progress()
        done, whole = at.done + at.arrived, max(1, at.steps + at.members)
        failed = f"  {at.failed:,} failed" if at.failed else ""
        if sys.stderr.isatty():
            bar = "█" * (30 * done // whole)
            draw(f"{state:<10} {bar:<30} {done:,} of {whole:,}{failed}  ", "\r", stream=sys.stderr)
        if state not in ("running", "filling"):
            draw("", "\n" if sys.stderr.isatty() else "", stream=sys.stderr)
            break
        if deadline is not None and time.monotonic() > deadline:
            raise RegimentError(f"flow {id} has not ended within {timeout:g} s; it goes on")
        time.sleep(0.5)
    put(f"{run.id}  {state}")
    if state not in ("success", "partly"):
        raise SystemExit(1)


@command.command("cancel")
@_one
def cancel(id: str, queue: str | None, app: str | None, connector: str | None) -> None:
    """Let nothing of a flow start any more. What runs goes on."""
    say(f"cancelled {id}" if _find(id, queue, app, connector).cancel() else f"{id} has ended already")


@command.command("retry")
@_one
@click.argument("step", required=False)
def retry(id: str, step: str | None, queue: str | None, app: str | None, connector: str | None) -> None:
    """Run again what has failed of a flow, or of one STEP."""
    _find(id, queue, app, connector).retry(step)
    say(f"what has failed of {id} runs again")


@command.command("open")
@_one
@click.argument("gate")
@click.argument("value", required=False)
def open_gate(id: str, gate: str, value: str | None, queue: str | None, app: str | None, connector: str | None) -> None:
    """Open a GATE, with a VALUE (JSON, or else a text)."""
    run = _find(id, queue, app, connector)
    try:
        given = None if value is None else json.loads(value)
    except ValueError:
        given = value
    say(f"opened {gate} of {id}" if run.open(gate, given) else f"{gate} of {id} was open already")


@command.command("tend")
@_one
def tend(id: str, queue: str | None, app: str | None, connector: str | None) -> None:
    """Do again what a fail-over of the store has lost of a flow."""
    say(f"{_find(id, queue, app, connector).tend()} done again for {id}")


@command.command("purge")
@_where
@click.option("--older", type=Duration(), required=True, help="Flows that were started so long ago: 7d.")
def purge(queue: str | None, app: str | None, connector: str | None, older: float) -> None:
    """Forget flows that have ended. What is in queues stays there."""
    broker, queues = _reach(queue, app, connector)
    gone = 0
    for run in runs_of(broker, queues):
        if run.state() in ("running", "filling"):
            continue
        data = run.plan().data
        if time.time() - data["started"] < older:
            continue
        names = [keys.flow_key(run.id), keys.payloads_key(run.id), keys.skipped_key(run.id), keys.plan_key(run.id)]
        for place in data["queues"]:
            run.apply(place, [Drop([keys.plan_key(run.id)])])
        run.apply(run.home, [Drop(names)])
        gone += 1
    say(f"forgot {gone:,} flows")


def _reach(queue: str | None, app: str | None, connector: str | None) -> tuple[Broker, list[str]]:
    """The store, and the queues to look at."""
    broker, queues = chosen(queue, app, connector)
    with broker.connector() as store:
        say(f"store: {store.describe()}")
        return broker, queues or list(store.queues())


def _find(id: str, queue: str | None, app: str | None, connector: str | None) -> Run[Any]:
    broker, queues = _reach(queue, app, connector)
    for one in queues:
        run: Run[Any] = Run(broker, one, id, existed=True)
        if run.look() is not None:
            return run
    raise RegimentError(
        f"nothing is known of a flow {id} ({', '.join(queues) or 'no queues'}): it was never started there, or its time to live "
        "is over. An idle queue is only found by --queue"
    )


def _told(run: Run[Any], one: Step) -> str:
    if one.kind == "gate" and one.state == "running":
        return f"gate, waits for `regiment flows open {run.id} {one.name}`"
    if one.state == "waiting":
        return f"waits for {', '.join(one.needs)}"
    words = [f"{one.state:<9}"]
    if one.members is not None:
        words.append(f"{one.arrived:,} of {one.members:,}")
        if one.failed:
            words.append(f"{one.failed:,} failed")
    elif one.seconds is not None:
        words.append(f"{one.seconds:.1f} s")
    return "  ".join(words).rstrip()


def _ago(then: float) -> str:
    seconds = max(0, int(time.time() - then))
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
