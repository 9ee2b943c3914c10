"""The dashboard: pages that show what the queues of a store do, and forms with which an operator acts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_dashboard.mounting import mounted

__all__ = ["mounted"]


def __getattr__(name: str) -> object:
    if name == "mounted":  # on demand: whoever looks for hooks loads no web framework
        from regiment_dashboard.mounting import mounted

        return mounted
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
