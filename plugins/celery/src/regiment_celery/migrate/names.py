"""What of Celery's modules has a counterpart here, and what to do without the rest."""

from __future__ import annotations

from collections.abc import Mapping

HOMES: Mapping[str, tuple[str, frozenset[str]]] = {
    module: (home, frozenset(names.split()))
    for module, home, names in (
        (
            "celery",
            "regiment_celery",
            "Celery Signature Task chain chord current_app current_task group shared_task signature subtask states signals "
            "schedules exceptions result canvas",
        ),
        ("celery.app", "regiment_celery", "shared_task Celery"),
        ("celery.app.base", "regiment_celery", "Celery"),
        ("celery.app.task", "regiment_celery", "Task"),
        ("celery.canvas", "regiment_celery", "Signature chain chord group signature subtask"),
        ("celery.result", "regiment_celery.result", "AsyncResult GroupResult"),
        ("celery.schedules", "regiment_celery.schedules", "crontab schedule solar"),
        (
            "celery.exceptions",
            "regiment_celery.exceptions",
            "CeleryError Ignore ImproperlyConfigured MaxRetriesExceededError NotRegistered OperationalError Reject Retry "
            "SoftTimeLimitExceeded TaskRevokedError TimeLimitExceeded TimeoutError WorkerLostError",
        ),
        (
            "celery.signals",
            "regiment_celery.signals",
            "task_prerun task_postrun task_success task_failure task_retry task_revoked worker_init worker_ready "
            "worker_process_init worker_shutdown worker_process_shutdown",
        ),
        (
            "celery.states",
            "regiment_celery.states",
            "PENDING STARTED RETRY SUCCESS FAILURE REVOKED READY_STATES ALL_STATES",
        ),
        ("celery.utils.log", "regiment_celery.utils.log", "get_task_logger get_logger"),
    )
}
"""Module of Celery -> the one here, and the names that it has."""

INSTEAD: Mapping[str, str] = {
    "kombu": "name queues by strings: task_queues = ['celery', 'reports']",
    "celery.bin": "commands are plugins: docs/hooks.md",
    "celery.contrib.testing": "use the fixtures of pytest-regiment: docs/testing.md",
    "celery.contrib.abortable": "current().cancelled and current().check()",
    "celery.contrib.pytest": "use the fixtures of pytest-regiment: docs/testing.md",
    "celery.beat": "every `regiment run` fires, each tick once: docs/schedules.md",
    "celery.events": "the log, hooks and `regiment metrics` tell what happens",
    "celery.worker": "a plugin's hooks see every attempt: docs/hooks.md",
    "celery.bootsteps": "a plugin's hooks see every attempt: docs/hooks.md",
    "celery.app.control": "commands read the store: docs/operating.md",
    "celery.task": "write from regiment_celery import shared_task, Task",
    "celery.decorators": "write from regiment_celery import shared_task",
    "django_celery_beat": "regiment schedules add, or schedules(queue).add(…): docs/schedules.md",
    "django_celery_results": "results are kept in the store of the tasks: result_backend",
    "flower": "regiment dashboard",
    "celery_once": "regiment-limits has unique tasks: docs/limits.md",
    "redbeat": "every `regiment run` fires, each tick once: docs/schedules.md",
}
"""Module -> what to do without it."""

ATTRIBUTES: Mapping[str, str] = {
    "control": "commands read the store: regiment tasks cancel, regiment queues pause, regiment workers (docs/operating.md)",
    "events": "the log, hooks and `regiment metrics` tell what happens",
    "amqp": "a store has queues and no exchanges",
    "worker_main": "regiment run TARGET",
    "register_task": "make a function a task: @app.task(bind=True)",
    "setup_security": 'sign: Celery(…, regiment={"serializer": Use("signed", …)})',
    "steps": "a plugin's hooks see every attempt: docs/hooks.md",
}
"""Attribute of an application -> what to do without it."""

METHODS: Mapping[str, str] = {
    "chunks": "write group(task.s(…) for … in …), or a FlowQueue's task.map(items, chunk=100)",
    "stamp": "headers= are inherited by what a task pushes",
    "revoke_by_stamped_headers": "cancel by id: regiment tasks cancel",
    "on_message": "ask for .state and .info",
}
"""Method of tasks, signatures and results -> what to do without it; looked for in files that import Celery."""
