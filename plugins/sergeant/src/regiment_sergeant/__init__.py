"""Sergeant's names on a regiment worker: `from regiment_sergeant import Worker`.

`docs/from-sergeant.md` puts both side by side. The class loads when it is first used: every command looks at this package.
"""

from __future__ import annotations

from regiment import lazily

__all__ = [*lazily(globals(), {"worker": "Worker"})]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_sergeant.worker import Worker as Worker
