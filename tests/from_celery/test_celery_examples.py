"""Three projects in the form of Celery's documentation and tutorials run by one changed import, with real workers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from from_celery.conftest import Project
from harness.wait import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("celery_next_steps", "celery_flask", "celery_django")
Start = Callable[[str], Project]


@pytest.fixture
def start(tmp_path: Path, url: str) -> Iterator[Start]:
    made: list[Project] = []

    def begin(name: str) -> Project:
        home = tmp_path / name
        shutil.copytree(EXAMPLES / name, home, ignore=shutil.ignore_patterns("__pycache__"))
        made.append(Project(tmp_path, home, url))
        return made[0]

    yield begin
    for one in made:
        one.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_import_is_all_that_differs_from_the_project_of_celery(name: str, tmp_path: Path) -> None:
    """Written for Celery, it becomes the example by `migrate celery --write`, which refuses nothing."""
    shutil.copytree(EXAMPLES / name, tmp_path / name)
    files = [path for path in (tmp_path / name).rglob("*.py") if "regiment_celery" in path.read_text()]
    wanted = {path: path.read_text() for path in files}
    for path, text in wanted.items():
        path.write_text(text.replace("regiment_celery", "celery"))
    command = [sys.executable, "-m", "regiment", "migrate", "celery", str(tmp_path / name), "--write"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert files and {path: path.read_text() for path in files} == wanted
    assert " refused " not in told.stdout and f"imports of {len(files)} file" in told.stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_examples_names_it(name: str) -> None:
    assert f"]({name}/README.md)" in (EXAMPLES / "README.md").read_text()


def test_next_steps_gives_results_retries_callbacks_and_canvas(start: Start) -> None:
    project = start("celery_next_steps")
    project.run("proj.celery:app", queues=2)
    assert project.python("use.py").splitlines() == [
        "add: 4 SUCCESS",
        "mul, in its own queue: 20",
        "fragile: after 2 retries",
        "hopeless: never works FAILURE",
        "chain: 640",
        "group: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]",
        "chord: 90",
        "partial: 32",
    ]
    eventually(lambda: "failed: OSError('never works')" in project.logged(), 30, project.logged)
    eventually(lambda: project.logged().count("counted: tick") > 1, 30, project.logged)


def test_flask_starts_a_long_task_and_tells_how_far_it_is(start: Start) -> None:
    pytest.importorskip("flask")
    project = start("celery_flask")
    project.run("app:celery")
    told = project.python(
        "-c",
        """
import time
from app import app
web = app.test_client()
assert web.post("/email", json={"to": "ada@example.org"}).status_code == 202
where = web.post("/longtask").headers["Location"]
seen = []
while not seen or seen[-1]["state"] not in ("SUCCESS", "FAILURE"):
    seen.append(web.get(where).json)
    time.sleep(0.05)
print([one["state"] for one in seen if one["state"] == "PROGRESS" and 0 < one["current"] < one["total"]][:1], seen[-1])
""",
    )
    assert told == (
        "['PROGRESS'] {'current': 30, 'result': 42, 'state': 'SUCCESS', 'status': 'Task completed!', 'total': 30}\n"
    )
    outbox = project.folder / "outbox.txt"
    eventually(
        lambda: outbox.exists() and outbox.read_text() == "ada@example.org: Hello from Flask\n", 30, project.logged
    )


def test_django_runs_shared_tasks_with_the_orm(start: Start) -> None:
    pytest.importorskip("django")
    project = start("celery_django")
    project.python("manage.py", "migrate", "-v", "0")
    project.run("mysite")
    told = project.python(
        "manage.py",
        "shell",
        "-v",
        "0",
        "-c",
        """
from greetings.tasks import greet, rename, total
waiting = total.delay()
print(greet.delay("Ada").get(timeout=30), greet.delay("Ada").get(timeout=30))
print(rename.apply_async(("Ada", "Ada Lovelace")).get(timeout=30), waiting.get(timeout=30))
""",
    )
    found = [line for line in told.splitlines() if re.match(r"\d+ \d+$", line)]
    assert found[0] == "1 2" and found[1].startswith("1 ") and int(found[1].split()[1]) in (1, 2)
    listed = project.regiment("schedules", "list", "-A", "mysite")
    assert "monday-morning" in listed and "30 7 * * 1" in listed and "Europe/Berlin" in listed
