"""Results of tasks: kept in the step that settles them, and waited for without polling.

math = ResultQueue("math", plugins=[Results(ttl=3600)])
handle = add.push(x=1, y=2)
handle.result(timeout=5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

_NAMES = {
    "choice": "Results ResultQueue",
    "handles": "Handle handle",
    "gathering": "as_completed aas_completed wait_all await_all",
    "records": "Error Outcome Progress",
    "errors": "ResultError TaskFailed TaskTimedOut TaskDead TaskExpired TaskCancelled ResultTimeout ResultGone ResultTooLarge "
    "ResultUnreadable ResultsOff WouldBlock",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*sorted(_HOME)]

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


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'regiment_results' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"regiment_results.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
