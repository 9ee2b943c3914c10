"""Claims with real workers on real stores: what comes back, what is renewed, what is lost, expired or out of reach, and what kills leave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from claims.conftest import HERE
from harness.each_store import Stores
from harness.shop import Shop
from harness.wait import eventually
from regiment_claims import ClaimLost
from regiment_claims.choosing import place_of
from regiment_claims.places import GRACE
from regiment_results import TaskDead
from regiment_workflows import chain

DATA = bytes(range(256)) * 400


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Shop]]:
    """Makes shops on a store and a place, for this process and its workers."""
    made: list[Shop] = []

    def make(url: str, place: str = "", **variables: str) -> Shop:
        monkeypatch.setenv("CLAIMS", place or f"file://{tmp_path}/claims")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        made.append(Shop(tmp_path, url, HERE))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def file(at: Callable[..., Shop], tmp_path: Path) -> Shop:
    """A shop on SQLite with claims in a folder."""
    return at(f"sqlite:///{tmp_path}/queue.db")


@pytest.mark.parametrize("place", ["file", "store", "s3"])
@pytest.mark.parametrize("store", ["sqlite", "redis", "mongo"])
def test_arguments_results_and_values_of_flows_come_back_whole(
    at: Callable[..., Shop],
    stores: Stores,
    tmp_path: Path,
    store: str,
    place: str,
    request: pytest.FixtureRequest,
) -> None:
    variables = {}
    if place == "s3":
        variables["CLAIMS_OPTIONS"] = json.dumps(request.getfixturevalue("s3"))
    where = {"file": f"file://{tmp_path}/claims", "store": "store", "s3": f"s3://claims/{store}-{os.getpid()}"}[place]
    shop = at(getattr(stores, store)(tmp_path), where, **variables)
    shop.run(2)
    measured, made = shop.app.measure.push(DATA, "a"), shop.app.doubled.push(DATA)
    run = chain(shop.app.doubled.s(DATA), shop.app.measure.s(label="flow")).start()
    again = shop.app.flaky.push(DATA, str(tmp_path))
    assert measured.result(30) == [len(DATA), "a", DATA[:1]]
    assert made.result(30) == DATA + DATA
    assert run.result(30) == [2 * len(DATA), "flow", DATA[:1]]
    assert again.result(30) == len(DATA)
    if place == "file":
        blobs = {path.name for path in (tmp_path / "claims").glob("*/*")}
        assert len(blobs) == 2  # DATA and DATA + DATA, however often they were claimed


def dead(handle: Any, within: float = 30.0) -> TaskDead:
    with pytest.raises(TaskDead) as told:
        handle.result(within)
    return told.value


def test_a_lost_claim_is_a_dead_letter_with_its_reason_after_one_run(file: Shop, tmp_path: Path) -> None:
    handle = file.app.measure.push(DATA)
    (blob,) = (tmp_path / "claims").glob("*/*")
    blob.unlink()
    file.run()
    error = dead(handle)
    assert error.runs == 1
    assert "ClaimLost: the argument 'data', a claim of 102 kB (sha256" in error.message
    assert "before its time to live was over" in error.message


def test_a_claim_of_other_bytes_is_not_decoded(file: Shop, tmp_path: Path) -> None:
    handle = file.app.measure.push(DATA)
    (blob,) = (tmp_path / "claims").glob("*/*")
    size = blob.stat().st_size
    blob.write_bytes(b"x" * size)
    file.run()
    assert "has another digest; it was not decoded" in dead(handle).message


def test_an_expired_claim_is_a_dead_letter_that_says_since_when(at: Callable[..., Shop], tmp_path: Path) -> None:
    shop = at(f"sqlite:///{tmp_path}/queue.db", CLAIMS_TTL="1", CLAIMS_LETTER_TTL="1")
    handle = shop.app.measure.push(DATA)
    place = place_of(f"file://{tmp_path}/claims")
    (bucket,) = place.buckets()
    eventually(lambda: time.time() > bucket.until, 10)
    place.sweep(bucket.until + GRACE + 1)
    shop.run()
    message = dead(handle).message
    assert "ClaimExpired: the argument 'data', a claim of 102 kB" in message
    assert "its time to live was over at 20" in message
    assert "expired" in replayed(shop, handle.id)


def replayed(shop: Shop, id: str) -> str:
    """Replay a letter; what is said of its next death."""
    with shop.queue.broker.connector() as store:
        (letter,) = store.dead("claims-shop", limit=10)
        store.revive("claims-shop", {letter.id: None})
        found = eventually(lambda: [one for one in store.dead("claims-shop", limit=10) if one.id != letter.id], 20)
        return str(found[0].reason)


def test_results_that_are_lost_or_expired_raise_an_error_of_their_own(at: Callable[..., Shop], tmp_path: Path) -> None:
    shop = at(f"sqlite:///{tmp_path}/queue.db")
    shop.run()
    handle = shop.app.doubled.push(DATA)
    handle.join(30)
    (lost,) = [path for path in (tmp_path / "claims").glob("*/*") if path.stat().st_size > 2 * len(DATA)]
    lost.rename(tmp_path / "away")
    with pytest.raises(ClaimLost, match=f"what task {handle.id} of queue claims-shop returned, a claim of 205 kB"):
        handle.result(1)
    assert handle.state() == "success"
    (tmp_path / "away").rename(lost)
    assert handle.result(1) == DATA + DATA


def test_a_place_that_is_not_mounted_costs_no_task_and_no_run(file: Shop, tmp_path: Path) -> None:
    handle = file.app.measure.push(DATA)
    (tmp_path / "claims").rename(tmp_path / "unmounted")
    (tmp_path / "claims").mkdir()
    file.run()
    eventually(lambda: "claim.unreachable" in file.logged(), 20, file.logged)
    assert "is no place of claims. Is it mounted, is it the right one?" in file.logged()
    (tmp_path / "claims").rmdir()
    (tmp_path / "unmounted").rename(tmp_path / "claims")
    assert handle.result(30)[0] == len(DATA)
    assert handle.outcome().runs == 1


def test_a_worker_without_the_plugin_parks_the_task_and_says_what_to_install(file: Shop) -> None:
    handle = file.app.measure.push(DATA)
    tree = file.run(CLAIMS_OFF="1")
    eventually(lambda: "task.parked" in file.logged(), 20, file.logged)
    assert "it has tags for claims" in file.logged()
    assert "pip install regiment-claims, and plugins=[…] with Use" in file.logged().encode().decode(
        "unicode_escape"
    ) or ("pip install regiment-claims, and plugins=[" in file.logged())
    tree.terminate()
    tree.wait(30)
    file.run()
    assert handle.result(30)[0] == len(DATA)


def test_a_dead_letter_keeps_its_claims_longer_than_a_task_and_its_replay_reads_them(
    at: Callable[..., Shop], tmp_path: Path
) -> None:
    shop = at(f"sqlite:///{tmp_path}/queue.db", CLAIMS_TTL="8", CLAIMS_LETTER_TTL="800")
    shop.run()
    handle = shop.app.broken.push(DATA)
    with pytest.raises(Exception, match="102400 bytes are no good"):
        handle.result(30)
    place = place_of(f"file://{tmp_path}/claims")
    ends = eventually(lambda: [one.until for one in place.buckets() if one.until > time.time() + 700], 10)
    place.sweep(ends[0] - 1)
    assert [one.until for one in place.buckets()] == ends
    assert "102400 bytes are no good" in replayed(shop, handle.id)


def test_a_producer_that_is_killed_between_value_and_push_leaves_what_its_end_removes(
    file: Shop, tmp_path: Path
) -> None:
    text = (
        "import os, signal, shop\n"
        "from regiment.broker import Broker\n"
        "Broker.push = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "shop.measure.push(bytes(range(256)) * 400)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", text], cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    place = place_of(f"file://{tmp_path}/claims")
    (bucket,) = place.buckets()
    assert bucket.blobs == 1
    with file.queue.broker.connector() as store:
        assert store.counts("claims-shop").ready == 0
    handle = file.app.measure.push(DATA)  # the next one finds it there
    assert [one.blobs for one in place.buckets()] == [1]
    file.run()
    assert handle.result(30)[0] == len(DATA)
    place.sweep(bucket.until + GRACE + 4000)
    assert place.buckets() == []


def test_a_worker_that_is_killed_while_it_has_a_claim_leaves_it_to_the_next(file: Shop, tmp_path: Path) -> None:
    file.run()
    handle = file.app.slow.push(DATA, str(tmp_path))
    (started,) = eventually(lambda: list(tmp_path.glob("started-*")), 20, file.logged)
    os.kill(int(started.name.removeprefix("started-")), signal.SIGKILL)
    eventually(lambda: len(list(tmp_path.glob("started-*"))) > 1, 20, file.logged)
    (tmp_path / "go").touch()
    assert handle.result(30) == len(DATA)


def test_a_sweep_during_use_takes_nothing_that_is_claimed(file: Shop, tmp_path: Path) -> None:
    file.run(2)
    sweeper = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from regiment_claims.choosing import place_of\n"
            "place = place_of(sys.argv[1])\n"
            "while True: place.sweep(time.time())\n",
            f"file://{tmp_path}/claims",
        ]
    )
    try:
        handles = [file.app.doubled.push(DATA + str(number).encode()) for number in range(40)]
        for number, handle in enumerate(handles):
            assert handle.result(60) == (DATA + str(number).encode()) * 2
        assert sweeper.poll() is None
    finally:
        sweeper.kill()
        sweeper.wait()


def test_the_steward_sweeps_what_is_over(file: Shop, tmp_path: Path) -> None:
    place = place_of(f"file://{tmp_path}/claims")
    place.put("0" * 64, b"old", 1000)
    place.put("1" * 64, b"new", int(time.time()) + 1000)
    file.run()
    eventually(lambda: len(place.buckets()) == 1, 20, file.logged)
    eventually(lambda: "claims.swept" in file.logged(), 10, file.logged)


def test_the_verb_lists_and_sweeps_and_refuses_what_is_no_place(tmp_path: Path) -> None:
    def verb(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "regiment", "claims", *words], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    url = f"file://{tmp_path}/claims"
    assert verb("list", url) == (
        1,
        f"error: {url} is no place of claims: nobody has put any there, or it is not mounted\n",
    )
    place = place_of(url)
    place.put("0" * 64, b"old" * 1000, 1000)
    place.put("1" * 64, b"new", int(time.time()) + 1000)
    code, text = verb("list", url)
    assert code == 0 and "1970-01-01 00:16:40 UTC" in text and "2 blobs, 3.0 kB" in text
    code, text = verb("sweep", url)
    assert code == 0 and "1 blob, 3.0 kB" in text
    assert len(place.buckets()) == 1
    assert verb("list", "store")[0] == 5
    shutil.rmtree(tmp_path / "claims")
