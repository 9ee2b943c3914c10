"""For tests: `capture` for applications, `contracts` for authors of plugins."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_testing.capturing import Capture as Capture
    from regiment_testing.capturing import capture as capture


def __getattr__(name: str) -> object:
    if name not in ("Capture", "capture"):
        raise AttributeError(f"module 'regiment_testing' has no attribute {name!r}")
    from regiment_testing import capturing

    return getattr(capturing, name)
