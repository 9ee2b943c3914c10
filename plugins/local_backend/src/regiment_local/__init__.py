"""regiment's embedded store: `Local` (SQLite, the default) and `Memory` (one process, for tests).

from regiment_local import Local
config = WorkerConfig(name="mail", connector=Local(path="/var/lib/shop/queue.db"))
"""

from __future__ import annotations

__all__ = ["Local", "LocalConnector", "Memory", "MemoryConnector"]

_HOME = {
    "Local": "choice",
    "Memory": "choice",
    "LocalConnector": "local",
    "MemoryConnector": "memory",
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_local.choice import Local as Local
    from regiment_local.choice import Memory as Memory
    from regiment_local.local import LocalConnector as LocalConnector
    from regiment_local.memory import MemoryConnector as MemoryConnector


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'regiment_local' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"regiment_local.{_HOME[name]}"), name)
