"""For tests: `capture` for applications, `contracts` for the authors of plugins."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from garrison.testing.capturing import Capture as Capture
    from garrison.testing.capturing import capture as capture


def __getattr__(name: str) -> object:
    if name not in ("Capture", "capture"):
        raise AttributeError(f"module 'garrison.testing' has no attribute {name!r}")
    from garrison.testing import capturing

    return getattr(capturing, name)
