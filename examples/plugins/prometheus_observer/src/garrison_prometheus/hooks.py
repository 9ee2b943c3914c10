"""The hooks, if there is anything to do: without GARRISON_PROMETHEUS this module has none, and nothing is imported."""

from __future__ import annotations

import os

VARIABLE, FOLDER = "GARRISON_PROMETHEUS", "PROMETHEUS_MULTIPROC_DIR"


def address(text: str) -> tuple[str, int]:
    """127.0.0.1:9400 or :9400 as host and port."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{VARIABLE} is {text!r}; expected host:port, as in 127.0.0.1:9400")
    return host, int(port)


if os.environ.get(VARIABLE):
    address(os.environ[VARIABLE])
    if not os.path.isdir(os.environ.get(FOLDER, "")):
        raise ValueError(
            f"{FOLDER} is {os.environ.get(FOLDER)!r}; expected an empty folder in which the workers count, as {VARIABLE} is set"
        )
    from garrison_prometheus.counting import (  # noqa: F401
        garrison_supervisor_event,
        garrison_task_dead,
        garrison_task_finished,
        garrison_tasks_pushed,
    )
