"""Celery's signals: what a worker's handlers can tell is told; the others are refused where they are connected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regiment_celery.options import Refused


class Signal:
    """Receivers that are called when something happens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.receivers: list[tuple[Callable[..., Any], Any]] = []

    def connect(self, *args: Any, sender: Any = None, weak: Any = None, dispatch_uid: Any = None, **_: Any) -> Any:
        """Call a function when it happens; also a decorator. `sender`: only for this task."""

        def connected(function: Callable[..., Any]) -> Callable[..., Any]:
            if (function, sender) not in self.receivers:
                self.receivers.append((function, sender))
            return function

        return connected(args[0]) if args and callable(args[0]) else connected

    def disconnect(self, receiver: Any = None, sender: Any = None, **_: Any) -> None:
        """Call it no more."""
        self.receivers = [one for one in self.receivers if one[0] is not receiver]

    def send(self, sender: Any, **given: Any) -> None:
        """Call all that are connected."""
        for function, wanted in list(self.receivers):
            if wanted is None or wanted is sender or wanted == getattr(sender, "name", None):
                function(sender=sender, signal=self, **given)

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


class Absent(Signal):
    """A signal that cannot be had."""

    def __init__(self, name: str, instead: str) -> None:
        super().__init__(name)
        self.instead = instead

    def connect(self, *_: Any, **__: Any) -> Any:
        raise Refused(f"the signal {self.name} cannot be had here; {self.instead}")


task_prerun, task_postrun = Signal("task_prerun"), Signal("task_postrun")
task_success, task_failure, task_retry = Signal("task_success"), Signal("task_failure"), Signal("task_retry")
task_revoked = Signal("task_revoked")
worker_init, worker_ready, worker_process_init = (
    Signal("worker_init"),
    Signal("worker_ready"),
    Signal("worker_process_init"),
)
worker_shutdown, worker_process_shutdown = Signal("worker_shutdown"), Signal("worker_process_shutdown")

_PUSHES = "a plugin's regiment_push and regiment_tasks_pushed are told of pushes (docs/hooks.md)"
_WORKERS = "regiment workers, and the hooks of docs/hooks.md, tell of workers"
_LOGGING = "the log is that of Python: configure it in worker_process_init, or by Logging(…) of the queue"
before_task_publish, after_task_publish = Absent("before_task_publish", _PUSHES), Absent("after_task_publish", _PUSHES)
task_sent, task_received = Absent("task_sent", _PUSHES), Absent("task_received", "use task_prerun")
task_internal_error, task_unknown = (
    Absent("task_internal_error", _WORKERS),
    Absent("task_unknown", "it is parked: regiment tasks list"),
)
task_rejected = Absent("task_rejected", "it is a dead letter: regiment dead list")
celeryd_init, celeryd_after_setup = (
    Absent("celeryd_init", "use worker_init"),
    Absent("celeryd_after_setup", "use worker_init"),
)
worker_shutting_down = Absent("worker_shutting_down", "use worker_shutdown")
heartbeat_sent, eventlet_pool_started = Absent("heartbeat_sent", _WORKERS), Absent("eventlet_pool_started", _WORKERS)
beat_init = Absent("beat_init", "every `regiment run` fires")
beat_embedded_init = Absent("beat_embedded_init", "every `regiment run` fires")
setup_logging, after_setup_logger = Absent("setup_logging", _LOGGING), Absent("after_setup_logger", _LOGGING)
after_setup_task_logger = Absent("after_setup_task_logger", _LOGGING)
user_preload_options, import_modules = (
    Absent("user_preload_options", "commands are plugins"),
    Absent("import_modules", "use include"),
)
