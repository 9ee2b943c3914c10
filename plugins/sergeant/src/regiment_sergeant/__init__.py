"""Sergeant's names on a regiment worker: `from regiment_sergeant import Worker`.

`docs/from-sergeant.md` puts both side by side. The class loads when it is first used: every command looks at this package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_sergeant.worker import Worker as Worker


def __getattr__(name: str) -> object:
    if name != "Worker":
        raise AttributeError(f"module 'regiment_sergeant' has no attribute {name!r}")
    from regiment_sergeant.worker import Worker

    return Worker
