"""A task with the methods of Celery's: `delay`, `apply_async`, `retry`, `request`, `s`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn

from regiment.config import Backoff
from regiment.context import attempt_now
from regiment.errors import Fail, Requeue, Retry
from regiment.pushing import Pushing
from regiment.queue import TaskFunction
from regiment.task import Task as Record
from regiment_celery.canvas import Group, Signature
from regiment_celery.eager import run_here
from regiment_celery.exceptions import CeleryError, Ignore, MaxRetriesExceededError, Reject
from regiment_celery.notes import note
from regiment_celery.options import TASK, Refused, judge
from regiment_celery.rates import rate_of
from regiment_celery.request import Context, request_of
from regiment_celery.result import AsyncResult, exception_of
from regiment_celery.values import BEFORE, ERROR, ERRORS, LINKS, Call, Failure

CALLBACKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


class Replaced(BaseException):
    """A task goes on as a piece of a flow (`self.replace`)."""

    def __init__(self, piece: Any) -> None:
        super().__init__()
        self.piece = piece


class Task(TaskFunction[..., Any]):
    """A task of a Celery application. With `bind=True` its function gets it as the first argument, as `self`.

    A class derived from it is a `base=`: its attributes are defaults of options, and `before_start`, `on_success`,
    `on_failure`, `on_retry` and `after_return` are called.
    """

    def __init__(self, app: Any, function: Callable[..., Any], name: str, options: Mapping[str, Any]) -> None:
        self.app, self.queue, self.function, self.name = app, app, function, name
        self.bound = bool(options.get("bind"))
        self.how = options
        """The options that it was given, with those of its base."""
        self.settings = settings_of(options)
        self.rate = rate_of(f"task {name!r}", options.get("rate_limit"))
        self.offered: dict[str, Any] = {}
        self.always: dict[str, Any] = {}
        Pushing.__init__(self, app.outlet, {"name": name}, Call(function, f"task {name!r}", self.bound))
        self.max_retries = self.settings["max_retries"]
        self.default_retry_delay = options.get("default_retry_delay", 180)
        self.autoretry_for: tuple[type[BaseException], ...] = self.settings["retry_on"]
        self.__name__, self.__doc__, self.__wrapped__ = function.__name__, function.__doc__, function
        self.__module__ = function.__module__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now."""
        return self.function(self, *args, **kwargs) if self.bound else self.function(*args, **kwargs)

    run = __call__  # of the worker it is `work`

    # Calling

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Push it with these arguments."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any
    ) -> AsyncResult:
        """Push it, with options: `countdown`, `eta`, `expires`, `queue`, `priority`, `link`, `link_error`, …"""
        made: AsyncResult = self.app.send_task(self.name, args, kwargs, task_id=task_id, **options)
        return made

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Run it here, with its retries but without their delays, and answer with its result."""
        return run_here(self, tuple(args or ()), dict(kwargs or {}), options)

    def AsyncResult(self, task_id: str, **_: Any) -> AsyncResult:  # noqa: N802  Celery's name
        """The result of a run of it, by its id."""
        return AsyncResult(task_id, app=self.app)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature: this task with these arguments; in a chain the value of what comes before is put in front of them."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature that takes nothing of what comes before."""
        return self.signature(args, kwargs, immutable=True)

    def signature(self, args: Any = None, kwargs: Any = None, **options: Any) -> Signature:
        """A signature with these arguments and options."""
        immutable = bool(options.pop("immutable", False))
        return Signature(self, tuple(args or ()), dict(kwargs or {}), options, immutable=immutable, app=self.app)

    subtask = signature

    def map(self, items: Any) -> Group:
        """One task for each item; the list of their values. Celery runs them in one task."""
        return self.starmap((item,) for item in items)

    def starmap(self, items: Any) -> Group:
        """The same with each item as the arguments of a call."""
        return Group([self.s(*item) for item in items])

    def chunks(self, items: Any, n: int) -> NoReturn:
        """Refused."""
        raise Refused(
            f"{self.name}.chunks(…) cannot be had here; write group({self.name.rpartition('.')[2]}.s(…) for … in …), or a "
            "FlowQueue's task.map(items, chunk=100)"
        )

    # In a run

    @property
    def request(self) -> Context:
        """Which run this is."""
        return request_of(self.name)

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: Any = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> NoReturn:
        """Run it again, in `countdown` seconds (`default_retry_delay` without it), or at `eta`; if no retry is left, raise
        `exc`, or `MaxRetriesExceededError`.
        """
        if not throw or options:
            what = "throw=False" if not throw else ", ".join(options)
            raise Refused(f"self.retry({what}) cannot be had here; a retry ends the run, and keeps queue and options")
        most = self.max_retries if max_retries is None else max_retries
        if self.max_retries is not None and most is not None and most > self.max_retries:
            raise Refused(
                f"self.retry(max_retries={most}) is more than the task has ({self.max_retries}); write @app.task(max_retries={most})"
            )
        request = self.request
        if request.called_directly:
            raise exc or MaxRetriesExceededError(f"{self.name} was called directly, so nothing can run it again")
        if most is not None and request.retries >= most:
            raise exc or MaxRetriesExceededError(f"can't retry {self.name}[{request.id}]: it had {most} retries")
        new = None
        if args is not None or kwargs is not None:
            new = self._again(request, args, kwargs)
        if eta is not None:
            raise Retry(at=self.app.moment(eta), kwargs=new) from exc
        raise Retry(delay=self.default_retry_delay if countdown is None else countdown, kwargs=new) from exc

    def _again(self, request: Context, args: Any, kwargs: Any) -> dict[str, Any]:
        """The message of a retry with other arguments."""
        known: Any = self.parameters
        given = request.args if args is None else args
        before = {name: one for name, one in request.kwargs.items() if name not in known.positional[: len(given)]}
        new = self.parameters.bind(tuple(given), {**before, **dict(kwargs or {})})
        kept = {LINKS: request.callbacks, ERRORS: request.errbacks}
        return {**new, **{name: value for name, value in kept.items() if value}}

    def update_state(self, task_id: str | None = None, state: str | None = None, meta: Any = None, **_: Any) -> None:
        """Say how far it is: `AsyncResult(id).state` and `.info` answer with it until the task has ended."""
        request = self.request
        if request.id is not None and not request.is_eager:
            note(self.app, str(request.delivery_info["routing_key"]), task_id or request.id, state, meta)

    def replace(self, sig: Any) -> NoReturn:
        """Go on as this signature: what waits for the task, in a flow, waits for that and gets its value."""
        mark: Any = getattr(attempt_now.get(None), "task", None)
        if mark is None or "workflows" not in (mark.tags or {}):
            raise Refused(
                "self.replace(…) is for a task of a chain, group or chord; here push the signature: sig.delay()"
            )
        raise Replaced(sig.piece(False))

    @property
    def backend(self) -> Any:
        """Refused: there is no backend beside the store."""
        raise Refused("task.backend cannot be had here; app.AsyncResult(id) reads and forgets results")

    # In a worker

    def work(self, record: Record) -> Any:
        """Run a delivered task."""
        given = record.kwargs
        if ERROR in given:
            args, kwargs = self._blamed(Failure(*given[ERROR])), {}
        else:
            args, kwargs = self.parameters.call_of(given)  # type: ignore[attr-defined]
        try:
            value = self(*args, **kwargs)
        except Ignore:
            return None
        except Reject as error:
            raise (Requeue() if error.requeue else Fail(reason=str(error.reason))) from error
        except Replaced as goes_on:
            return goes_on.piece
        if links := given.get(LINKS):
            self._link(links, value)
        return value

    def _blamed(self, failure: Failure) -> tuple[Any, ...]:
        """What an errback gets: the id, or request, exception and traceback, if it takes more than one argument."""
        known: Any = self.parameters
        if self.bound or (len(known.positional) < 2 and known.star is None):
            return (failure.id,)
        error = exception_of(failure.type, failure.message) or CeleryError(f"{failure.type}: {failure.message}")
        return failure, error, failure.traceback

    def _link(self, links: list[Any], value: Any) -> None:
        commit: Any = attempt_now.get().commit
        for one in links:
            sig = self.app.read_signature(one)
            pushing, kwargs = sig.pushing({} if sig.immutable else {BEFORE: value})
            commit.push(pushing, **kwargs)

    def will_retry(self, error: BaseException | None, retries: int) -> bool:
        """True if a run that ended with this exception is followed by another one."""
        left = self.max_retries is None or retries < self.max_retries
        refused: tuple[type[BaseException], ...] = self.settings["dead_on"]
        return left and isinstance(error, self.autoretry_for) and not isinstance(error, refused)

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"

    # For a base class to define

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> Any: ...
    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> Any: ...
    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> Any: ...
    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> Any: ...
    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> Any: ...


def options_of(base: type[Task], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options of a task, with those that its base has as attributes; `Refused` for what cannot be had."""
    own = base.__mro__[: base.__mro__.index(Task)]
    names = [name for cls in own for name in vars(cls)]
    inherited = {name: getattr(base, name) for name in names if name in TASK and name not in ("name", "base", "bind")}
    if "__call__" in names or "run" in names:
        raise Refused(
            f"{where}: its base {base.__name__} has a __call__ or run of its own; write a function, or a plugin with "
            "regiment_around_attempt (docs/hooks.md)"
        )
    options = {
        **inherited,
        **(given.get("options") or {}),
        **{key: value for key, value in given.items() if key != "options"},
    }
    judge(TASK, where, options)
    return options


def refuse_function(function: Any, where: str) -> None:
    """`Refused` for what is no function that a worker can run."""
    if not callable(function) or not hasattr(function, "__code__"):
        raise Refused(f"{where}: it is no function; of a class with run() make a function with bind=True")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise Refused(
            f'{where}: a coroutine or generator function is no task of Celery; regiment\'s own Queue(executor="asyncio") runs coroutines'
        )


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The rules of a task: retries, back-off."""
    given = dict(options.get("retry_kwargs") or {})
    retry_on = options.get("autoretry_for") or ()
    dead_on = options.get("dont_autoretry_for") or ()
    delay = given.pop("countdown", None)
    most = given.pop("max_retries", options.get("max_retries", 3))
    if given:
        raise Refused(f"retry_kwargs has {', '.join(given)}; expected max_retries and countdown")
    first = options.get("default_retry_delay", 180) if delay is None else delay
    first = first.total_seconds() if isinstance(first, timedelta) else first
    backoff = Backoff(first=float(first), factor=1.0, limit=float(first), jitter=False)
    if wanted := options.get("retry_backoff"):
        limit = float(options.get("retry_backoff_max", 600))
        jitter = bool(options.get("retry_jitter", True))
        backoff = Backoff(
            first=min(limit, float(1 if wanted is True else wanted)), factor=2.0, limit=limit, jitter=jitter
        )
    pair = {"retry_on": retry_on, "dead_on": dead_on}
    made = {name: tuple(value) if isinstance(value, (list, tuple, set)) else (value,) for name, value in pair.items()}
    return {"max_retries": most, **made, "backoff": backoff}
