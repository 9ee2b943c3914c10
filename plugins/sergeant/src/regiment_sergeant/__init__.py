"""Sergeant's names on regiment: a worker runs by one changed import, `import regiment_sergeant as sergeant`.

`docs/from-sergeant.md` says what is the same, what differs and what is refused. Names load when they are first used: every
command looks at this package.
"""

from __future__ import annotations

__all__ = [
    "Worker",
    "broker",
    "config",
    "connector",
    "encoder",
    "executor",
    "killer",
    "logging",
    "objects",
    "supervisor",
    "worker",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_sergeant import config as config
    from regiment_sergeant import connector as connector
    from regiment_sergeant import encoder as encoder
    from regiment_sergeant import objects as objects
    from regiment_sergeant import supervisor as supervisor
    from regiment_sergeant import worker as worker
    from regiment_sergeant.worker import Worker as Worker


def __getattr__(name: str) -> object:
    """A module of Sergeant's, or the worker class."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Worker":
        return import_module(f"{__name__}.worker").Worker
    return import_module(f"{__name__}.{name}")
