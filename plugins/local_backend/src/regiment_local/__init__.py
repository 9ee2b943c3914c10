"""regiment's embedded store: `Local` (SQLite, the default) and `Memory` (one process, for tests).

from regiment_local import Local
config = WorkerConfig(name="mail", connector=Local(path="/var/lib/shop/queue.db"))
"""

from __future__ import annotations

from regiment import lazily

__all__ = [
    *lazily(
        globals(),
        {
            "choice": "Local Memory",
            "local": "LocalConnector",
            "memory": "MemoryConnector",
            "within": "enqueue lay_out transaction wake_waiting",
        },
    )
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_local.choice import Local as Local
    from regiment_local.choice import Memory as Memory
    from regiment_local.local import LocalConnector as LocalConnector
    from regiment_local.memory import MemoryConnector as MemoryConnector
    from regiment_local.within import enqueue as enqueue
    from regiment_local.within import lay_out as lay_out
    from regiment_local.within import transaction as transaction
    from regiment_local.within import wake_waiting as wake_waiting
