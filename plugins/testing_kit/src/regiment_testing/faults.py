"""`Faulty`: any connector with the faults that a test orders: a lost reply, a duplicate, a delay, a death in between.

In one process, around an existing connector:

    connector = Faulty(MyConnector(path=…))
    connector.order("push", "lost")          # the next push arrives, its answer does not

In the processes of a tree, as the connector of a configuration; orders are files, so every process sees them:

    Use("regiment_testing.faults:Faulty", wrapped="redis://localhost/0", orders="/tmp/orders")
    order("/tmp/orders", "exchange+", "killed")   # the worker that leases next dies before it knows its tasks

| how | what happens |
|---|---|
| `lost` | the verb is executed, its answer is lost: `StoreUnavailable`, `maybe_pushed` |
| `away` | the store is not reached: `StoreUnavailable`, nothing is executed |
| `twice` | the request arrives twice; the answer is that of the second |
| `slow` | the verb is executed after a delay (`slow:0.5`, seconds; 1 if none is named) |
| `unsent` | the process dies (SIGKILL) before the request is sent |
| `killed` | the process dies after the verb was executed and before it knows the answer |

`exchange+` is an exchange that leased something, `exchange-` one that settled something; they can be lost or killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from regiment.config import Use, as_use
from regiment.contracts import Capabilities, Connector, Effective, Flowing, Ledgered, Steered
from regiment.errors import StoreUnavailable
from regiment.registry import registry

HOWS = ("lost", "away", "twice", "slow", "unsent", "killed")
_LATE = frozenset({"lost", "killed"})
_ALIASES = ("exchange+", "exchange-")


class Faulty:
    """See the module. A call without an order goes straight to the wrapped connector."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, wrapped: Connector | Use | str, orders: str | None = None) -> None:
        inner: Any = wrapped
        if isinstance(wrapped, (str, Use)):
            inner = registry().build("connectors", as_use(wrapped))
        self._inner: Connector = inner
        self._folder = orders
        self._orders: list[tuple[str, str]] = []
        self.obeyed: list[tuple[str, str]] = []
        """(verb, how) of every order that this object has carried out."""
        vars(self)["capabilities"] = inner.capabilities

    def order(self, verb: str, how: str, times: int = 1) -> None:
        """Order what happens to the next calls of a verb in this process; orders for one verb are carried out in turn."""
        _check(verb, how)
        self._orders += [(verb, how)] * times

    def __getattr__(self, verb: str) -> Any:
        inner = getattr(self._inner, verb)
        if verb.startswith("_") or not callable(inner):
            return inner
        return lambda *args, **kwargs: self._call(verb, inner, args, kwargs)

    def _call(self, verb: str, inner: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        how = self._next(verb)
        kind, _, seconds = (how or "").partition(":")
        if kind == "unsent":
            _die()
        if kind == "away":
            raise StoreUnavailable(f"{verb}: the store was away, on order")
        if kind == "slow":
            time.sleep(float(seconds or 1))
        answer = inner(*args, **kwargs)
        if kind == "twice":
            answer = inner(*args, **kwargs)
        if verb == "exchange" and how is None:
            settled = kwargs.get("settlements", args[4] if len(args) > 4 else ())
            how = self._next("exchange+") if answer.deliveries else None
            how = how or (self._next("exchange-") if settled else None)
        if how == "killed":
            _die()
        if how == "lost":
            raise StoreUnavailable(f"{verb}: the answer was lost, on order", maybe_pushed=True)
        return answer

    def _next(self, verb: str) -> str | None:
        """Take the first order for a verb."""
        how = next((how for wanted, how in self._orders if wanted == verb), None)
        if how is not None:
            self._orders.remove((verb, how))
        elif self._folder is not None:
            how = _from_folder(self._folder, verb)
        if how is not None:
            self.obeyed.append((verb, how))
        return how


def order(folder: str | Path, verb: str, how: str) -> Path:
    """Leave an order for the process that calls `verb` next; that process removes the file."""
    _check(verb, how)
    os.makedirs(folder, exist_ok=True)
    path = Path(folder) / f"{time.monotonic_ns():020d},{verb},{how}"
    path.touch()
    return path


def _check(verb: str, how: str) -> None:
    kinds = (Effective, Steered, Flowing, Ledgered)
    if verb not in _ALIASES and not any(callable(getattr(kind, verb, None)) for kind in kinds):
        raise ValueError(f"a connector has no verb {verb!r}")
    kind = how.partition(":")[0]
    if kind not in HOWS:
        raise ValueError(f"how is {how!r}; expected one of {', '.join(HOWS)}")
    if verb in _ALIASES and kind not in _LATE:
        raise ValueError(f"{verb!r} is known when it was executed, so it can be lost or killed, not {how!r}")


def _from_folder(folder: str, verb: str) -> str | None:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return None
    for name in names:
        _, _, rest = name.partition(",")
        wanted, _, how = rest.partition(",")
        if wanted == verb:
            try:
                os.unlink(os.path.join(folder, name))
            except FileNotFoundError:
                continue  # another process was faster
            return how
    return None


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
