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

HANDLERS = {
    SUCCESS: "on_success",
    FAILURE: "on_failure",
    TIMEOUT: "on_timeout",
    RETRY: "on_retry",
    MAX_RETRIES: "on_max_retries",
    FAIL: "on_failure",
    REQUEUE: "on_requeue",
    STOP: "on_stop",
}
"""Outcome -> the method of the worker that is told of it; the others have none."""

COUNTED = frozenset({FAILURE, TIMEOUT, RETRY, FAIL})
"""Outcomes that count as a run of the task."""


class Outcome:
    """How one attempt ended.

    `kind` is one of the names of this module, `value` what `work` returned, `error` what it raised, `text` the
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
        self.kind = kind
        self.value = value
        self.error = error
        self.text = text
        self.evidence = evidence

    def __repr__(self) -> str:
        return f"<Outcome {self.kind}>"
