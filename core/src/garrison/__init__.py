"""garrison: distributed workers whose every part is a plugin.

The names below load when they are first used, so that `import garrison` costs nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

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
    "current": "task",
    "Pushed": "broker",
    "Supervisor": "supervisor",
    "Lock": "broker",
    **dict.fromkeys(
        [
            "GarrisonError",
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
    from garrison.broker import Lock as Lock
    from garrison.broker import Pushed as Pushed
    from garrison.config import Backoff as Backoff
    from garrison.config import Logging as Logging
    from garrison.config import Starvation as Starvation
    from garrison.config import Timeouts as Timeouts
    from garrison.config import Use as Use
    from garrison.config import WorkerConfig as WorkerConfig
    from garrison.errors import ArgumentsError as ArgumentsError
    from garrison.errors import ConfigError as ConfigError
    from garrison.errors import DecodeError as DecodeError
    from garrison.errors import EncodeError as EncodeError
    from garrison.errors import Fail as Fail
    from garrison.errors import Fenced as Fenced
    from garrison.errors import GarrisonError as GarrisonError
    from garrison.errors import LockLost as LockLost
    from garrison.errors import PayloadTooLarge as PayloadTooLarge
    from garrison.errors import PluginError as PluginError
    from garrison.errors import QueueFull as QueueFull
    from garrison.errors import Requeue as Requeue
    from garrison.errors import Respawn as Respawn
    from garrison.errors import Retry as Retry
    from garrison.errors import Stop as Stop
    from garrison.errors import StoreError as StoreError
    from garrison.errors import StoreUnavailable as StoreUnavailable
    from garrison.errors import TargetError as TargetError
    from garrison.errors import TaskTimeout as TaskTimeout
    from garrison.queue import Queue as Queue
    from garrison.supervisor import Supervisor as Supervisor
    from garrison.task import Task as Task
    from garrison.task import current as current
    from garrison.worker import Worker as Worker


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'garrison' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"garrison.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
