"""Spans of OpenTelemetry for pushes and runs of tasks.

mail = Queue("mail", plugins=[Opentelemetry()])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [*lazily(globals(), {"choice": "Opentelemetry"})]

if TYPE_CHECKING:
    from regiment_opentelemetry.choice import Opentelemetry as Opentelemetry
