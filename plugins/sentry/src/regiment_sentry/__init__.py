"""Dead tasks, failures and killed workers in Sentry.

mail = Queue("mail", plugins=[Sentry()])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [*lazily(globals(), {"choice": "Sentry"})]

if TYPE_CHECKING:
    from regiment_sentry.choice import Sentry as Sentry
