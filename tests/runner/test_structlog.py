"""Real structlog in real workers: whose fields stand in whose lines, with one task at a time, in threads, and on a loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APP = """\
import asyncio, time
import structlog
from structlog.contextvars import bind_contextvars, merge_contextvars
from regiment import Queue, current
from regiment_runner.structlog import add_task

structlog.configure(
    processors=[{processors}, structlog.processors.JSONRenderer()],
    logger_factory=structlog.WriteLoggerFactory(file=open({out!r}, "a", buffering=1)),
)
log = structlog.get_logger()
work = Queue("work", connector={url!r}, executor={executor}, max_retries=0, plugins={plugins})


@work.on("initialize")
def initialize():
    bind_contextvars(host="h1", queue="of the application")
    log.info("initialized")


@work.task
{define} speak(number: int):
    bind_contextvars(number=number)
    log.info("first", mine=current().task.id)
    {sleep}(0.05)
    log.info("second", mine=current().task.id, **({{"task": "own"}} if number == 0 else {{}}))
    if number == 1:
        raise ValueError("no")


@work.on("finalize")
def finalize():
    log.info("finalized")
"""
EXECUTORS = {
    "serial": ("'serial'", "def", "time.sleep"),
    "threads": ("Use('threaded', threads=4)", "def", "time.sleep"),
    "loop": ("'asyncio'", "async def", "await asyncio.sleep"),
}


def lines(folder: Path, executor: str, processors: str, plugins: str, tasks: int = 8) -> list[dict[str, Any]]:
    """What is logged while so many tasks run in one worker."""
    chosen, define, sleep = EXECUTORS[executor]
    out, url = folder / "out.jsonl", f"sqlite:///{folder}/q.db"
    source = APP.format(
        processors=processors, out=str(out), url=url, executor=chosen, plugins=plugins, define=define, sleep=sleep
    ).replace("import Queue,", "import Queue, Use,")
    (folder / "app.py").write_text(source)
    folder.chmod(0o700)
    pushing = f"import app\nfor n in range({tasks}): app.speak.push(number=n)"
    subprocess.run([sys.executable, "-c", pushing], cwd=folder, check=True, timeout=60)
    variables = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    line = [sys.executable, "-m", "regiment", "run", "app:work", "--burst"]
    done = subprocess.run(line, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "plugin.error" not in done.stderr, done.stderr
    return [json.loads(one) for one in out.read_text().splitlines()]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_processor_adds_the_fields_of_the_task_that_logs(tmp_path: Path, executor: str) -> None:
    found = lines(tmp_path, executor, "add_task", "[]")
    said = [one for one in found if one["event"] in ("first", "second")]
    assert len(said) == 16
    assert all(one["id"] == one["mine"] and one["attempt"] == 1 and one["queue"] == "work" for one in said)
    assert [one["task"] for one in said].count("own") == 1, "what the event has stays"
    assert [one["task"] for one in said].count("speak") == 15
    outside = [one for one in found if one["event"] in ("initialized", "finalized")]
    assert outside and not any("id" in one for one in outside)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_as_a_plugin_it_binds_around_attempts_and_clears_nothing_of_the_application(
    tmp_path: Path, executor: str
) -> None:
    found = lines(tmp_path, executor, "merge_contextvars", '["regiment_runner.structlog"]')
    said = [one for one in found if one["event"] in ("first", "second")]
    assert len(said) == 16
    assert all(one["id"] == one["mine"] for one in said)
    for one in said:
        mates = {other["number"] for other in said if other["mine"] == one["mine"]}
        assert mates == {one["number"]}, "what a task binds is seen by no other"
    if executor == "serial":  # hooks and tasks run in one thread, so they see what is bound there
        assert all((one["host"], one["queue"]) == ("h1", "of the application") for one in said)
        (last,) = (one for one in found if one["event"] == "finalized")
        assert last == {"event": "finalized", "host": "h1", "queue": "of the application"}


def test_outside_of_a_worker_the_processor_adds_nothing() -> None:
    from regiment_runner.structlog import add_task

    assert add_task(None, "info", {"event": "pushed"}) == {"event": "pushed"}
