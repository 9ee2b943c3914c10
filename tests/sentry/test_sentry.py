"""`regiment-sentry` with the real SDK in real workers and keepers, which send to an HTTP server that takes envelopes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regiment.config import as_use
from regiment.registry import registry
from regiment_console.groups import group_of
from sentry.intake import Intake, intake

APP = """\
import asyncio, os, signal, time
import sentry_sdk
from regiment import Backoff, Queue, Timeouts, current
from regiment_sentry import Sentry

if {own}:
    sentry_sdk.init(dsn={dsn!r}, release="shop@7", traces_sample_rate=1.0, auto_enabling_integrations=False)
work = Queue("work", connector={url!r}, lease=4, max_retries=2, backoff=Backoff(first=0), plugins=[Sentry({options})], {settings})


@work.task
def fails(customer: int = 0, password: str = "", card: dict = {{}}):
    if {own}:
        sentry_sdk.set_tag("left", "behind")
    raise ValueError(f"no customer {{customer}}")


@work.task
def fine():
    time.sleep(0.01)


@work.task
def parent():
    fine.push()


@work.task
def retries():
    if current().task.run_count < 2:
        raise ValueError("not yet")


@work.task
def dies():
    if not os.path.exists({died!r}):
        open({died!r}, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
"""
SLOW = """

@work.task(timeouts=Timeouts(soft=0.2), max_retries=0)
def slow():
    time.sleep(30)
"""
ASYNC = """

@work.task(max_retries=0)
async def each(number: int):
    sentry_sdk.set_tag("number", str(number))
    await asyncio.sleep(0.05)
    raise ValueError("of a coroutine")
"""


class Reported:
    """An application with the extension, what is pushed to it, and what its processes report."""

    def __init__(self, folder: Path, at: Intake) -> None:
        self.folder, self.at, self.url = folder, at, f"sqlite:///{folder}/queue.db"

    def write(self, options: str = "", settings: str = "", more: str = "", *, own: bool = True) -> None:
        source = APP.format(
            own=own, dsn=self.at.dsn, url=self.url, options=options, settings=settings, died=str(self.folder / "died")
        )
        (self.folder / "app.py").write_text(source + more)

    def push(self, code: str, **variables: str) -> None:
        """Run a line with the application."""
        line = [sys.executable, "-c", f"import app, sentry_sdk\n{code}\nsentry_sdk.flush(5)"]
        subprocess.run(line, cwd=self.folder, env={**os.environ, **variables}, check=True, timeout=60)

    def run(self, *words: str, exits: int = 1, **variables: str) -> str:
        """Run workers until the queue is empty (exit code 1 if a task died); what they log."""
        line = [sys.executable, "-m", "regiment", "run", "app:work", "--burst", *words]
        given = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder), "REGIMENT_TEST_LEASES": "1", **variables}
        done = subprocess.run(line, cwd=self.folder, env=given, capture_output=True, text=True, timeout=180)
        assert done.returncode == exits, done.stderr
        assert "plugin.error" not in done.stderr, done.stderr
        return done.stderr

    def group(self) -> str:
        """The group of the one dead letter."""
        store = registry().build("connectors", as_use(self.url))
        store.open("look")
        (letter,) = store.dead("work", 10)
        store.close()
        return group_of(letter)


@pytest.fixture
def reported(tmp_path: Path) -> Iterator[Reported]:
    tmp_path.chmod(0o700)
    with intake() as at:
        yield Reported(tmp_path, at)


def test_a_task_is_reported_once_when_it_is_dead_as_the_group_of_its_letter(reported: Reported) -> None:
    reported.write()
    reported.push(
        "app.fails.push(customer=17, password='hunter2', card={'api_key': 'sk_live', 'name': 'Ada'}); app.retries.push()"
    )
    reported.run()
    (event,) = reported.at.of("event")
    assert event["fingerprint"] == ["regiment", "work", reported.group()]
    assert event["exception"]["values"][-1]["value"] == "no customer 17"
    assert event["exception"]["values"][-1]["mechanism"]["type"] == "regiment"
    assert event["exception"]["values"][-1]["stacktrace"]["frames"][-1]["function"] == "fails"
    assert (event["level"], event["release"], event["transaction"]) == ("error", "shop@7", "fails")
    tags = {name: value for name, value in event["tags"].items() if name.startswith("regiment.")}
    assert tags == {"regiment.queue": "work", "regiment.task": "fails", "regiment.kind": "failure"}
    about = event["contexts"]["regiment"]
    assert about["arguments"] == {"customer": 17, "password": "***", "card": {"api_key": "***", "name": "Ada"}}
    assert about["runs"] == 3 and about["group"] == reported.group()
    sent = json.dumps(reported.at.items)
    assert "hunter2" not in sent, "not in the variables of a frame either"
    assert not reported.at.of("transaction"), "nothing is traced unless that is asked for"


def test_each_try_is_reported_if_that_is_asked_for_and_all_are_one_issue(reported: Reported) -> None:
    reported.write("each_try=True")
    reported.push("app.fails.push()")
    reported.run()
    events = reported.at.of("event")
    assert [event["level"] for event in events] == ["warning"] * 3
    assert {tuple(event["fingerprint"]) for event in events} == {("regiment", "work", reported.group())}


def test_a_task_that_was_asked_to_run_again_or_timed_out_is_told_apart(reported: Reported) -> None:
    reported.write(more=SLOW)
    reported.push("app.slow.push()")
    reported.run()
    (event,) = reported.at.of("event")
    assert event["tags"]["regiment.kind"] == "timeout"
    assert event["exception"]["values"][-1]["type"] == "TaskTimeout"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_killed_worker_is_reported_by_its_keeper_which_has_not_the_application(reported: Reported, how: str) -> None:
    reported.write(f"dsn={reported.at.dsn!r}" if how == "option" else "", own=False)
    reported.push("app.dies.push()")
    reported.run(exits=0, **({"SENTRY_DSN": reported.at.dsn} if how == "variable" else {}))
    (event,) = reported.at.of("event")
    assert event["message"] == "a worker of work was ended while it ran dies: killed by SIGKILL"
    assert event["fingerprint"] == ["regiment", "work", "worker", "crash", "dies"]
    assert [task["name"] for task in event["contexts"]["regiment"]["tasks"]] == ["dies"]


def test_without_an_sdk_and_an_address_the_log_says_that_nothing_is_reported(reported: Reported) -> None:
    reported.write(own=False)
    reported.push("app.fails.push()")
    assert "sentry.off" in reported.run(SENTRY_DSN="")
    assert not reported.at.items


@pytest.mark.parametrize("words", [[], ["--preload"]])
def test_an_sdk_of_the_application_reports_from_a_fork_too(reported: Reported, words: list[str]) -> None:
    reported.write(settings="max_tasks_per_run=1")
    reported.push("app.fails.options(queue='work').push(); app.fails.push()")
    reported.run(*words, "--workers", "2")
    assert len(reported.at.of("event")) == 2, "sent before the process ends"


def test_the_end_of_a_worker_waits_for_a_slow_server_no_longer_than_its_budget(reported: Reported) -> None:
    reported.write()
    reported.at.slow.set()
    reported.push("app.fails.push()", SENTRY_DSN="")
    began = time.monotonic()
    reported.run()
    assert time.monotonic() - began < 60, (
        "some seconds on a busy machine: the budget is 2, and the server does not answer"
    )


def test_a_push_and_its_run_are_spans_of_one_trace_if_that_is_asked_for(reported: Reported) -> None:
    reported.write("tracing=True")
    reported.push("with sentry_sdk.start_transaction(name='checkout'):\n    app.fine.push()")
    reported.run(exits=0)
    pushed, ran = sorted(reported.at.of("transaction"), key=lambda one: one["transaction"])
    (span,) = pushed["spans"]
    assert (span["op"], span["description"]) == ("queue.submit", "work")
    trace = ran["contexts"]["trace"]
    assert (trace["op"], ran["transaction"]) == ("queue.process", "fine")
    assert (trace["trace_id"], trace["parent_span_id"]) == (span["trace_id"], span["span_id"])
    assert (
        trace["data"]["messaging.destination.name"] == "work"
        and trace["data"]["messaging.message.receive.latency"] >= 0
    )
    assert trace["status"] == "ok"


def test_a_failed_run_is_a_failed_span_and_its_event_belongs_to_it(reported: Reported) -> None:
    reported.write("tracing=True")
    reported.push("app.fails.push()")
    reported.run()
    (event,) = reported.at.of("event")
    runs = reported.at.of("transaction")
    assert [one["contexts"]["trace"]["status"] for one in runs] == ["internal_error"] * 3
    assert event["contexts"]["trace"]["trace_id"] in {one["contexts"]["trace"]["trace_id"] for one in runs}


@pytest.mark.parametrize("executor", ["asyncio", "threaded"])
def test_what_tasks_that_run_at_once_tell_the_sdk_stays_apart_when_they_are_traced(
    reported: Reported, executor: str
) -> None:
    more = ASYNC if executor == "asyncio" else ASYNC.replace("async def", "def").replace("await asyncio", "time")
    reported.write("tracing=True", f"executor={executor!r}", more)
    reported.push("[app.each.push(number=n) for n in range(8)]")
    reported.run()
    events = reported.at.of("event")
    assert sorted(event["tags"]["number"] for event in events) == [str(n) for n in range(8)]
    assert all(
        event["contexts"]["regiment"]["arguments"] == {"number": int(event["tags"]["number"])} for event in events
    )


def test_nothing_of_it_costs_a_success_anything_unless_each_run_is_traced() -> None:
    from regiment_sentry.extension import Reporting

    dear = ("regiment_around_attempt", "regiment_task_started", "regiment_task_finished", "regiment_around_push")
    assert not [hook for hook in dear if hasattr(Reporting(), hook) or hasattr(Reporting(each_try=True), hook)]
    assert [hook for hook in dear if hasattr(Reporting(tracing=True), hook)] == [dear[0], dear[3]]
