"""`regiment_testing.faults.Faulty` by the names that the fault tests use, and a record of the renewals.

`Use("harness.losing:Losing", url=…, script=FOLDER)`: if the folder has a file `calls`, each renewal adds a line to it: the
boot clock in nanoseconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from regiment_testing.faults import Faulty


class Losing(Faulty):
    """See the module; the orders are those of `Faulty`."""

    def __init__(self, url: str, script: str) -> None:
        super().__init__(url, orders=script)
        self._script = script

    def renew(self, *args: Any) -> Sequence[tuple[str, str]]:
        """As the wrapped one's, until there is an order."""
        calls = os.path.join(self._script, "calls")
        if os.path.exists(calls):
            fd = os.open(calls, os.O_WRONLY | os.O_APPEND)
            os.write(fd, f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n".encode())
            os.close(fd)
        found: Sequence[tuple[str, str]] = self._call("renew", self._inner.renew, args, {})
        return found
