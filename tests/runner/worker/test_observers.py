"""Observers and contexts of plugins: told, guarded one by one, never in a task's way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regiment import Cancelled, Queue
from regiment.hooks import OFFERS, Specs, hookimpl
from regiment_testing import capture
from regiment_testing.plugins_new import KINDS, make

ROOT = Path(__file__).parents[3]
HOOKS = [name for name in vars(Specs) if name.startswith("regiment_")]
TOLD = [name for name in HOOKS if name.removeprefix("regiment_") not in OFFERS]
"""The hooks beside the offers: observers and around."""

APP = """
from regiment import Queue
q = Queue("observed")

@q.task
def greet(name):
    print("hello", name, flush=True)
"""

PLUGIN = """
import contextlib, json, os
from regiment.hooks import hookimpl

def note(*words):
    with open("seen.txt", "a") as file:
        file.write(json.dumps(words) + "\\n")

@hookimpl
def regiment_tasks_pushed(queue, tasks):
    note("pushed", queue, len(tasks))
    raise RuntimeError("an observer that fails")

@hookimpl
def regiment_task_finished(outcome):
    note("finished", outcome.kind)
    raise RuntimeError("an observer that fails")

@hookimpl
@contextlib.contextmanager
def regiment_around_attempt(task):
    note("enter", task.name)
    yield
    note("leave", task.name)
    raise RuntimeError("a context that fails at its end")

@hookimpl
def regiment_event(event, process):
    note("event", event["event"], process)
    raise RuntimeError("an observer that fails")
"""


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regiment", "--plugin", "watching", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_observers_that_raise_are_reported_by_name_and_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "observed.py").write_text(APP)
    (tmp_path / "watching.py").write_text(PLUGIN)

    pushed = run(tmp_path, "push", "observed:greet", "name=Ada")
    assert pushed.returncode == 0, pushed.stderr
    ran = run(tmp_path, "run", "observed", "--burst")
    assert ran.returncode == 0, ran.stderr
    assert "hello Ada" in ran.stdout
    assert "watching" in ran.stderr and "plugin.error" in ran.stderr

    seen = [json.loads(line) for line in (tmp_path / "seen.txt").read_text().splitlines()]
    assert ["pushed", "observed", 1] in seen
    attempt = [words for words in seen if words[0] in ("enter", "finished", "leave")]
    assert attempt == [["enter", "greet"], ["finished", "success"], ["leave", "greet"]]
    assert ["event", "supervisor.started", "supervisor"] in seen
    assert ["event", "worker.stopped", "supervisor"] in seen
    assert ["event", "worker.ready", "worker"] in seen


EVERYTHING = """
import contextlib, json, os, threading
from regiment.hooks import hookimpl

def note(hook, *words):
    where = "main" if threading.current_thread() is threading.main_thread() else "thread"
    with open("seen.txt", "a") as file:
        file.write(json.dumps([hook, os.getpid(), where, *words]) + "\\n")

@hookimpl
def regiment_worker_started(worker):
    note("worker_started", worker.config.name)

@hookimpl
def regiment_worker_stopping(worker):
    note("worker_stopping", worker.config.name)

@hookimpl
def regiment_tasks_pushed(queue, tasks):
    note("tasks_pushed", queue, [task.kwargs for task in tasks])

@hookimpl
def regiment_task_started(task):
    note("task_started", task.headers["tenant"])

@hookimpl
def regiment_task_finished(task, outcome, seconds):
    note("task_finished", outcome.kind, seconds >= 0)

@hookimpl
def regiment_task_dead(letter):
    note("task_dead", letter["queue"], letter["name"], letter["error"])

@hookimpl
def regiment_task_failed(task, outcome, seconds):
    note("task_failed", outcome.kind, seconds >= 0)

@hookimpl
def regiment_worker_ended(end):
    note("worker_ended", end["queue"], end["kind"], end["tasks"])

@hookimpl
def regiment_event(event, process):
    note("event", process, event["event"])

@hookimpl
def regiment_task_settings():
    note("task_settings")
    return {"owner": "who is asked when the task fails"}

@hookimpl
def regiment_task_declared(task):
    note("task_declared", task.name, task.offered)

@hookimpl
def regiment_push_options():
    note("push_options")
    return {"lane": "a lane of its own"}

@hookimpl
def regiment_push(push):
    note("push", push.queue, push.name)
    push.headers["tenant"] = "acme"

@hookimpl
@contextlib.contextmanager
def regiment_around_push(push):
    note("around_push", "enter")
    yield
    note("around_push", "leave")

@hookimpl
def regiment_loading(target):
    note("loading", target)

@hookimpl
def regiment_prepare(task):
    note("prepare", task.name)

@hookimpl
def regiment_work(app, name):
    note("work", name)

@hookimpl
def regiment_effects(task, task_id, outcome, settles):
    note("effects", task.id == task_id, outcome.kind, settles)
    return ()

@hookimpl
def regiment_notes(app):
    note("notes", app.config.name)
    return {"tasks": sorted(app.works)}

@hookimpl
def regiment_services(spec, notes):
    note("services", spec["queue"], notes)
    return {}

@hookimpl
@contextlib.contextmanager
def regiment_around_attempt(task):
    note("around_attempt", "enter")
    yield
    note("around_attempt", "leave")
"""

FAILING = """
from regiment import Queue
q = Queue("observed", max_retries=0)

@q.task(owner="Ada")
def divide(number):
    return 1 / int(number)
"""


def test_each_hook_is_called_where_and_with_what_its_page_says(tmp_path: Path) -> None:
    (tmp_path / "observed.py").write_text(FAILING)
    (tmp_path / "watching.py").write_text(EVERYTHING)
    assert run(tmp_path, "push", "observed:divide", "number=0").returncode == 0
    assert run(tmp_path, "run", "observed", "--burst").returncode == 1

    seen = [json.loads(line) for line in (tmp_path / "seen.txt").read_text().splitlines()]
    assert {f"regiment_{hook}" for hook, *_ in seen} == set(TOLD) - {"regiment_work", *ELSEWHERE}, "every name is known"
    told = {hook: (pid, where, words) for hook, pid, where, *words in seen if words[:1] != ["keeper"]}
    worker = told["worker_started"][0]
    of_worker = [(hook, *words) for hook, pid, _, *words in seen if pid == worker and hook != "event"]
    assert of_worker == [
        ("loading", "observed"),
        ("task_declared", "divide", {"owner": "Ada"}),
        ("notes", "observed"),
        ("worker_started", "observed"),
        ("around_attempt", "enter"),
        ("task_started", "acme"),
        ("prepare", "divide"),
        ("task_finished", "failure", True),
        ("task_failed", "failure", True),
        ("task_dead", "observed", "divide", "division by zero"),
        ("effects", True, "failure", "dead"),
        ("around_attempt", "leave"),
        ("worker_stopping", "observed"),
    ]
    pusher = told["push"][0]
    assert [(hook, *words) for hook, pid, _, *words in seen if pid == pusher] == [
        ("task_settings",),
        ("push_options",),
        ("loading", "observed"),
        ("task_declared", "divide", {"owner": "Ada"}),
        ("push", "observed", "divide"),
        ("around_push", "enter"),
        ("tasks_pushed", "observed", [{"number": "0"}]),
        ("around_push", "leave"),
    ]
    supervisor, _, words = told["services"]
    assert words == ["observed", {"tasks": ["divide"]}]
    keeper, where, words = told["worker_ended"]
    assert words == ["observed", "burst", []]
    assert keeper not in (supervisor, worker, pusher) and where == "thread", "it holds up no lease"
    assert {(pid, process) for hook, pid, _, *words in seen if hook == "event" for process in words[:1]} == {
        (keeper, "supervisor"),
        (worker, "worker"),
    }


class First:
    """An observer that always fails, asked before the other."""

    @staticmethod
    @hookimpl
    def regiment_task_finished() -> None:
        raise RuntimeError("the first one fails")

    @staticmethod
    @hookimpl
    def regiment_tasks_pushed() -> None:
        raise RuntimeError("the first one fails")


class Second:
    """An observer that notes."""

    seen: list[str] = []

    @staticmethod
    @hookimpl
    def regiment_task_finished(outcome: Any) -> None:
        Second.seen.append(outcome.kind)

    @staticmethod
    @hookimpl
    def regiment_tasks_pushed(tasks: Any) -> None:
        Second.seen.append(f"{len(tasks)} pushed")


two = Queue("two", plugins=[First, Second])


@two.task
def double(number: int) -> int:
    return 2 * number


def test_observers_are_guarded_one_by_one() -> None:
    Second.seen.clear()
    with capture() as queue:
        task = double.push(number=2)
        assert queue.run(task).value == 4
    assert Second.seen == ["1 pushed", "success"]


class Knows:
    """Prepares tasks, and knows work for a name of its own."""

    @staticmethod
    @hookimpl
    def regiment_work(app: Any, name: str) -> Any:
        return (lambda task: 2 * task.kwargs["number"], app.config) if name == "twice" else None

    @staticmethod
    @hookimpl
    def regiment_prepare(task: Any) -> None:
        if task.kwargs.get("number") == 13:
            raise Cancelled(reason="unlucky")
        task.kwargs = {"number": 100 + task.kwargs["number"]}


three, four = (Queue(name, plugins=[Knows]) for name in ("three", "four"))
before: list[Any] = []


@four.task
def same(number: int) -> int:
    return number


@four.on("pre_work")
def note_before(task: Any) -> None:
    before.append(task.kwargs)


def test_a_plugin_prepares_tasks_knows_work_for_other_names_and_ends_a_task_without_a_run() -> None:
    with capture() as queue:
        assert queue.run(three.options(name="twice").push(number=1)).value == 202
        parked = three.options(name="thrice").push(number=1)
        assert queue.run(parked).kind == "unknown"
        ended = queue.run(three.options(name="twice").push(number=13))
        assert ended.kind == "cancelled" and not queue.dead
        assert queue.run(same.push(number=1)).value == 101 and before == [{"number": 101}], "before pre_work, once"


class Lends:
    """Prepares tasks with something that is to be given back."""

    said: list[str] = []

    @staticmethod
    @hookimpl
    def regiment_prepare(task: Any) -> Any:
        Lends.said.append("lent")

        def back() -> None:
            Lends.said.append("given back")
            raise OSError("of no account")

        return back if task.kwargs["number"] else None


lending = [
    Queue(name, plugins=[Lends], executor=executor) for name, executor in (("five", "serial"), ("six", "asyncio"))
]


@lending[0].task(name="half")
def half_of(number: int) -> float:
    Lends.said.append("work")
    return 10 / (number - 7)


@lending[1].task(name="half")
async def half_of_it(number: int) -> float:
    return half_of(number)


@pytest.mark.parametrize("task", [half_of, half_of_it], ids=["in a thread", "on a loop"])
def test_what_a_plugin_returns_from_prepare_is_called_when_the_work_is_over_however_that_ended(task: Any) -> None:
    with capture(task.queue) as queue:
        for number, kind, told in (
            (2, "success", ["lent", "work", "given back"]),
            (7, "failure", ["lent", "work", "given back"]),
            (0, "success", ["lent", "work"]),
        ):
            Lends.said.clear()
            assert queue.run(task.push(number=number)).kind == kind
            assert Lends.said == told


ALONE = """
import pluggy
from regiment import Queue
from regiment.hooks import Specs
from regiment.registry import registry
from regiment_testing import capture

q = Queue("q")

@q.task
def half(number):
    return number / 2

def called(self, **arguments):
    raise AssertionError(f"{self.name} was called")

with capture() as queue:
    assert queue.run(half.push(number=1)).value == 0.5  # what is collected once, at the start, is collected now
    pluggy.HookCaller.__call__ = called
    task = half.push(number=1)
    assert queue.run(task).value == 0.5
    bench = queue._benches["q"]
    runtime = bench._runtime
    print(len(runtime.around), len(runtime.started), len(runtime.died), len(queue._broker(q.config).observers))
"""


def test_where_no_one_listens_there_is_nothing_to_call() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 0 0 0\n", done.stderr


def implementations(path: Path) -> set[str]:
    """The hooks that a file of source implements."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any("hookimpl" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


ELSEWHERE = {"regiment_checks": "journeys/test_doctor.py"}
"""Hooks that no process of a tree calls -> the test that does."""


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_has_a_real_user_and_a_test(name: str) -> None:
    assert f"### {name}(" in (ROOT / "docs/hooks.md").read_text()
    used = set[str]()
    for path in [
        *ROOT.glob("plugins/*/src/**/hooks.py"),
        *ROOT.glob("plugins/*/src/**/extension.py"),
        *ROOT.glob("examples/*.py"),
        *ROOT.glob("examples/plugins/*/src/**/hooks.py"),
    ]:
        used |= implementations(path)
    for kind in KINDS:  # what `regiment plugins new` makes is installed and run by the tests
        made = make(kind, "one")
        source = "".join(text for path, text in made.items() if path.startswith("src/"))
        used |= {name for name in HOOKS if f"def {name}(" in source}
    assert name in used, f"nobody uses {name}"
    elsewhere = f"def {name}(" in (ROOT / "tests" / ELSEWHERE.get(name, "conftest.py")).read_text()
    tested = elsewhere or f"def {name}(" in EVERYTHING or name.removeprefix("regiment_") in OFFERS
    assert tested, f"no test calls {name}"


HOLDING = """
import ctypes, pathlib, sys
from regiment.hooks import hookimpl

@hookimpl
def regiment_worker_ended(end):
    with pathlib.Path("ends.txt").open("a") as file:
        file.write(end["kind"] + chr(10))
    {does}
"""

CRASHING = """
import os
from regiment import Queue
q = Queue("crashing", max_deliveries=3, poison_delays=(0,))

@q.task
def crash():
    os._exit(1)
"""


@pytest.mark.parametrize(
    "does", ["ctypes.PyDLL(None).sleep(6)", "sys.exit(1)"], ids=["holds the interpreter", "leaves"]
)
def test_a_hook_of_ends_that_misbehaves_is_told_each_end_once_and_the_queue_goes_on(tmp_path: Path, does: str) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING)
    (tmp_path / "watching.py").write_text(HOLDING.format(does=does))
    assert run(tmp_path, "push", "crashing:crash").returncode == 0
    assert run(tmp_path, "run", "crashing", "--burst").returncode == 1, "the task is a dead letter"
    ends = (tmp_path / "ends.txt").read_text().split()
    assert ends.count("crash") == 3, ends


LAST_CALL = """
import os, pathlib, time
from regiment.hooks import hookimpl

def lines(name):
    path = pathlib.Path(name)
    return path.read_text().count(chr(10)) if path.exists() else 0

@hookimpl
def regiment_worker_ended(end):
    with pathlib.Path("ends.txt").open("a") as file:
        file.write(end["kind"] + chr(10))
    if lines("ends.txt") == 1:
        while lines("runs.txt") < 3:
            time.sleep(0.01)
        os._exit(1)
"""


def test_who_was_still_to_be_told_of_an_end_is_told_by_the_keeper_that_follows(tmp_path: Path) -> None:
    noted = 'os.write(os.open("runs.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), b"run\\n")\n    os._exit(1)'
    (tmp_path / "crashing.py").write_text(CRASHING.replace("os._exit(1)", noted))
    (tmp_path / "watching.py").write_text(LAST_CALL)
    assert run(tmp_path, "push", "crashing:crash").returncode == 0
    told = run(tmp_path, "run", "crashing", "--burst")
    assert told.returncode == 1, "the task is a dead letter"
    assert "keeper.replaced" in told.stderr
    ends = (tmp_path / "ends.txt").read_text().split()
    assert ends.count("crash") == 3, ends  # the second was given back, and waited behind the first
