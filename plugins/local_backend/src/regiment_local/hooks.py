"""What this package offers: the connectors "local" and "memory"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regiment.contracts import Examined, Finding
from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_connectors() -> Mapping[str, Offer]:
    return {
        "local": Offer(
            "regiment_local.local:LocalConnector",
            schemes=("sqlite",),
            summary="an SQLite file, shared by the processes of one machine",
            trial={"path": "{folder}/store/queue.db"},
        ),
        "memory": Offer(
            "regiment_local.memory:MemoryConnector",
            schemes=("memory",),
            summary="the memory of one process, for tests",
            trial={"name": "{fresh}"},
        ),
    }


@hookimpl
def regiment_checks(examined: Examined) -> Iterable[Finding]:
    """Rules of `regiment doctor` for SQLite."""
    from regiment_local.checks import rules

    return rules(examined)
