"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from regiment.contracts import Examined, Finding
from regiment.hooks import Offer, hookimpl

if TYPE_CHECKING:
    from regiment_cli.panels import Panel


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """Verbs that read and change stores, and the demo."""
    return {
        "push": Offer("regiment_console.push:command", summary="Queue one task, or JSON lines from stdin."),
        "queues": Offer(
            "regiment_console.pausing:command", summary="What waits, runs and died, per queue; pause, drain."
        ),
        "tasks": Offer(
            "regiment_console.handling:command", summary="Single tasks: list, show, find, cancel, run, move."
        ),
        "why": Offer("regiment_console.why:command", summary="Why a task does not run."),
        "dead": Offer("regiment_console.trying:command", summary="Dead letters: list, show, try, replay, purge."),
        "audit": Offer("regiment_console.audit:command", summary="Who did what to a queue, and why."),
        "doctor": Offer(
            "regiment_console.doctor:command", summary="What is wrong, or soon will be: store, queues, host, targets."
        ),
        "config": Offer("regiment_console.config:command", summary="Every setting of a worker and where it came from."),
        "workers quiet": Offer("regiment_console.orders:quiet", summary="Let workers lease nothing more."),
        "workers drain": Offer(
            "regiment_console.orders:drain", summary="The same, and end when they have nothing left."
        ),
        "workers resume": Offer("regiment_console.orders:resume", summary="Take such orders back."),
        "plugins show": Offer(
            "regiment_console.plugins_show:command", summary="A plugin, or what it offers, with its options."
        ),
        "demo": Offer("regiment_console.demo:command", summary="Real work, start to end, with a summary."),
        "completion": Offer("regiment_console.completion:command", summary="Print the completion script of a shell."),
    }


@hookimpl(optionalhook=True)
def regiment_panels() -> Iterable[Panel]:
    """Pages of the dashboard: single tasks, what people did, what the doctor says."""
    from regiment.contracts.steer import STEER
    from regiment_cli.panels import Panel

    kept = frozenset({STEER})
    return [
        Panel("Tasks", "tasks", "regiment_console.pages:tasks", needs=kept, order=10),
        Panel("Audit", "audit", "regiment_console.pages:acts", needs=kept, order=80),
        Panel("Doctor", "doctor", "regiment_console.pages:doctor", order=90),
    ]


@hookimpl
def regiment_checks(examined: Examined) -> Iterable[Finding]:
    """Rules of `regiment doctor` for every store's queues."""
    from regiment_console.fleet import rules

    return rules(examined)
