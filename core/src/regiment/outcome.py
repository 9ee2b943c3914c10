"""How an attempt ended: the outcomes, and the table of handlers that follow them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SUCCESS = "success"
FAILURE = "failure"
TIMEOUT = "timeout"
RETRY = "retry"
MAX_RETRIES = "max_retries"
FAIL = "fail"
REQUEUE = "requeue"
STOP = "stop"
RESPAWN = "respawn"
EXPIRED = "expired"
CANCELLED = "cancelled"
INTERRUPTED = "interrupted"
UNREADABLE = "unreadable"
UNKNOWN = "unknown"
POISON = "poison"

HANDLERS = {name: f"on_{name}" for name in (SUCCESS, FAILURE, TIMEOUT, RETRY, MAX_RETRIES, REQUEUE, STOP)}
HANDLERS |= {FAIL: "on_failure", CANCELLED: "on_cancel"}
"""Outcome -> the handler of the worker that is called for it; other outcomes have none."""

COUNTED = frozenset({FAILURE, TIMEOUT, RETRY, FAIL})
"""Outcomes that count as a run of the task."""


class Outcome:
    """How one attempt ended.

    `kind` is one of the names of this module, `value` the result of `work`, `error` its exception, `text` the
    traceback or evidence to keep, `evidence` the post-mortem of a worker that died with the task.
    """

    __slots__ = ("error", "evidence", "kind", "text", "value")

    def __init__(
        self,
        kind: str,
        value: Any = None,
        error: BaseException | None = None,
        text: str = "",
        evidence: dict[str, Any] | None = None,
    ) -> None:
        self.kind, self.value, self.error = kind, value, error
        self.text, self.evidence = text, evidence

    def __repr__(self) -> str:
        return f"<Outcome {self.kind}>"
