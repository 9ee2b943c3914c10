"""What this distribution offers. Loaded wherever regiment runs, so it imports nothing else until it is asked.

`optionalhook`: `regiment why` and the dashboard are distributions of their own; where they are missing nobody knows their hooks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from regiment.contracts import Examined, Finding
from regiment.hooks import hookimpl

if TYPE_CHECKING:
    from regiment_cli.panels import Panel


@hookimpl(optionalhook=True)
def regiment_panels() -> Iterable[Panel]:
    from regiment_cli.panels import Panel

    return [Panel("Owners", "owners", "regiment_owners.panel:page", order=80)]


@hookimpl
def regiment_checks(examined: Examined) -> Iterable[Finding]:
    from regiment_owners.owners import rule

    return [rule(examined)]


@hookimpl(optionalhook=True)
def regiment_reasons(queue: str) -> Iterable[str]:
    from regiment_owners.owners import owners

    owner = owners().get(queue)
    return [f"{owner} knows more about {queue}"] if owner else []
