"""regiment: distributed workers whose every part is a plugin.

The names below load when they are first used, so that `import regiment` costs nothing.
"""

from __future__ import annotations

__version__ = "0.2.0"

_HOME = {
    "Queue": "queue",
    "Worker": "worker",
    "WorkerConfig": "config",
    "Use": "config",
    "Timeouts": "config",
    "Backoff": "config",
    "Starvation": "config",
    "Logging": "config",
    "Task": "task",
    "current": "context",
    "Pushed": "broker",
    "Lock": "lock",
    **dict.fromkeys(
        [
            "RegimentError",
            "ConfigError",
            "TargetError",
            "PluginError",
            "StoreError",
            "StoreUnavailable",
            "QueueFull",
            "PayloadTooLarge",
            "EncodeError",
            "DecodeError",
            "ArgumentsError",
            "LockLost",
            "Fenced",
            "Retry",
            "Requeue",
            "Fail",
            "Stop",
            "Respawn",
            "TaskTimeout",
        ],
        "errors",
    ),
}

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
    from regiment.errors import ArgumentsError as ArgumentsError
    from regiment.errors import ConfigError as ConfigError
    from regiment.errors import DecodeError as DecodeError
    from regiment.errors import EncodeError as EncodeError
    from regiment.errors import Fail as Fail
    from regiment.errors import Fenced as Fenced
    from regiment.errors import LockLost as LockLost
    from regiment.errors import PayloadTooLarge as PayloadTooLarge
    from regiment.errors import PluginError as PluginError
    from regiment.errors import QueueFull as QueueFull
    from regiment.errors import RegimentError as RegimentError
    from regiment.errors import Requeue as Requeue
    from regiment.errors import Respawn as Respawn
    from regiment.errors import Retry as Retry
    from regiment.errors import Stop as Stop
    from regiment.errors import StoreError as StoreError
    from regiment.errors import StoreUnavailable as StoreUnavailable
    from regiment.errors import TargetError as TargetError
    from regiment.errors import TaskTimeout as TaskTimeout
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
