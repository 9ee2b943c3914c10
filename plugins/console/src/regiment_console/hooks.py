"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regiment.contracts import Examined, Finding
from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """Verbs that read and change stores, and the demo."""
    return {
        "push": Offer("regiment_console.push:command", summary="Queue one task, or JSON lines from stdin."),
        "queues": Offer("regiment_console.queues:command", summary="What waits, runs and died, per queue."),
        "dead": Offer("regiment_console.dead:command", summary="Dead letters: list, show, replay, purge."),
        "doctor": Offer(
            "regiment_console.doctor:command", summary="What is wrong, or soon will be: store, queues, host, targets."
        ),
        "config": Offer("regiment_console.config:command", summary="Every setting of a worker and where it came from."),
        "plugins show": Offer(
            "regiment_console.plugins_show:command", summary="A plugin, or what it offers, with its options."
        ),
        "demo": Offer("regiment_console.demo:command", summary="Real work, start to end, with a summary."),
        "completion": Offer("regiment_console.completion:command", summary="Print the completion script of a shell."),
    }


@hookimpl
def regiment_checks(examined: Examined) -> Iterable[Finding]:
    """Rules of `regiment doctor` for every store's queues."""
    from regiment_console.fleet import rules

    return rules(examined)
