"""A connector that wraps another one and loses answers, or its process, at a moment that the test names.

`Use("harness.losing:Losing", url=…, script=FOLDER)`: each file of the folder is one order, named `number,verb,how`, and
used up by the first process that obeys it. `lost`: the verb was executed and its answer is lost (`StoreUnavailable`);
`killed`: the process is SIGKILLed after the verb was executed and before its answer is known; `unsent`: before it is sent.
`exchange+` is an exchange that leased something, `exchange-` one that settled something. If the folder has a file `calls`,
each renewal adds a line to it: the boot clock in nanoseconds.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from garrison.config import as_use
from garrison.contracts import Capabilities, Connector, Settlement, StoreUnavailable, Taken
from garrison.registry import registry


class Losing:
    """See the module; all verbs but the named ones go straight to the wrapped connector."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, url: str, script: str) -> None:
        self._inner: Connector = registry().build("connectors", as_use(url))
        self._script = script
        self._role = ""

    def open(self, role: Any) -> None:
        """Open the wrapped connector."""
        self._role = role
        self._inner.open(role)

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._inner, verb)

    def exchange(self, *args: Any, **kwargs: Any) -> Taken:
        """As the wrapped one's, until the script says otherwise."""
        settlements: Sequence[Settlement] = args[4]
        before = self._orders("exchange")
        if "unsent" in before:
            _die()
        answer = self._inner.exchange(*args, **kwargs)
        if answer.deliveries:
            before += self._orders("exchange+")
        if settlements:
            before += self._orders("exchange-")
        self._obey(before)
        return answer

    def release(self, *args: Any, **kwargs: Any) -> None:
        """As the wrapped one's, until the script says otherwise."""
        self._around("release", lambda: self._inner.release(*args, **kwargs))

    def join(self, *args: Any) -> None:
        """As the wrapped one's, until the script says otherwise."""
        self._around("join", lambda: self._inner.join(*args))

    def renew(self, *args: Any) -> Sequence[tuple[str, str]]:
        """As the wrapped one's, until the script says otherwise."""
        calls = os.path.join(self._script, "calls")
        if os.path.exists(calls):
            fd = os.open(calls, os.O_WRONLY | os.O_APPEND)
            os.write(fd, f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n".encode())
            os.close(fd)
        found: Sequence[tuple[str, str]] = self._around("renew", lambda: self._inner.renew(*args))
        return found

    def push(self, *args: Any, **kwargs: Any) -> Sequence[int]:
        """As the wrapped one's, until the script says otherwise."""
        found: Sequence[int] = self._around("push", lambda: self._inner.push(*args, **kwargs))
        return found

    def _around(self, verb: str, call: Callable[[], Any]) -> Any:
        orders = self._orders(verb)
        if "unsent" in orders:
            _die()
        answer = call()
        self._obey(orders)
        return answer

    def _obey(self, orders: list[str]) -> None:
        if "killed" in orders:
            _die()
        if "lost" in orders:
            raise StoreUnavailable("the answer was lost on purpose", maybe_pushed=True)

    def _orders(self, verb: str) -> list[str]:
        """What the script says of this call: its first order for the verb."""
        try:
            names = sorted(os.listdir(self._script))
        except FileNotFoundError:
            return []
        for name in names:
            if name == "calls":
                continue
            _, wanted, how = name.split(",")
            if wanted == verb:
                try:
                    os.unlink(os.path.join(self._script, name))
                except FileNotFoundError:
                    continue  # another process was quicker
                return [how]
        return []


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
