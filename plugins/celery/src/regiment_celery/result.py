"""`AsyncResult` and its kin: Celery's questions, asked of regiment's handles and runs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from regiment_celery.exceptions import TaskRevokedError, TimeLimitExceeded, WorkerLostError
from regiment_celery.notes import read_note
from regiment_celery.options import Refused, tell
from regiment_celery.shared import app_now
from regiment_celery.states import FAILURE, PENDING, READY_STATES, RETRY, REVOKED, STARTED, SUCCESS
from regiment_results.errors import ResultsOff, TaskFailed
from regiment_results.finding import keeping_of
from regiment_results.handles import Handle, made
from regiment_results.records import FINAL, RETRYING, RUNNING, Outcome, key_of
from regiment_workflows.errors import FlowFailed
from regiment_workflows.runs import Run

_STATES = {
    RUNNING: STARTED,
    RETRYING: RETRY,
    "success": SUCCESS,
    "partly": SUCCESS,
    "failure": FAILURE,
    "failed": FAILURE,
    "timeout": FAILURE,
    "dead": FAILURE,
    "expired": REVOKED,
    "cancelled": REVOKED,
}
_KINDS = {
    "timeout": TimeLimitExceeded,
    "expired": TaskRevokedError,
    "cancelled": TaskRevokedError,
    "poison": WorkerLostError,
}
_NOTE_TTL = 86_400.0
_ABSENT = {
    "parent": "the tasks of a chain are shown by regiment flows show ID",
    "then": "await handle.aresult() of regiment_results",
    "collect": "regiment flows show ID",
    "get_leaf": "regiment flows show ID",
    "graph": "regiment flows show ID --mermaid",
    "build_graph": "regiment flows show ID --mermaid",
    "backend": "results are kept in the store of the tasks",
    "args": "a result does not keep arguments: regiment tasks show ID, of a task that waits",
    "kwargs": "a result does not keep arguments: regiment tasks show ID, of a task that waits",
}


class Result:
    """What is common to results of tasks, and of chains and groups."""

    def __init__(self, id: str, app: Any = None) -> None:
        self.id = self.task_id = str(id)
        self.app = app or app_now()

    def source(self) -> Handle[Any] | Run[Any]:
        """Who knows how it stands."""
        raise NotImplementedError

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: Any = None,
        no_ack: Any = None,
        follow_parents: Any = None,
        callback: Any = None,
        on_message: Any = None,
        on_interval: Any = None,
        disable_sync_subtasks: bool = True,
        **_: Any,
    ) -> Any:
        """What it returned, waited for up to `timeout` seconds; with `propagate` a failure is raised, else returned."""
        if callback is not None or on_message is not None or on_interval is not None:
            raise Refused(
                "get(callback=, on_message=, on_interval=) cannot be had here; ask for .state and .info, or wait in a thread"
            )
        if interval is not None:
            tell("get(interval=) has no effect here: waiting does not poll")
        try:
            return plain(self.source().result(timeout))
        except (TaskFailed, FlowFailed) as error:
            found = celerys(error)
            if propagate:
                raise found from error
            return found

    wait = join = get

    @property
    def state(self) -> str:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED, or what `update_state` said."""
        return _STATES.get(self.source().state(), PENDING)

    @property
    def status(self) -> str:
        """The same."""
        return self.state

    def ready(self) -> bool:
        """True if it has ended."""
        return self.state in READY_STATES

    def successful(self) -> bool:
        """True if it has succeeded."""
        return self.state == SUCCESS

    def failed(self) -> bool:
        """True if it has failed."""
        return self.state == FAILURE

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: Any = None,
        wait: bool = False,
        timeout: Any = None,
    ) -> None:
        """Cancel it, whether it waits or runs."""
        if signal is not None:
            raise Refused(
                f"revoke(signal={signal!r}) cannot be had here; what runs is struck, and killed after its grace (docs/killers.md)"
            )
        self.source().cancel()

    def maybe_throw(self, propagate: bool = True, callback: Any = None) -> Any:
        """Raise its failure, if it has failed; its value."""
        return self.get(timeout=0, propagate=propagate) if self.ready() else None

    maybe_reraise = throw = maybe_throw

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __getattr__(self, name: str) -> Any:
        if name in _ABSENT:
            raise Refused(f"{type(self).__name__}.{name} cannot be had here; {_ABSENT[name]}")
        raise AttributeError(f"{type(self).__name__} has no {name!r}")


class AsyncResult(Result):
    """How a task stands, and what it returned; by its id also from another process."""

    def __init__(self, id: str, app: Any = None, pushed: Any = None, **_: Any) -> None:
        super().__init__(id, app)
        self._source: Handle[Any] | Run[Any] | None = pushed if isinstance(pushed, Handle) else None
        self._queue: str | None = pushed.queue if pushed is not None else None

    def source(self) -> Handle[Any] | Run[Any]:
        if self._source is None:
            self._source = self._found()
        return self._source

    def _found(self) -> Handle[Any] | Run[Any]:
        queues = [self._queue] if self._queue else self.app.queue_names()
        for queue in queues:
            broker = self.app.lane(queue).broker
            with broker.connector() as store:
                found = store.records(queue, [key_of(self.id)])[0]
            if found is not None:
                return made(broker, FINAL, "", False, self.id, queue, True)
            run = Run[Any](broker, queue, self.id, existed=True)
            if self._queue is None and run.state() != "unknown":
                return run
        broker = self.app.lane(queues[0]).broker
        if keeping_of(broker) is None:
            raise ResultsOff(
                "the application keeps no results; write Celery(…, backend=…), or result_backend in its settings"
            )
        return made(broker, FINAL, "", False, self.id, queues[0], True)

    @property
    def state(self) -> str:
        state = super().state
        if state not in READY_STATES and (told := self._note()) is not None:
            return told[0] or state
        return state

    status = state

    def _note(self) -> tuple[str | None, Any] | None:
        found: Any = self.source()
        return read_note(self.app, found.queue, self.id) if isinstance(found, Handle) else None

    @property
    def result(self) -> Any:
        """What it returned; the exception of one that failed; what `update_state` said of one that runs."""
        if self.ready():
            return self.get(timeout=0, propagate=False)
        told = self._note()
        return None if told is None else told[1]

    info = result

    def _outcome(self) -> Outcome | None:
        found = self.source()
        return found.outcome() if isinstance(found, Handle) else None

    @property
    def traceback(self) -> str | None:
        """The traceback of one that failed."""
        found = self._outcome()
        return found.error.traceback if found is not None and found.error is not None else None

    @property
    def date_done(self) -> datetime | None:
        """When it ended."""
        found = self._outcome()
        return None if found is None else datetime.fromtimestamp(found.ended, UTC)

    @property
    def retries(self) -> int | None:
        """How many runs came before the last one."""
        found = self._outcome()
        return None if found is None else max(0, found.runs - 1)

    @property
    def worker(self) -> str | None:
        """Host and process that ran it."""
        found = self._outcome()
        return None if found is None else found.worker

    @property
    def children(self) -> list[Any]:
        """Nothing: what a task pushed is found by its trace_id."""
        return []

    def forget(self) -> None:
        """Delete what is kept of it."""
        found = self.source()
        if not isinstance(found, Handle):
            raise Refused("a flow is forgotten by itself: Workflows(keep=…)")
        found.forget()

    def as_tuple(self) -> tuple[tuple[str, None], None]:
        """Its id as plain data."""
        return (self.id, None), None

    as_list = property(lambda self: lambda: [self.id])


class FlowResult(Result):
    """How a chain or a chord stands: its value is that of its last task."""

    def __init__(self, id: str, app: Any = None, run: Run[Any] | None = None, results: Any = ()) -> None:
        super().__init__(id, app)
        self._run = run

    def source(self) -> Run[Any]:
        if self._run is None:
            found = AsyncResult(self.id, app=self.app).source()
            if not isinstance(found, Run):
                raise Refused(f"{self.id} is the id of a task, or nothing is known of it; use AsyncResult")
            self._run = found
        return self._run

    @property
    def result(self) -> Any:
        """What it gave; the exception, if it has failed."""
        return self.get(timeout=0, propagate=False) if self.ready() else None

    info = result

    def forget(self) -> None:
        """Nothing: what is kept of a flow goes by itself."""


class GroupResult(FlowResult):
    """How a group stands: its value is the list of theirs."""

    def completed_count(self) -> int:
        """How many have succeeded."""
        return sum(one.successful() for one in self.results)

    def waiting(self) -> bool:
        """True if some have not ended."""
        return not self.ready()

    @property
    def results(self) -> list[AsyncResult]:
        """Those of its members, in order."""
        run, made_of = self.source(), list[AsyncResult]()
        for one in run.steps():
            if one.kind == "group":
                ids = [f"{self.id}.{one.name}.{number}" for number in range(one.members or 0)]
            else:
                ids = [f"{self.id}.{one.name}"]
            for id in ids:
                found = made(self.app.lane(one.queue).broker, FINAL, "", False, id, one.queue, True)
                made_of.append(AsyncResult(id, app=self.app, pushed=found))
        return made_of

    children = results

    def save(self, backend: Any = None) -> None:
        """Nothing: a flow is known by its id for as long as it is kept."""

    @classmethod
    def restore(cls, id: str, backend: Any = None, app: Any = None) -> GroupResult:
        """The result of a group by its id."""
        return cls(id, app=app)


def celerys(error: BaseException) -> BaseException:
    """The exception that Celery raises for a failure: the task's own, where its class is loaded here."""
    cause = error.__cause__
    found = error if isinstance(error, TaskFailed) else cause
    if not isinstance(found, TaskFailed):
        return error
    if found.kind in _KINDS:
        return _KINDS[found.kind](str(found))
    return exception_of(found.type, found.message) or found


def exception_of(name: str, message: str) -> Any:
    """An exception by the name of its class and its text; None if the class is not loaded here, or cannot be made."""
    module, _, cls = name.rpartition(".")
    holder: Any = sys.modules.get(module or "builtins")
    kind = getattr(holder, cls, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return None
    try:
        return kind(message)
    except Exception:
        return None


def plain(value: Any) -> Any:
    """The values of a group as a list, also where groups are in it."""
    if type(value).__module__ == "regiment_workflows.values" and not isinstance(value, tuple):
        return [plain(one) for one in value]
    return value
