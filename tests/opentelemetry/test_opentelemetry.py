"""`regiment-opentelemetry` with the real SDK: spans of pushes in memory, spans of runs from real workers, which export to a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from opentelemetry import baggage, context, trace
from regiment import Queue
from regiment.errors import ConfigError, StoreError
from regiment_opentelemetry import Opentelemetry, spans

APP = """\
import os, signal, time
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from regiment import Backoff, Queue, Timeouts
from regiment_opentelemetry import Opentelemetry

provider = TracerProvider()
out = open({out!r}, "a")
exporter = ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\\n")
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
trace.set_tracer_provider(provider)
work = Queue("work", connector={url!r}, lease=4, plugins=[Opentelemetry({options})], {settings})
tracer = trace.get_tracer("app")


@work.task
def plain():
    with tracer.start_as_current_span("inner") as span:
        span.set_attribute("tenant", str(baggage.get_baggage("tenant")))


@work.task
def child():
    plain.push()


@work.task(max_retries=1, backoff=Backoff(first=0))
def fails():
    raise ValueError("no such customer")


@work.task
def dies_once():
    if not os.path.exists({out!r} + ".died"):
        open({out!r} + ".died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
"""


SLOW = """

@work.task(timeouts=Timeouts(soft=0.3))
def slow():
    time.sleep(30)
"""
LOOPS = """

@work.task
async def loops():
    with tracer.start_as_current_span("inner"):
        pass
"""


class Traced:
    """An application with the extension, its pushes from here, and its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "spans.jsonl"
        self.url = f"sqlite:///{folder}/queue.db"
        self.queue = Queue("work", connector=self.url, plugins=[Opentelemetry()])

    def run(self, options: str = "", settings: str = "", more: str = "", exits: int = 0) -> list[dict[str, Any]]:
        """Run workers until the queue is empty (exit code 1 if a task died); the spans that they exported."""
        source = APP.format(out=str(self.out), url=self.url, options=options, settings=settings) + more
        (self.folder / "app.py").write_text(source)
        line = [sys.executable, "-m", "regiment", "run", "app:work", "--burst"]
        variables = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder), "REGIMENT_TEST_LEASES": "1"}
        done = subprocess.run(line, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=90)
        assert done.returncode == exits, done.stderr
        assert "plugin.error" not in done.stderr, done.stderr
        return [json.loads(each) for each in self.out.read_text().splitlines()]


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    tmp_path.chmod(0o700)
    made = Traced(tmp_path)
    yield made
    made.queue.broker.close()


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    provider, made = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(made))
    trace.set_tracer_provider(provider)
    return made


@pytest.fixture
def memory(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


def only(memory: InMemorySpanExporter) -> ReadableSpan:
    [span] = memory.get_finished_spans()
    return span


def runs(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for span in found if span["name"] == "process work"]


def hex_ids(span: ReadableSpan) -> tuple[str, str]:
    return f"0x{span.context.trace_id:032x}", f"0x{span.context.span_id:016x}"


def test_a_push_is_a_producer_span_with_the_attributes_of_the_conventions(traced: Traced, memory: Any) -> None:
    pushed = traced.queue.options(name="plain", trace_id="order-7").push()
    span = only(memory)
    assert (span.name, span.kind, span.status.status_code) == ("send work", SpanKind.PRODUCER, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "messaging.system": "regiment",
        "messaging.destination.name": "work",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": pushed.id,
        "messaging.message.conversation_id": "order-7",
        "regiment.task.name": "plain",
    }
    assert span.instrumentation_scope is not None and span.instrumentation_scope.schema_url == spans.SCHEMA


def test_a_bulk_push_is_one_span_and_says_how_many(traced: Traced, memory: Any) -> None:
    traced.queue.options(name="plain").push_many([{}] * 3)
    attributes = only(memory).attributes or {}
    assert attributes["messaging.batch.message_count"] == 3 and "messaging.message.id" not in attributes


def test_a_push_that_the_store_refuses_is_an_error_and_reaches_the_caller(tmp_path: Path, memory: Any) -> None:
    queue = Queue("work", connector="redis://127.0.0.1:1/0", push_timeout=0.5, plugins=[Opentelemetry()])
    with pytest.raises(StoreError):
        queue.options(name="plain").push()
    span = only(memory)
    assert span.status.status_code is StatusCode.ERROR and span.events[0].name == "exception"


def test_a_run_begins_a_trace_and_links_to_its_push(traced: Traced, memory: Any) -> None:
    pushed = traced.queue.options(name="plain").push()
    found = traced.run()
    [run], (trace_id, span_id) = runs(found), hex_ids(only(memory))
    assert run["kind"] == "SpanKind.CONSUMER" and run["parent_id"] is None
    assert [(link["context"]["trace_id"], link["context"]["span_id"]) for link in run["links"]] == [(trace_id, span_id)]
    assert run["context"]["trace_id"] != trace_id
    wait = run["attributes"].pop("regiment.task.wait")
    assert 0 <= wait < 90
    assert run["attributes"] == {
        "messaging.system": "regiment",
        "messaging.destination.name": "work",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": pushed.id,
        "regiment.task.name": "plain",
        "regiment.task.attempt": 1,
        "regiment.task.outcome": "success",
    }
    [inner] = [span for span in found if span["name"] == "inner"]
    assert inner["parent_id"] == run["context"]["span_id"]


def test_with_parent_a_run_is_a_child_of_its_push(traced: Traced, memory: Any) -> None:
    traced.queue.options(name="plain").push()
    [run], (trace_id, span_id) = runs(traced.run("parent=True")), hex_ids(only(memory))
    assert (run["context"]["trace_id"], run["parent_id"], run["links"]) == (trace_id, span_id, [])


def test_a_task_pushed_from_a_task_follows_that_run_and_not_the_first_push(traced: Traced, memory: Any) -> None:
    traced.queue.options(name="child").push()
    found = traced.run("parent=True")
    first, second = sorted(runs(found), key=lambda span: span["start_time"])
    [send] = [span for span in found if span["name"] == "send work"]
    assert send["parent_id"] == first["context"]["span_id"] and second["parent_id"] == send["context"]["span_id"]


def test_baggage_reaches_the_task(traced: Traced, memory: Any) -> None:
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        traced.queue.options(name="plain").push()
    finally:
        context.detach(token)
    [inner] = [span for span in traced.run() if span["name"] == "inner"]
    assert inner["attributes"] == {"tenant": "acme"}


def test_each_run_that_fails_is_an_error_with_the_exception_and_the_last_says_that_the_task_is_dead(
    traced: Traced, memory: Any
) -> None:
    traced.queue.options(name="fails").push()
    first, last = sorted(runs(traced.run(exits=1)), key=lambda span: span["start_time"])
    for run in (first, last):
        assert run["status"] == {"status_code": "ERROR", "description": "ValueError: no such customer"}
        assert run["attributes"]["error.type"] == "ValueError"
        assert "in fails" in run["events"][0]["attributes"]["exception.stacktrace"]
    assert [run["attributes"]["regiment.task.attempt"] for run in (first, last)] == [1, 2]
    assert "regiment.dead" not in [event["name"] for event in first["events"]]
    assert "regiment.dead" in [event["name"] for event in last["events"]]


def test_a_run_that_is_late_is_an_error(traced: Traced, memory: Any) -> None:
    traced.queue.options(name="slow").push()
    run = runs(traced.run(settings="max_retries=0", more=SLOW, exits=1))[0]
    assert run["status"]["status_code"] == "ERROR" and run["attributes"]["regiment.task.outcome"] == "timeout"


def test_a_run_whose_thread_is_given_up_has_a_span_that_ends_as_a_timeout(traced: Traced, memory: Any) -> None:
    traced.queue.options(name="slow").push()
    found = traced.run(settings='max_retries=0, executor="threaded", killer="thread"', more=SLOW, exits=1)
    run = runs(found)[0]
    assert run["status"]["status_code"] == "ERROR" and run["attributes"]["regiment.task.outcome"] == "timeout"


def test_after_a_killed_worker_the_next_run_says_so(traced: Traced, memory: Any) -> None:
    traced.queue.options(name="dies_once").push()
    [run] = runs(traced.run())
    assert (
        run["attributes"]["regiment.task.deliveries"] == 1 and run["attributes"]["regiment.task.outcome"] == "success"
    )
    assert [event["name"] for event in run["events"]] == ["regiment.worker_ended"]


def test_on_an_event_loop_spans_nest_as_well(traced: Traced, memory: Any) -> None:
    traced.queue.options(name="loops").push_many([{}] * 5)
    found = traced.run(settings='executor="asyncio", killer="coroutine"', more=LOOPS)
    assert len(runs(found)) == 5
    inner = sorted(span["parent_id"] for span in found if span["name"] == "inner")
    assert inner == sorted(span["context"]["span_id"] for span in runs(found))


def test_baggage_without_room_in_the_headers_is_left_out_and_the_push_is_not_refused(
    traced: Traced, memory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    many = {f"header-{n}": "x" for n in range(63)}
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        with trace.get_tracer("app").start_as_current_span("request"):
            made = spans.carried(many)
            none = spans.carried({**many, "header-63": "x"})
    finally:
        context.detach(token)
    assert set(made) - set(many) == {"traceparent"} and set(none) == {*many, "header-63"}
    assert "opentelemetry.left_out" in caplog.text


def test_context_of_an_earlier_push_does_not_stay_in_the_headers() -> None:
    old = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b", "own": "1"}
    assert spans.carried(old) == {"own": "1"}


def test_an_option_that_is_no_truth_value_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="option parent is 'yes'; expected bool"):
        Queue("work", connector="memory", plugins=[Opentelemetry(parent="yes")]).options(name="x").push()  # type: ignore[arg-type]


def test_a_queue_that_does_not_ask_for_it_imports_nothing_of_it_and_adds_no_header(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom regiment import Queue\n"
        f"Queue('work', connector='sqlite:///{tmp_path}/queue.db').options(name='x').push()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "[]\n"


def test_without_an_sdk_a_push_adds_no_header(tmp_path: Path) -> None:
    script = (
        "import regiment.hooks\nfrom regiment import Queue\nfrom regiment_opentelemetry import Opentelemetry\n"
        "class Seen:\n"
        "    @regiment.hooks.hookimpl\n"
        "    def regiment_tasks_pushed(self, queue, tasks):\n        print([task.headers for task in tasks])\n"
        f"Queue('work', connector='sqlite:///{tmp_path}/queue.db', plugins=[Opentelemetry(), Seen()]).options(name='x').push()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "[None]\n"
