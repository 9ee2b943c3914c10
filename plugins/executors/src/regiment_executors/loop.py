"""Many tasks at once, on an event loop in the main thread; a second thread waits for the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from regiment.contracts import AttemptLike, Place, Source
from regiment_executors.crew import Crew, CrewExecutor, count_problem

_log = logging.getLogger("regiment")


class Asyncio:
    """Runs up to `concurrency` attempts at once. Plain `def work` runs in a thread, plain hooks run on the loop."""

    place: ClassVar[Place] = "loop"
    default_killer: ClassVar[str] = "process"
    is_async: ClassVar[bool] = True

    def __init__(self, concurrency: int = 100) -> None:
        self.slots = concurrency
        self._made: asyncio.AbstractEventLoop | None = None

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """The problems of these options."""
        return count_problem("concurrency", options.get("concurrency", 1))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, made at first use."""
        if self._made is None:
            self._made = asyncio.new_event_loop()
            self._made.set_default_executor(CrewExecutor(Crew(self.slots, "regiment-task")))
            asyncio.set_event_loop(self._made)
        return self._made

    def call(self, hook: Callable[..., Any], *args: Any) -> Any:
        """Call a hook on the loop, from any thread, and wait for its answer: initialize, finalize, on_starvation."""

        async def body() -> Any:
            answer = hook(*args)
            return await answer if hasattr(answer, "__await__") else answer

        if self.loop.is_running():
            return asyncio.run_coroutine_threadsafe(body(), self.loop).result()
        return self.loop.run_until_complete(body())

    def run(self, source: Source) -> None:
        """Run attempts until there are no more and all have ended."""
        driver = _Driver(source, self.loop)
        threading.Thread(target=driver.take_all, name="regiment-driver", daemon=True).start()
        while not driver.over.done():
            try:
                self.loop.run_until_complete(driver.over)
            except (SystemExit, KeyboardInterrupt):
                # asyncio lets a coroutine end the loop with these two; here only the source may end the worker.
                _log.exception("a coroutine that no task waits for tried to end the process")
            except RuntimeError:
                if driver.over.done() or self.loop.is_closed():
                    raise
                _log.exception("something has stopped the event loop of all tasks; it goes on")
        if driver.error is not None:
            raise driver.error

    def close(self) -> None:
        """Cancel everything that is left on the loop, and close it."""
        loop, self._made = self._made, None
        if loop is None or loop.is_closed():
            return
        left = asyncio.all_tasks(loop)
        for task in left:
            if isinstance(task, _Running):
                task.interrupted = True
            task.cancel()
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=1.0))
            loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


class _Running(asyncio.Task[None]):
    """The coroutine of one attempt. `interrupted` is True if a cancellation came from outside: from the end of the
    loop, or from the coroutine of another attempt. A task that cancels itself fails.
    """

    interrupted = False

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it, and note whether another attempt does."""
        by = asyncio.current_task(self.get_loop()) if self.get_loop().is_running() else None
        if isinstance(by, _Running) and by is not self:
            self.interrupted = True
        return super().cancel(msg)


class _Driver:
    """The thread that takes attempts, and the loop's side of it."""

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self._take, self._loop = source.take, loop
        self.over: asyncio.Future[None] = loop.create_future()
        self._taken: deque[AttemptLike] = deque()
        self._called = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = False
        self.error: BaseException | None = None

    def take_all(self) -> None:
        """In the thread: hand attempts to the loop until the source has no more."""
        take, taken = self._take, self._taken
        try:
            while (attempt := take()) is not None:
                taken.append(attempt)
                if not self._called:
                    self._called = True
                    self._loop.call_soon_threadsafe(self._start)
        except BaseException as error:
            self.error = error
        with contextlib.suppress(RuntimeError):  # the loop was closed: nothing waits any more
            self._loop.call_soon_threadsafe(self._no_more)

    def _start(self) -> None:
        self._called = False  # before the look: an attempt that is appended after it calls again
        while self._taken:
            task = _Running(self._taken.popleft().arun(), loop=self._loop)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.error = self.error or task.exception()
            self._last = True
        self._look()

    def _no_more(self) -> None:
        self._last = True
        self._look()

    def _look(self) -> None:
        if self._last and not self.over.done() and (self.error or not self._tasks):
            # Never as the future's exception: a loop that waits for a SystemExit waits without end.
            self.over.set_result(None)
