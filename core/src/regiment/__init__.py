"""regiment: distributed workers whose every part is a plugin.

The names below load when they are first used, so that `import regiment` costs nothing.
"""

from __future__ import annotations

__version__ = "0.2.0"

_NAMES = {
    "queue": "Queue",
    "worker": "Worker",
    "config": "WorkerConfig Use Timeouts Backoff Starvation Logging",
    "task": "Task",
    "context": "current",
    "broker": "Pushed",
    "lock": "Lock",
    "errors": "RegimentError ConfigError TargetError PluginError StoreError StoreUnavailable QueueFull PayloadTooLarge "
    "EncodeError DecodeError Forged ArgumentsError LockLost Fenced Control Retry Requeue Fail Stop Respawn Cancelled "
    "TaskTimeout",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME)]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment.broker import Pushed as Pushed
    from regiment.config import Backoff as Backoff
    from regiment.config import Logging as Logging
    from regiment.config import Starvation as Starvation
    from regiment.config import Timeouts as Timeouts
    from regiment.config import Use as Use
    from regiment.config import WorkerConfig as WorkerConfig
    from regiment.context import current as current
    from regiment.errors import *
    from regiment.lock import Lock as Lock
    from regiment.queue import Queue as Queue
    from regiment.task import Task as Task
    from regiment.worker import Worker as Worker


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'regiment' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"regiment.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
