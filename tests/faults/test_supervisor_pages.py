"""What a task can do to its worker's page, and what a full /dev/shm does to a tree: neither ends anything but a worker."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.site import Site
from harness.wait import eventually

BODY = '''
import glob

def pages():
    return glob.glob(os.environ["XDG_RUNTIME_DIR"] + "/regiment/*/w*.page")

@work.task
def damage(n, how):
    """What a C extension does that writes where it should not: to every page of the tree, as the worst case."""
    if current().task.delivery_count == 0:
        begin(n)
        for path in pages():
            if how == "cut":
                os.truncate(path, 0)
            else:
                with open(path, "r+b") as file:
                    file.seek({"scribble": 64, "slots": 8 * 13, "slot": 4096}[how])
                    file.write(os.urandom(8192 if how == "scribble" else 8))
        time.sleep(5)
    else:
        begin(n)
    end(n)
'''


@pytest.mark.parametrize("how", ["scribble", "slots", "slot", "cut"])
def test_a_damaged_page_is_its_workers_crash_and_nobody_elses(site: Site, how: str) -> None:
    site.app("lease=1.5, recheck=0.2, poison_delays=(0.0,)", body=BODY)
    tree = site.tree(workers=1, tick=0.2)
    keeper = tree.keeper()
    number = site.push("damage", how=how)
    site.started(number)
    crashed = tree.event("worker.crashed")
    assert "its page is damaged" in crashed["reason"] or "SIGBUS" in crashed["reason"]
    site.ended(number, within=15)
    assert len(site.books().starts[number]) == 2, "it came back, counted, as from a lost host"
    site.store.quiet(10)
    assert tree.keeper() == keeper, "the keeper went on"
    assert not tree.events("keeper.error")
    assert tree.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_shared_memory_costs_no_tree_and_the_worker_starts_when_there_is_room(
    site: Site, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(small)],
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        site.app("max_tasks_per_run=1, recheck=0.2")
        tree = site.tree(environment={"XDG_RUNTIME_DIR": str(small)}, ready=False, tick=0.2)
        tree.event("worker.ready")
        with open(small / "filler", "wb", buffering=0) as filler:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    filler.write(bytes(4096))
            first = site.push()
            site.ended(first)
            said = tree.event("supervisor.exhausted")
            assert said["what"] == "a worker of app:work"
            assert "has no room for a page" in said["error"]
            assert "--shm-size" in said["error"]
            second = site.push()
            assert tree.process.poll() is None
        (small / "filler").unlink()
        site.ended(second)
        assert tree.stop() == 0
        eventually(lambda: not list(small.glob("regiment/*")), 5)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
