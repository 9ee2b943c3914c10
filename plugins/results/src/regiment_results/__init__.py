"""Results of tasks: kept in the step that settles them, and waited for without polling.

math = ResultQueue("math", plugins=[Results(ttl=3600)])
handle = add.push(x=1, y=2)
handle.result(timeout=5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [
    *lazily(
        globals(),
        {
            "choice": "Results ResultQueue",
            "handles": "Handle handle",
            "gathering": "as_completed aas_completed wait_all await_all",
            "records": "Error Outcome Progress",
            "errors": "ResultError TaskFailed TaskTimedOut TaskDead TaskExpired TaskCancelled ResultTimeout ResultGone ResultTooLarge "
            "ResultUnreadable ResultsOff WouldBlock",
        },
    )
]

if TYPE_CHECKING:
    from regiment_results.choice import ResultQueue as ResultQueue
    from regiment_results.choice import Results as Results
    from regiment_results.errors import ResultError as ResultError
    from regiment_results.errors import ResultGone as ResultGone
    from regiment_results.errors import ResultsOff as ResultsOff
    from regiment_results.errors import ResultTimeout as ResultTimeout
    from regiment_results.errors import ResultTooLarge as ResultTooLarge
    from regiment_results.errors import ResultUnreadable as ResultUnreadable
    from regiment_results.errors import TaskCancelled as TaskCancelled
    from regiment_results.errors import TaskDead as TaskDead
    from regiment_results.errors import TaskExpired as TaskExpired
    from regiment_results.errors import TaskFailed as TaskFailed
    from regiment_results.errors import TaskTimedOut as TaskTimedOut
    from regiment_results.errors import WouldBlock as WouldBlock
    from regiment_results.gathering import aas_completed as aas_completed
    from regiment_results.gathering import as_completed as as_completed
    from regiment_results.gathering import await_all as await_all
    from regiment_results.gathering import wait_all as wait_all
    from regiment_results.handles import Handle as Handle
    from regiment_results.handles import handle as handle
    from regiment_results.records import Error as Error
    from regiment_results.records import Outcome as Outcome
    from regiment_results.records import Progress as Progress
