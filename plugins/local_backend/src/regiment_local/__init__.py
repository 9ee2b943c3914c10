"""regiment's embedded store: `Local` (SQLite, the default) and `Memory` (one process, for tests).

from regiment_local import Local
config = WorkerConfig(name="mail", connector=Local(path="/var/lib/shop/queue.db"))
"""

from __future__ import annotations

from regiment import lazily

__all__ = [*lazily(globals(), {"choice": "Local Memory", "local": "LocalConnector", "memory": "MemoryConnector"})]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_local.choice import Local as Local
    from regiment_local.choice import Memory as Memory
    from regiment_local.local import LocalConnector as LocalConnector
    from regiment_local.memory import MemoryConnector as MemoryConnector
