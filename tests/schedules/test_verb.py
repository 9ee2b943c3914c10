"""`regiment schedules` and `regiment check`, as people type them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.wait import eventually

APP = """
from regiment import Queue
from regiment_schedules import Schedules, schedule
mail = Queue("mail", connector="sqlite:///{folder}/q.db", plugins=[Schedules()])
@mail.task(schedules=[{given}])
def digest(kind: str = "short") -> None: ...
"""


def regiment(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "regiment", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP.format(folder=tmp_path, given=""))
    return tmp_path


def test_a_schedule_is_added_shown_paused_run_and_removed(folder: Path) -> None:
    added = regiment(
        folder, "schedules", "add", "a", "digest", "30 2 * * *", "kind=long", "--tz", "Europe/Berlin", "-A", "app:mail"
    )
    assert added.returncode == 0 and "Europe/Berlin" in added.stderr, added.stderr
    listed = json.loads(regiment(folder, "schedules", "list", "-A", "app", "--json").stdout)
    assert [(one["name"], one["task"], one["source"]) for one in listed] == [("a", "digest", "store")]
    assert len(regiment(folder, "schedules", "next", "a", "-n", "3", "-A", "app").stdout.splitlines()) == 3
    assert regiment(folder, "schedules", "pause", "a", "-A", "app").returncode == 0
    assert (
        "paused by" in regiment(folder, "schedules", "list", "mail", "--connector", f"sqlite:///{folder}/q.db").stdout
    )
    assert regiment(folder, "schedules", "resume", "a", "-A", "app").returncode == 0
    assert "a!" in regiment(folder, "schedules", "run", "a", "-A", "app").stderr
    (folder / "days.txt").write_text("2026-12-25 Christmas\n# more\n2026-12-26\n")
    assert "2 days" in regiment(folder, "schedules", "calendar", "de", "days.txt", "-A", "app").stderr
    wrong = regiment(folder, "schedules", "remove", "b", "-A", "app")
    assert wrong.returncode == 1 and "There are: a" in wrong.stderr
    assert regiment(folder, "schedules", "remove", "a", "-A", "app").returncode == 0
    assert "no schedules" in regiment(folder, "schedules", "-A", "app").stderr


def test_a_schedule_that_nobody_serves_does_not_look_alive(folder: Path) -> None:
    regiment(folder, "schedules", "add", "a", "digest", "30 2 * * *", "-A", "app:mail")
    idle = regiment(folder, "schedules", "list", "-A", "app")
    assert ", but nobody serves the queue" in idle.stdout
    assert "nobody serves mail, so that nothing is pushed: regiment run TARGET" in idle.stderr
    tree = subprocess.Popen([sys.executable, "-m", "regiment", "run", "app"], cwd=folder, stderr=subprocess.DEVNULL)
    try:

        def served() -> bool:
            return bool(json.loads(regiment(folder, "schedules", "list", "-A", "app", "--json").stdout)[0]["served"])

        eventually(served, 30, "that somebody serves it")
        assert "nobody" not in regiment(folder, "schedules", "list", "-A", "app").stdout
    finally:
        tree.terminate()
        tree.wait(30)
    regiment(folder, "schedules", "pause", "a", "-A", "app")
    assert "nobody serves" not in regiment(folder, "schedules", "list", "-A", "app").stderr, (
        "a paused one pushes nothing"
    )


def test_the_next_ticks_of_an_expression_ask_no_store_and_say_what_is_beside_a_change(tmp_path: Path) -> None:
    told = regiment(tmp_path, "schedules", "next", "30 2 * * *", "--tz", "Europe/Berlin", "-n", "400")
    assert (
        told.returncode == 0 and "beside a skipped 1:00:00" in told.stdout and "beside a doubled 1:00:00" in told.stdout
    )
    assert not list(tmp_path.iterdir())
    assert "Did you mean" in regiment(tmp_path, "schedules", "next", "0 9 * * mo-fr").stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('schedule("0 0 31 2 *")', "no such month"),
        ('schedule("0 9 * * *", tz="Europe/Berlim")', "Europe/Berlin"),
        ('schedule("0 9 * * *", kwargs={"kin": 1})', 'Did you mean "kind"'),
        ('schedule("0 9 * * *", name="a"), schedule("0 8 * * *", name="a")', "both have a schedule"),
        ("schedule(every=0.5)", "at least 1"),
    ],
)
def test_check_reads_every_expression_zone_and_argument(folder: Path, given: str, said: str) -> None:
    (folder / "app.py").write_text(APP.format(folder=folder, given=given))
    told = regiment(folder, "check", "app")
    assert told.returncode not in (0, 1) and said in told.stderr, told.stderr
    started = regiment(folder, "run", "app", "--burst")
    assert started.returncode not in (0, 1) and said in started.stderr, started.stderr


def test_one_from_code_is_named_before_it_runs_and_one_that_is_removed_says_when_it_comes_back(folder: Path) -> None:
    (folder / "app.py").write_text(APP.format(folder=folder, given='schedule("0 9 * * *", name="a")'))
    listed = regiment(folder, "schedules", "list", "-A", "app")
    assert "after the next regiment run that may bring them: a" in listed.stderr and "only found" not in listed.stderr
    tree = subprocess.Popen([sys.executable, "-m", "regiment", "run", "app"], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: "0 9 * * *" in regiment(folder, "schedules", "list", "-A", "app").stdout, 60)
        removed = regiment(folder, "schedules", "remove", "a", "-A", "app")
        assert 'removed from "mail"' in removed.stderr and "app:mail declares it: it comes back" in removed.stderr
        time.sleep(1.5)  # the living tree has heard of it, and leaves it so
        assert not regiment(folder, "schedules", "list", "-A", "app").stdout
    finally:
        tree.terminate()
        tree.wait()


def test_solo_says_that_nothing_is_fired_and_run_ends_with_the_code_of_check(folder: Path) -> None:
    (folder / "app.py").write_text(APP.format(folder=folder, given='schedule("0 9 * * *")'))
    told = regiment(folder, "run", "app", "--solo", "--burst")
    assert told.returncode == 0 and "solo.without" in told.stderr and '"schedules"' in told.stderr
    text = (folder / "app.py").read_text()
    (folder / "app.py").write_text(
        text.replace("plugins=", 'serializer=Use("signed", keys=["0123456789abcdef0123456789abcdef"]), plugins=')
    )
    (folder / "app.py").write_text("from regiment import Use\n" + (folder / "app.py").read_text())
    for verb in (["check", "app"], ["run", "app", "--burst"], ["run", "app", "--solo", "--burst"]):
        told = regiment(folder, *verb)
        assert told.returncode == 5 and "signs each message" in told.stderr and "notes of" not in told.stderr


def test_where_no_queue_is_found_that_is_said_and_nothing_seems_to_be_done(folder: Path) -> None:
    (folder / "days.txt").write_text("2026-12-25\n")
    store = ("--connector", f"sqlite:///{folder}/q.db")
    kept = regiment(folder, "schedules", "calendar", "de", "days.txt", *store)
    assert kept.returncode == 5 and "name one with --queue" in kept.stderr
    listed = regiment(folder, "schedules", "list", *store)
    assert listed.returncode == 0 and "only found by --queue" in listed.stderr
