"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regiment.contracts import Examined, Finding
from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """Verbs that start a tree of workers or look at one."""
    return {
        "run": Offer("regiment_runner.verbs.run:command", summary="Supervise workers until told to stop."),
        "check": Offer(
            "regiment_runner.verbs.check:command", summary="All problems of targets at once; nothing is run."
        ),
        "workers": Offer("regiment_runner.verbs.workers:command", summary="What every worker of this user does now."),
        "top": Offer("regiment_runner.verbs.top:command", summary="The same, live."),
        "health": Offer(
            "regiment_runner.verbs.health:command",
            summary="For probes: whether the supervisor lives and is not stuck.",
        ),
    }


@hookimpl
def regiment_checks(examined: Examined) -> Iterable[Finding]:
    """Rules of `regiment doctor` for this host and the targets that are named."""
    from regiment_runner.verbs.checks import rules

    return rules(examined)
