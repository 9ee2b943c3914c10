"""SIGHUP executes the tree anew; a stop that comes meanwhile is heard by this program or by the next one, never lost."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from harness.scale import size
from harness.site import Site
from harness.tree import Tree


@pytest.mark.parametrize("after", [0.0, 1.1])
def test_sigterm_while_the_tree_drains_for_sighup_ends_it_and_is_no_second_signal(site: Site, after: float) -> None:
    site.app("tasks_per_transaction=1")
    tree = site.tree(workers=1)
    n = site.push(seconds=2.0)
    site.started(n)
    tree.send(signal.SIGHUP)
    tree.event("supervisor.stopping")
    time.sleep(after)  # within and beyond the second in which signals are the same one
    tree.send(signal.SIGTERM)
    assert tree.end(10) == 0
    assert n in site.books().ends, "what ran was finished, not killed"
    assert len(tree.events("supervisor.started")) == 1, "it was not executed anew"
    site.settle(1)


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.08, 0.15, 0.25])
def test_sigterm_in_the_moment_of_the_restart_ends_the_tree_with_exit_0(site: Site, after: float) -> None:
    """Between the end of one program and the handlers of the next: there a default handler would kill, or PID 1 hear nothing."""
    site.app()
    for _ in range(size(1, 20)):
        tree = site.tree(workers=1)
        tree.send(signal.SIGHUP)
        tree.event("supervisor.stopped")
        time.sleep(after)  # the moment is the row itself
        tree.send(signal.SIGTERM)
        assert tree.end(10) == 0
        assert "Traceback" not in tree.text()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.15])
def test_no_other_signal_in_the_moment_of_the_restart_ends_the_tree(
    site: Site, number: signal.Signals, after: float
) -> None:
    site.app()
    tree = site.tree(workers=1)
    tree.send(signal.SIGHUP)
    tree.event("supervisor.stopped")
    time.sleep(after)  # the moment is the row itself
    tree.send(number)
    tree.event("supervisor.started", within=15, count=2)
    assert tree.process.poll() is None
    assert tree.stop() == 0


def release(site: Site, number: int) -> None:
    folder = site.folder / f"release{number}"
    folder.mkdir()
    site.app("recheck=0.2", body=f'\n@work.task\ndef who(n):\n    begin(n)\n    write("W", n, {number})\n    end(n)\n')
    (site.folder / "app.py").rename(folder / "app.py")


@pytest.mark.parametrize("gone", [False, True])
def test_sighup_follows_the_folder_by_the_name_it_was_given_by(site: Site, gone: bool) -> None:
    release(site, 1)
    release(site, 2)
    current = site.folder / "current"
    current.symlink_to("release1")
    tree = in_folder(site, current)
    current.unlink()
    current.symlink_to("release2")
    if gone:
        shutil.rmtree(site.folder / "release1")
    tree.send(signal.SIGHUP)
    tree.event("worker.ready", within=15, count=2)
    n = site.push("who")
    site.ended(n)
    assert [words for words in site.books().words if words[0] == "W"] == [["W", str(n), "2"]]
    assert tree.stop() == 0


def test_sighup_is_not_obeyed_while_the_folder_is_not_there_and_what_runs_goes_on(
    site: Site,
) -> None:
    release(site, 1)
    tree = in_folder(site, site.folder / "release1")
    (site.folder / "release1").rename(site.folder / "away")
    tree.send(signal.SIGHUP)
    assert "is not there any more" in tree.event("supervisor.reload")["error"]
    n = site.push("who")
    site.ended(n)
    assert tree.stop() == 0


def in_folder(site: Site, folder: Path) -> Tree:
    """A tree that was started in `folder`, as a shell does it: with its name in PWD."""
    place, site.folder = site.folder, folder
    try:
        tree = Tree(
            folder,
            site.runtime,
            ["app:work"],
            place / "log",
            environment={"PWD": str(folder), **dict([site.mark.split("=")])},
            app_dir=".",
            workers=1,
        )
    finally:
        site.folder = place
    site.trees.append(tree)
    tree.ready(1)
    return tree
