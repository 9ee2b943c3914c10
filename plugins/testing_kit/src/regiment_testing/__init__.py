"""For tests: `capture` for applications, `contracts` for authors of plugins."""

from __future__ import annotations

from regiment import lazily

__all__ = [*lazily(globals(), {"capturing": "Capture capture"})]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_testing.capturing import Capture as Capture
    from regiment_testing.capturing import capture as capture
