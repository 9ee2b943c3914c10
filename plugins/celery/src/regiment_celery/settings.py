"""Celery's settings, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment_celery.options import IGNORED, MAPPED, QUEUE_WIDE, REFUSED, ROUTES, SUPPORTED, Option

_ONE_STORE = "results are kept in the store of the tasks, in the step that settles them"
SETTINGS: Mapping[str, Option] = {
    **dict.fromkeys(
        [
            "broker_url",
            "result_backend",
            "result_expires",
            "task_default_queue",
            "task_queues",
            "task_routes",
            "task_time_limit",
            "task_soft_time_limit",
            "task_ignore_result",
            "task_always_eager",
            "task_eager_propagates",
            "timezone",
            "enable_utc",
            "beat_schedule",
            "imports",
            "include",
            "worker_max_tasks_per_child",
        ],
        Option(SUPPORTED, ""),
    ),
    "broker_read_url": Option(REFUSED, "a task's worker reads where it was pushed: broker_url"),
    "broker_write_url": Option(REFUSED, "a task's worker reads where it was pushed: broker_url"),
    "task_default_priority": Option(MAPPED, "HIGH, NORMAL or LOW"),
    "task_serializer": Option(MAPPED, "json or msgpack; msgpack is the default"),
    "task_compression": Option(MAPPED, "a compressor: zlib, gzip, bzip2, lzma, zstd"),
    "worker_pool": Option(MAPPED, 'threads is the executor "threaded"; gevent and eventlet have none'),
    "task_acks_late": Option(MAPPED, "False is at_most_once"),
    **{
        name: Option(REFUSED, says, fine)
        for name, says, fine in (
            ("task_annotations", "write the options at the tasks", (None,)),
            ("task_reject_on_worker_lost", "always; or task_acks_late=False, which is at_most_once", (None, True)),
            ("task_acks_on_failure_or_timeout", "a failed task is a dead letter or retried", (None, True)),
            ("task_acks_on_failure", "a failed task is a dead letter or retried", (None, True)),
            ("task_acks_on_timeout", "a late task is a dead letter or retried", (None, True)),
            (
                "task_retry_on_worker_lost",
                "max_deliveries says how often: regiment={'max_deliveries': 5}",
                (None, True),
            ),
            ("task_default_queue_type", ROUTES, (None, "classic")),
            ("task_create_missing_queue_type", ROUTES, (None, "classic")),
            ("task_create_missing_queue_exchange_type", ROUTES, (None,)),
            ("security_digest", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            ("security_key_password", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            (
                "task_default_rate_limit",
                "give each task its rate_limit=, which is one over all workers",
                (None,),
            ),
            ("task_default_exchange", ROUTES, (None,)),
            ("task_default_exchange_type", ROUTES, (None,)),
            ("task_default_routing_key", ROUTES, (None,)),
            ("task_default_delivery_mode", "what a store acknowledged it keeps: push_durability", (None,)),
            ("task_create_missing_queues", "a queue is there when it is first used", (None, True)),
            ("result_serializer", QUEUE_WIDE, (None, "json", "msgpack")),
            ("result_persistent", _ONE_STORE, (None, True)),
            ("worker_consumer", "a plugin's hooks see every attempt: docs/hooks.md", (None,)),
            ("worker_direct", "give the task a queue of its own", (None, False)),
            ("beat_scheduler", "every `regiment run` fires, each tick once", (None,)),
            ("security_key", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            ("security_certificate", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            ("security_cert_store", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            ("task_inherit_parent_priority", "say priority= where it is pushed", (None, False)),
            ("task_store_errors_even_if_ignored", "a dead letter keeps the error", (None, False)),
            ("task_store_eager_result", "regiment_testing.capture() keeps results of tests", (None, False)),
        )
    },
    **{
        name: Option(IGNORED, says)
        for names, says in (
            ("accept_content result_accept_content", "pickle is read only where a queue asks for it"),
            ("worker_concurrency worker_autoscaler", "regiment run TARGET=4, or =2..8"),
            ("worker_max_memory_per_child", "regiment run --max-memory"),
            (
                "worker_prefetch_multiplier worker_disable_prefetch",
                "tasks that wait behind a slow one go back by themselves",
            ),
            ("task_track_started task_send_sent_event task_remote_tracebacks result_extended", "it is always so"),
            ("task_publish_retry task_publish_retry_policy", "a push tries again for push_timeout"),
            ("broker_transport_options", "a lease is renewed while its task runs, so no visibility_timeout is needed"),
            ("beat_schedule_filename beat_max_loop_interval beat_sync_every", "ticks are kept in the store"),
            (
                "task_repr_maxlevels task_protocol task_queue_max_priority task_allow_error_cb_on_chord_header",
                "there is no counterpart, and no need of one",
            ),
            ("result_compression result_cache_max result_exchange result_exchange_type", _ONE_STORE),
        )
        for name in names.split()
    },
}
_FAMILIES = {
    "broker_": "the connector keeps its connections by itself",
    "worker_": "workers are told by `regiment run` and docs/settings.md",
    "beat_": "ticks are kept in the store",
    "control_": "commands read the store: docs/operating.md",
    "event_": "the log, hooks and `regiment metrics` tell what happens",
    "result_": _ONE_STORE,
    **dict.fromkeys(
        [
            "redis_",
            "mongodb_",
            "database_",
            "cache_",
            "cassandra_",
            "elasticsearch_",
            "s3_",
            "gcs_",
            "azureblockblob_",
            "arangodb_",
            "couchbase_",
            "cosmosdbsql_",
            "dynamodb_",
        ],
        _ONE_STORE,
    ),
}
"""How the names of settings begin that have no effect here, and why."""
_OLD = {
    "celerybeat_schedule": "beat_schedule",
    "default_queue": "task_default_queue",
    "routes": "task_routes",
    "queues": "task_queues",
    "always_eager": "task_always_eager",
    "eager_propagates_exceptions": "task_eager_propagates",
    "task_result_expires": "result_expires",
    "acks_late": "task_acks_late",
    "ignore_result": "task_ignore_result",
    "track_started": "task_track_started",
    "celeryd_task_time_limit": "task_time_limit",
    "celeryd_task_soft_time_limit": "task_soft_time_limit",
    "celeryd_concurrency": "worker_concurrency",
    "celeryd_prefetch_multiplier": "worker_prefetch_multiplier",
    "celeryd_max_tasks_per_child": "worker_max_tasks_per_child",
}
DEFAULTS: Mapping[str, Any] = {
    "task_default_queue": "celery",
    "timezone": "UTC",
    "enable_utc": True,
    "result_expires": 86_400.0,
    "task_acks_late": True,
    "beat_schedule": {},
    "task_routes": {},
    "task_queues": (),
    "task_always_eager": False,
    "task_eager_propagates": False,
    "task_ignore_result": False,
}


def modern(name: str) -> str:
    """The name of a setting since Celery 4, for that one and older ones."""
    low = name.lower()
    low = _OLD.get(low, low)
    if low not in SETTINGS and low.startswith("celery_"):
        low = low.removeprefix("celery_")
        low = _OLD.get(low, low)
    return low


def known(name: str) -> bool:
    """True for a setting of Celery."""
    return name in SETTINGS or any(name.startswith(one) for one in _FAMILIES)


def verdict_of(name: str) -> Option | None:
    """What becomes of a setting; None for one that nobody knows."""
    name = modern(name)
    family = next((says for begin, says in _FAMILIES.items() if name.startswith(begin)), None)
    return SETTINGS.get(name) or (Option(IGNORED, family) if family else None)
