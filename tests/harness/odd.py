"""A serializer whose reading misbehaves on request: `Use("harness.odd:Odd")`.

A large payload that was written with `odd="hang"` never ends to be read, one with `odd="crash"` ends its reader.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, ClassVar

LARGE = 10_000
"""Bytes with which a payload is large enough."""


class Odd:
    """JSON, but for what its module says."""

    executes: ClassVar[bool] = False

    def dumps(self, value: Any) -> bytes:
        """As JSON."""
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        """As JSON, if it comes to that."""
        if b'"hang"' in data:
            while True:
                time.sleep(1)
        if b'"crash"' in data:
            os._exit(11)
        return json.loads(data)
