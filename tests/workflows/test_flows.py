"""Flows by real workers, on each store: the right values, every construct, and each way in which one can end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regiment_workflows import FlowCancelled, FlowFailed, FlowGone, FlowTimeout, chain, flow, group, prev

from .conftest import Shop


def until(met: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_chains_groups_chords_and_maps_give_the_right_values(shop: Shop) -> None:
    app = shop.app
    shop.run(2)
    run = (app.fetch.s(url="a/b/c") | app.count.s()).start()
    assert run.result(timeout=40) == 3 and run.state() == "success"
    assert app.shop.flow(run.id).result(timeout=5) == 3
    assert chain(app.fetch.s("a/b"), app.join.s(words=prev["words"], by="-")).start().result(timeout=20) == "a-b"
    chord = group(app.square.s(n=n) for n in range(50)).then(app.total.s()).start()
    assert chord.result(timeout=30) == sum(n * n for n in range(50))
    assert chord.progress()[:4] == (2, 2, 50, 50)
    assert list(group(app.square.s(n=2), app.add.s(x=1, y=2)).start().result(timeout=20)) == [4, 3]
    mapped = app.square.map(range(250), chunk=100).then(app.total.s()).start()
    assert mapped.result(timeout=20) == sum(n * n for n in range(250))
    assert list(app.add.starmap([(1, 2), {"x": 3, "y": 4}]).start().result(timeout=20)) == [3, 7]
    assert list(app.add.map([1, 2], y=10).start().result(timeout=20)) == [11, 12]
    fanned = app.square.s(n=3) | group(app.add.s(y=1), app.add.s(y=2)) | app.total.s()
    assert fanned.start().result(timeout=20) == 21
    nested = group(app.square.s(n=2) | app.square.s(), app.square.s(n=3)) | app.total.s()
    assert asyncio.run(nested.start().aresult(timeout=20)) == 25
    assert (group([]) | app.total.s()).start().result(timeout=20) == 0
    assert app.square.map([]).start().result(timeout=20) == []


def test_a_step_that_returns_a_piece_is_continued_by_it(shop: Shop) -> None:
    app = shop.app
    shop.run(2)
    assert (app.grow.s(n=5) | app.add.s(y=1)).start().result(timeout=30) == 31
    run = (app.down.s(n=60) | app.after.s()).start()
    assert run.result(timeout=60) == "landed"
    assert len(run.plans()) == 61
    both = group(app.grow.s(n=n) for n in (2, 3)) | app.total.s()
    assert both.start().result(timeout=30) == 1 + 5


def test_a_graph_waits_for_its_gate_and_gives_each_step_what_it_needs(shop: Shop) -> None:
    app = shop.app
    shop.run(2)
    with flow("nightly") as f:
        page = f.add(app.fetch.s(url="x/y"), name="fetch")
        words = f.add(app.count.s(page=page))
        lost = f.add(app.broken.s(), name="thumb", on_error="continue")
        ok = f.gate("approval")
        f.add(app.kinds.s(values=[words, page["url"], lost]), after=[ok], name="publish")
    run = f.start(id=f"nightly.{shop.url[:5]}")
    again = f.start(id=run.id)
    assert again.existed and not run.existed
    until(lambda: run.progress().done == 2)
    with pytest.raises(FlowTimeout):
        run.result(timeout=0.2)
    assert run.state() == "running" and {one.name: one.state for one in run.steps()}["publish"] == "waiting"
    assert run.open("approval", "yes") and not run.open("approval", "no")
    assert run.result(timeout=30) == [2, "x/y", "failure"]
    assert "fetch" in run.mermaid()


def test_a_flow_that_fails_says_why_and_tells_once_and_goes_on_when_it_is_retried(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, there, ledger = shop.app, tmp_path / "there", tmp_path / "ledger"
    shop.run(2, LEDGER=str(ledger))
    members = group(app.moody.s(path=str(there), n=1), app.moody.s(path=str(there), n=2), app.square.s(n=3))
    run = (members | app.total.s()).start(tell=app.tell.s())
    with pytest.raises(FlowFailed, match="LookupError") as failed:
        run.result(timeout=30)
    assert failed.value.step == "moody" and "in moody" in str(failed.value.__cause__.__cause__)  # type: ignore[union-attr]
    until(lambda: ledger.exists() and ledger.read_text().count("told LookupError") == 1)
    until(lambda: run.progress().failed >= 1 and all(one.failed in (0, 2) for one in run.steps()))
    there.touch()
    retried = run.retry()
    assert retried.result(timeout=30) == 12 and run.state() == "success"
    assert ledger.read_text().split()[:3] == ["told", "LookupError", "total"] and ledger.read_text().count("total") == 1


def test_a_cancelled_flow_starts_nothing_more(shop: Shop, tmp_path: Path) -> None:
    app, ledger = shop.app, tmp_path / "ledger"
    run = (group(app.counted.s(n=n) for n in range(20)) | app.total.s()).start()
    assert run.cancel() and run.cancel()
    shop.run(1, LEDGER=str(ledger))
    with pytest.raises(FlowCancelled):
        run.result(timeout=20)
    other = app.square.s(n=2).start()
    assert other.result(timeout=30) == 4
    assert not ledger.exists() and run.state() == "cancelled"
    with pytest.raises(FlowGone):
        app.shop.flow("never").result(timeout=1)


def test_what_runs_of_a_flow_that_is_cancelled_is_struck(local: Shop, tmp_path: Path) -> None:
    app, ledger = local.app, tmp_path / "ledger"
    local.run(2, LEDGER=str(ledger))
    run = (app.patient.s(seconds=60) | app.counted.s(n=prev)).start()
    until(lambda: ledger.exists() and "patient began" in ledger.read_text())
    assert run.cancel()
    until(lambda: "patient Cancelled" in ledger.read_text())
    with pytest.raises(FlowCancelled):
        run.result(timeout=20)
    with app.shop.broker.connector() as store:
        until(lambda: not store.board("shop").cancelled)
    assert ledger.read_text().split("\n") == ["patient began", "patient Cancelled", ""]


@pytest.mark.parametrize("policy", ["fail", "continue", "skip"])
@pytest.mark.parametrize("end", ["broken", "gives_up", "hangs", "dies", "expired", "unreadable"])
def test_each_bad_end_of_a_member_follows_its_policy(local: Shop, tmp_path: Path, policy: Any, end: str) -> None:
    app, ledger = local.app, tmp_path / "ledger"
    bad = app.square.s(n=7).options(expires=-1) if end == "expired" else None
    if end == "unreadable":
        bad = app.square.s(n=7).options(priority="LOW")
    bad = bad or getattr(app, end).s()
    members = group(app.square.s(n=1), bad, on_error=policy)
    with flow() as f:
        values = f.add(members, name="members")
        f.add(app.kinds.s(values=values), name="kinds")
        f.add(app.after.s(value=1), name="beside")
    if end == "unreadable":
        _spoil(app, monkey := pytest.MonkeyPatch())
    run = f.start()
    if end == "unreadable":
        monkey.undo()
    local.run(1, LEDGER=str(ledger), DELIVERIES="1")
    if policy == "fail":
        with pytest.raises(FlowFailed):
            run.result(timeout=40)
        assert not ledger.exists() or "kinds" not in ledger.read_text()
        return
    found = run.result(timeout=40)
    if policy == "continue":
        kind = {"broken": "failure", "gives_up": "fail", "hangs": "timeout", "dies": "poison"}.get(end, end)
        assert found == {"kinds": [1, kind], "beside": 1} and run.state() == "success"
    else:
        assert found == {"kinds": None, "beside": 1} and run.state() == "partly"
        assert "kinds" not in ledger.read_text()


def _spoil(app: Any, monkey: pytest.MonkeyPatch) -> None:
    """What is pushed with a low priority cannot be read: its body says something else than a record."""
    from zlib import crc32

    from regiment.codec import Codec, read_head

    whole = Codec.encode

    def encode(self: Codec, task: Any) -> bytes:
        made = whole(self, task)
        if task.kwargs == {"n": 7}:
            made = made[: read_head(made).body] + b"\xc1\xc1"
            made += crc32(made).to_bytes(4, "little")
        return made

    monkey.setattr(Codec, "encode", encode)


def test_a_value_that_a_later_step_wants_and_that_is_too_large_fails_its_own_step(local: Shop) -> None:
    local.run(1)
    with pytest.raises(FlowFailed, match="limit is 10,000") as failed:
        (local.app.large.s(size=20_000) | local.app.after.s()).start().result(timeout=30)
    assert failed.value.step == "large"
