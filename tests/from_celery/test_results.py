"""Results, canvas and limits by Celery's names, with real workers, also when these are killed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from from_celery.conftest import Project
from harness.wait import eventually

APP = """
import os, signal, time
from pathlib import Path
from regiment_celery import Celery, chain, chord, group
from regiment_celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded, TimeoutError

app = Celery("proj", broker=os.environ["CELERY_BROKER_URL"], backend="rpc://", task_routes={"app.far": "far"})
HERE = Path(__file__).parent


def write(name, text):
    with open(HERE / name, "a") as file:
        file.write(text + "\\n")


@app.task
def add(x, y):
    return x + y


@app.task
def far(x):
    return [x, "far"]


@app.task
def total(numbers):
    assert type(numbers) is list
    return sum(numbers)


@app.task
def slow(seconds):
    write("started", "slow")
    time.sleep(seconds)


@app.task(soft_time_limit=0.3)
def softly():
    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return "cleaned up"


@app.task(time_limit=0.3)
def hardly():
    time.sleep(30)


@app.task
def killed_once():
    write("runs", "killed")
    if (HERE / "runs").read_text().count("killed") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


@app.task
def after(value):
    write("after", str(value))


@app.task(bind=True)
def countdown(self, n):
    if n:
        raise self.replace(chain(add.si(n, -1), countdown.s()))
    return "ignition"


@app.task
def bad(x):
    raise ValueError(f"no {x}")


@app.task
def errback(request, exc, traceback):
    write("errors", f"{request.id} {exc!r}")
"""


@pytest.fixture
def running(tmp_path: Path, url: str) -> Iterator[Project]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "app.py").write_text(APP)
    made = Project(tmp_path, home, url)
    made.run("app:app", queues=2)
    yield made
    made.close()


def shown(project: Project, code: str) -> list[str]:
    return project.python("-c", "from app import *\n" + textwrap.dedent(code)).splitlines()


def test_results_states_limits_and_revoking_are_those_of_celery(running: Project) -> None:
    assert shown(
        running,
        """
        result = far.delay(1)
        print(result.get(timeout=30), app.AsyncResult(result.id).get(timeout=1), result.successful(), result.retries)
        failed = bad.delay("way")
        failed.get(timeout=30, propagate=False)
        print(repr(failed.result), failed.failed(), "ValueError: no way" in failed.traceback, app.AsyncResult(failed.id).status)
        print(softly.delay().get(timeout=30))
        try:
            hardly.delay().get(timeout=30)
        except TimeLimitExceeded as error:
            print("hard limit")
        later = add.apply_async((1, 2), countdown=600)
        print(later.state, later.ready())
        try:
            later.get(timeout=0.1)
        except TimeoutError:
            print("not yet")
        running = slow.delay(300)
        while not (HERE / "started").exists():
            time.sleep(0.05)
        running.revoke(terminate=True)
        try:
            running.get(timeout=30)
        except TaskRevokedError:
            print("revoked", running.state)
        result.forget()
        print(app.AsyncResult(result.id).state, app.AsyncResult("never").state)
        """,
    ) == [
        "[1, 'far'] [1, 'far'] True 0",
        "ValueError('no way') True True FAILURE",
        "cleaned up",
        "hard limit",
        "PENDING False",
        "not yet",
        "revoked REVOKED",
        "PENDING PENDING",
    ]


def test_canvas_goes_over_queues_tells_its_errors_and_is_known_by_its_id(running: Project) -> None:
    found = shown(
        running,
        """
        print(chain(add.s(1, 2), far.s())().get(timeout=30))
        whole = group(add.s(n, n) for n in range(20)).apply_async()
        print(whole.get(timeout=30) == [2 * n for n in range(20)], whole.completed_count(), whole.results[3].get(timeout=5))
        print(app.GroupResult(whole.id).successful(), app.AsyncResult(whole.id).get(timeout=5)[-1])
        print(chord(add.s(n, n) for n in range(20))(total.s()).get(timeout=30))
        print(chain(add.s(1, 2), countdown.s())().get(timeout=30))
        broken = chain(add.s(1, 1), bad.s(), after.s()).on_error(errback.s()).apply_async()
        try:
            broken.get(timeout=30)
        except ValueError as error:
            print(repr(error), broken.state)
        """,
    )
    assert found == ["[3, 'far']", "True 20 6", "True 38", "380", "ignition", "ValueError('no 2') FAILURE"]
    errors = running.home / "errors"
    eventually(lambda: errors.exists() and "ValueError('no 2')" in errors.read_text(), 30, running.logged)
    assert not (running.home / "after").exists()


def test_a_callback_of_a_task_whose_worker_is_killed_is_pushed_once(running: Project) -> None:
    assert shown(running, "print(killed_once.apply_async(link=after.s()).get(timeout=60))") == ["7"]
    after = running.home / "after"
    eventually(lambda: after.exists(), 30, running.logged)
    assert (running.home / "runs").read_text() == "killed\n" * 2
    assert shown(running, "print(add.delay(1, 1).get(timeout=30))") == ["2"]
    assert after.read_text() == "7\n"


def test_without_a_backend_a_result_is_refused_in_words(project: Project) -> None:
    (project.home / "app.py").write_text(APP.replace(', backend="rpc://"', ""))
    found = shown(
        project,
        """
        from regiment_results import ResultsOff
        try:
            add.delay(1, 2).get(timeout=1)
        except ResultsOff as error:
            print(error)
        """,
    )
    assert found == ["the application keeps no results; write Celery(…, backend=…), or result_backend in its settings"]


def test_one_queue_of_an_application_is_run_by_its_name_and_check_sees_all(project: Project) -> None:
    (project.home / "app.py").write_text(APP)
    project.regiment("check", "app:app")
    far, here = shown(project, "print(far.delay(1).id); print(add.delay(1, 2).id)")
    project.regiment("run", "app:app.far", "--burst")
    assert shown(project, f"print(app.AsyncResult({far!r}).get(timeout=1), app.AsyncResult({here!r}).ready())") == [
        "[1, 'far'] False"
    ]
    project.regiment("run", "app:app", "--burst")
    assert shown(project, f"print(app.AsyncResult({here!r}).get(timeout=1))") == ["3"]
