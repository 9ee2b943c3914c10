"""The folder of the trees: what another user may have put in its place, whose supervisor lives, what may be deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regiment.errors import ConfigError, RegimentError
from regiment_runner.shared import page, places
from regiment_runner.verbs import health, trees

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

READERS: dict[str, Callable[[], object]] = {
    "run": page.make_tree,
    "workers and top": trees.look,
    "health": lambda: health.answer(False, None),
}


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    for tree in list(places._held):
        places.remove_tree(tree)


def living(home: Path, name: str) -> subprocess.Popen[bytes]:
    """A process that holds the mark of a tree's folder locked, as a supervisor does."""
    body = (
        "import fcntl, os, sys, time\n"
        "os.makedirs(sys.argv[1], 0o700); f = open(sys.argv[1] + '/regiment.tree', 'w')\n"
        "fcntl.flock(f, fcntl.LOCK_EX); print('ready', flush=True); time.sleep(60)"
    )
    home.mkdir(mode=0o700, exist_ok=True)
    made = subprocess.Popen([sys.executable, "-c", body, str(home / name)], stdout=subprocess.PIPE)
    assert made.stdout is not None
    assert made.stdout.readline() == b"ready\n"
    return made


def test_folders_of_dead_supervisors_are_removed_and_those_of_the_living_stay(
    runtime: Path,
) -> None:
    home = runtime / "regiment"
    alive = living(home, "7-1-2")
    dead = home / "8-1-2"
    dead.mkdir(mode=0o700)
    (dead / places.MARK).touch()
    (dead / "w1.page").write_bytes(b"x")
    mine = page.make_tree()
    assert not dead.exists()
    assert (home / "7-1-2").exists() and mine.exists()
    assert mine.stat().st_mode & 0o777 == 0o700
    alive.kill()
    alive.wait()
    page.remove_tree(mine)
    assert not mine.exists()
    page.make_tree()
    assert not (home / "7-1-2").exists(), "its supervisor was killed: nobody holds the lock"


def test_what_bears_no_mark_of_ours_is_never_deleted(runtime: Path) -> None:
    home, elsewhere = runtime / "regiment", runtime / "photos"
    for folder in (home / "9-1-2", elsewhere):
        folder.mkdir(parents=True)
        (folder / "precious").touch()
    home.chmod(0o700)
    (home / "10-1-2").symlink_to(elsewhere)
    (elsewhere / places.MARK).touch()
    page.make_tree()
    assert (home / "9-1-2" / "precious").exists()
    assert (elsewhere / "precious").exists() and (home / "10-1-2").is_symlink()


def test_a_folder_in_a_dead_tree_is_not_ours_and_stays(runtime: Path) -> None:
    tree = runtime / "regiment" / "9-1-2"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "precious").touch()
    (tree / places.MARK).touch()
    (runtime / "regiment").chmod(0o700)
    page.make_tree()
    assert (tree / "inner" / "precious").exists() and (tree / places.MARK).exists()


@pytest.mark.parametrize("reader", READERS)
def test_a_link_in_the_place_of_the_folder_is_followed_by_nobody(reader: str, runtime: Path) -> None:
    (runtime / "victim").mkdir(mode=0o700)
    living(runtime / "victim", "7-1-2").kill()
    (runtime / "regiment").symlink_to(runtime / "victim")
    refused(reader, "is a link")
    assert (runtime / "victim" / "7-1-2").exists()


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_that_others_may_write_is_refused_with_the_command_that_mends_it(reader: str, runtime: Path) -> None:
    (runtime / "regiment").mkdir()
    (runtime / "regiment").chmod(0o777)
    refused(reader, "has mode 777; expected 700", "chmod 700")


@ROOT_ONLY
@pytest.mark.parametrize("reader", READERS)
def test_a_planted_folder_of_another_user_is_believed_by_nobody(reader: str, runtime: Path) -> None:
    home = runtime / "regiment"
    alive = living(home, f"7-1-{places.procfs.pid_namespace()}")
    beat = f'{{"pid": 7, "boot": {time.clock_gettime(time.CLOCK_BOOTTIME) + 60}, "tick": 1, "missing": [], '
    beat += '"stopping": false, "ready": 9, "wanted": 9}'
    (home / f"7-1-{places.procfs.pid_namespace()}" / health.BEAT).write_text(beat)
    os.chown(home, 12345, 12345)
    refused(reader, "belongs to user 12345", "XDG_RUNTIME_DIR")
    alive.kill()


def refused(reader: str, *words: str) -> None:
    """A reader refuses the folder, and says why in these words."""
    if reader == "health":
        good, why = health.answer(False, None)
        assert not good
    else:
        with pytest.raises((ConfigError, RegimentError)) as raised:
            READERS[reader]()
        why = str(raised.value)
    for word in words:
        assert word in why


@ROOT_ONLY
def test_a_runtime_folder_of_another_user_is_passed_over() -> None:
    """`su`, `sudo -u` and cron leave XDG_RUNTIME_DIR as it was."""
    folder = tempfile.mkdtemp()
    body = (
        "import os; os.setgroups([]); os.setgid(12345); os.setuid(12345)\n"
        "from regiment_runner.shared import places; print(places.home())"
    )
    environment = {**os.environ, "XDG_RUNTIME_DIR": folder}
    paths = [sys.executable, "-c", "import regiment, regiment_runner.shared.places\n" + body]
    said = subprocess.run(paths, env=environment, capture_output=True, text=True, check=True).stdout
    shutil.rmtree(folder)
    assert said.strip().endswith("/regiment-12345")


def test_a_runtime_folder_that_all_may_write_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert places.home() == f"{tmp_path}/regiment"
    tmp_path.chmod(0o777)
    assert places.home().endswith(f"/regiment-{os.geteuid()}")


def test_a_tree_of_another_pid_namespace_is_left_alone_and_not_shown(runtime: Path) -> None:
    alive = living(runtime / "regiment", "1-5-12345")
    mine = page.make_tree()
    assert (runtime / "regiment" / "1-5-12345").exists()
    assert places.trees() == [str(mine)]
    alive.kill()


def test_a_child_of_the_supervisor_does_not_keep_its_tree_alive(runtime: Path) -> None:
    read, write = os.pipe()
    starter = os.fork()
    if starter == 0:
        page.make_tree()
        if os.fork() == 0:
            os.write(write, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(read, 1)
    assert len(places.trees()) == 1
    child = places.procfs.children(starter)[0]
    os.kill(starter, 9)
    os.waitpid(starter, 0)
    assert places.trees() == []
    os.kill(child, 9)


@pytest.mark.parametrize("lost", ["the folder", "its mark"])
def test_what_something_outside_removes_is_made_again(lost: str, runtime: Path) -> None:
    tree = page.make_tree()
    assert not page.have_tree(tree)
    if lost == "the folder":
        shutil.rmtree(tree.parent)
    else:
        (tree / places.MARK).unlink()
    assert places.trees() == [] if lost == "its mark" else not tree.exists()
    assert page.have_tree(tree)
    assert places.trees() == [str(tree)]
