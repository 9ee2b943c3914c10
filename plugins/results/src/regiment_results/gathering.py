"""Many handles at once: in the order in which they end, or all."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar, overload

from regiment_results.errors import ResultError, ResultTimeout
from regiment_results.finding import call_on, refuse_timeout
from regiment_results.handles import Handle
from regiment_results.listening import Answer, Listener, Want, listen

R = TypeVar("R")
Told = Callable[[Handle[Any]], None]


class _Crowd:
    """Waits for many handles; tells of each, in the listener's thread, when it has ended."""

    def __init__(self, handles: list[Handle[Any]], timeout: float | None, told: Told, *, loop: bool) -> None:
        refuse_timeout(timeout)
        self.number, self.timeout = len(handles), timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._wants: list[tuple[Listener, Want]] = []
        asked: dict[int, tuple[Any, list[Want]]] = {}
        for one in handles:
            if one.ready(timeout, loop=loop):
                told(one)
            else:
                asked.setdefault(id(one.broker), (one.broker, []))[1].append(one.want(_keeper(one, told)))
        for broker, wants in asked.values():
            listener = listen(broker, wants)
            self._wants += [(listener, want) for want in wants]

    def left(self) -> float | None:
        """Seconds until the timeout; None: no end."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def late(self, ended: int) -> ResultTimeout:
        trouble = next((f"; the store cannot be reached: {one.trouble}" for one, _ in self._wants if one.trouble), "")
        return ResultTimeout(
            f"{self.number - ended:,} of {self.number:,} tasks have no outcome within {self.timeout:g} s{trouble}. They are "
            "not ended by that: wait again"
        )

    def leave(self) -> None:
        """Wait no longer."""
        for listener, want in self._wants:
            listener.leave(want)


def _handles(given: Iterable[Any]) -> list[Handle[Any]]:
    """The handles; `TypeError` for one handle, and for what is none."""
    found = [] if isinstance(given, Handle) else list(given)
    wrong = [given] if isinstance(given, Handle) else [one for one in found if not isinstance(one, Handle)]
    if wrong:
        raise TypeError(f"a wait for many got {wrong[0]!r:.80}; expected handles, in a list or another iterable")
    return found


def _insist(errors: str) -> None:
    if errors not in ("raise", "return"):
        raise ValueError(f'errors is {errors!r}; expected "raise" or "return"')


def _keeper(handle: Handle[Any], told: Told) -> Callable[[Answer], None]:
    def keep(answer: Answer) -> None:
        handle.keep(answer)
        told(handle)

    return keep


def as_completed(handles: Iterable[Handle[R]], timeout: float | None = None) -> Iterator[Handle[R]]:
    """The handles in the order in which their tasks end; `result()` of each then returns, or raises, at once.

    `ResultTimeout` if not all have ended within `timeout` seconds.
    """
    ended: SimpleQueue[Handle[R]] = SimpleQueue()
    crowd = _Crowd(_handles(handles), timeout, ended.put, loop=True)
    try:
        for number in range(crowd.number):
            try:
                yield ended.get(timeout=crowd.left())
            except Empty:
                raise crowd.late(number) from None
    finally:
        crowd.leave()


async def aas_completed(handles: Iterable[Handle[R]], timeout: float | None = None) -> AsyncGenerator[Handle[R], None]:
    """`as_completed` without blocking the event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    ended: asyncio.Queue[Handle[R]] = asyncio.Queue()
    crowd = _Crowd(_handles(handles), timeout, lambda one: call_on(loop, ended.put_nowait, one), loop=False)
    try:
        await asyncio.sleep(0)  # what had ended before stands on the loop
        for number in range(crowd.number):
            try:  # what is there is given also when the time is over
                yield await asyncio.wait_for(ended.get(), crowd.left()) if ended.empty() else ended.get_nowait()
            except TimeoutError:
                raise crowd.late(number) from None
    finally:
        crowd.leave()


@overload
def wait_all(
    handles: Iterable[Handle[R]], timeout: float | None = None, errors: Literal["raise"] = "raise"
) -> list[R]: ...
@overload
def wait_all(
    handles: Iterable[Handle[R]], timeout: float | None = None, *, errors: Literal["return"]
) -> list[R | ResultError]: ...
def wait_all(handles: Iterable[Handle[Any]], timeout: float | None = None, errors: str = "raise") -> list[Any]:
    """The values of all, in the order of `handles`. With errors="raise" the first failure is raised as soon as it happens; with
    "return" it stands in the place of the value. `ResultTimeout` if not all have ended within `timeout` seconds.
    """
    listed = _handles(handles)
    _insist(errors)
    for done in as_completed(listed, timeout):
        if errors == "raise":
            done.result(0)
    return [_valued(one) for one in listed] if errors == "return" else [one.result(0) for one in listed]


@overload
async def await_all(
    handles: Iterable[Handle[R]], timeout: float | None = None, errors: Literal["raise"] = "raise"
) -> list[R]: ...
@overload
async def await_all(
    handles: Iterable[Handle[R]], timeout: float | None = None, *, errors: Literal["return"]
) -> list[R | ResultError]: ...
async def await_all(handles: Iterable[Handle[Any]], timeout: float | None = None, errors: str = "raise") -> list[Any]:
    """`wait_all` without blocking the event loop."""
    listed = _handles(handles)
    _insist(errors)
    async with aclosing(aas_completed(listed, timeout)) as ended:
        async for done in ended:
            if errors == "raise":
                done.result(0)
    return [_valued(one) for one in listed] if errors == "return" else [one.result(0) for one in listed]


def _valued(handle: Handle[Any]) -> Any:
    try:
        return handle.result(0)
    except ResultError as error:
        return error
