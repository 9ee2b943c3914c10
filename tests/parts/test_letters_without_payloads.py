"""A list of dead letters brings reasons and no payloads; a replay brings payloads a part at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import mongod
from harness.servers import redis
from regiment.config import as_use
from regiment.contracts import Connector, Dead, Terms
from regiment.registry import registry
from regiment_console import groups, letters


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {
            "redis": stack.enter_context(redis()).url,
            "mongo": mongod.with_database(stack.enter_context(mongod.address()), "letters"),
        }


@pytest.fixture(params=["sqlite", "redis", "mongo"])
def store(request: pytest.FixtureRequest, servers: dict[str, str], tmp_path: Path) -> Iterator[Connector]:
    url = servers.get(request.param, f"sqlite:///{tmp_path}/queue.db")
    made: Connector = registry().build("connectors", as_use(url))
    made.open("lease")
    made.push("q", [b"x" * 200_000] * 20, priority=1, token="t")
    made.join("q", "c", Terms())
    taken = made.exchange("q", "c", 1, 1, [], 20, 10**9)
    reason = json.dumps({"kind": "failure", "error": "no"}).encode()
    dead = [Dead(one.receipt, f"t{one.receipt}", reason, one.payload) for one in taken.deliveries]
    made.exchange("q", "c", 2, 100, dead, 0, 0)
    yield made
    made.close()


def test_listing_brings_no_payload_and_replaying_brings_them_in_parts(
    store: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = letters.reasons(store, "q", 100)
    assert len(listed) == 20 and not any(letter.payload for letter in listed)
    assert [group["count"] for group in groups.grouped(store, ["q"])] == [20]
    chosen = letters.choose(store, "q", [])
    monkeypatch.setattr(letters, "BYTES", 1_000_000)
    sizes: list[int] = []
    revive = store.revive

    def counted(queue: str, fresh: Any) -> int:
        sizes.append(len(fresh))
        return revive(queue, fresh)

    monkeypatch.setattr(store, "revive", counted)
    done = letters.replay(store, "q", chosen, None, None)  # type: ignore[arg-type]  # nothing of ours to decode
    assert (done.revived, done.as_they_were) == (20, 20) and sizes == [5, 5, 5, 5]
    assert store.counts("q").ready == 20
    assert {len(one.payload) for one in store.peek("q", "ready")} == {200_000}
