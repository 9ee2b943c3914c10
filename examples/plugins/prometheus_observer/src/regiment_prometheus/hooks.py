"""The hooks, if there is anything to do: without REGIMENT_PROMETHEUS this module has none, and nothing is imported."""

from __future__ import annotations

import os

VARIABLE, FOLDER = "REGIMENT_PROMETHEUS", "PROMETHEUS_MULTIPROC_DIR"


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
    from regiment_prometheus.counting import (  # noqa: F401
        regiment_event,
        regiment_task_dead,
        regiment_task_finished,
        regiment_tasks_pushed,
    )
