"""regiment: distributed workers whose every part is a plugin.

The names below load when they are first used, so that `import regiment` costs nothing.
"""

from __future__ import annotations

__version__ = "0.2.0"


def lazily(module: dict[str, object], homes: dict[str, str]) -> list[str]:
    """Let the names of a package load when they are first used; all of them, for `__all__ = [*lazily(globals(), {"module": "Name Other"})]`."""
    package, home = module["__name__"], {name: place for place, names in homes.items() for name in names.split()}

    def get(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        value = module[name] = getattr(import_module(f"{package}.{home[name]}"), name)
        return value

    module["__getattr__"], module["__dir__"] = get, lambda: sorted({*module, *home})
    return sorted(home)


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
__all__ = ["__version__", *lazily(globals(), _NAMES)]

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
