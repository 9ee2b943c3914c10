"""`Faulty`: each fault does what its name says, to any connector, in one process and across several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regiment.contracts import Connector, Done, StoreUnavailable
from regiment_local.memory import MemoryConnector
from regiment_testing.contracts.bench import Consumer, push
from regiment_testing.faults import Faulty, order


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    made = Faulty(MemoryConnector(name=str(tmp_path)))
    made.open("lease")
    yield made
    made.close()


def test_it_is_a_connector_with_the_capabilities_of_what_it_wraps(faulty: Faulty) -> None:
    assert isinstance(faulty, Connector)
    assert faulty.capabilities == MemoryConnector.capabilities


def test_a_lost_reply_was_executed_and_the_repeat_is_harmless(faulty: Faulty) -> None:
    faulty.order("push", "lost")
    with pytest.raises(StoreUnavailable) as lost:
        push(faulty, "q", b"a", token="t")
    assert lost.value.maybe_pushed
    push(faulty, "q", b"a", token="t")
    assert faulty.counts("q").ready == 1
    assert faulty.obeyed == [("push", "lost")]


def test_what_was_away_was_not_executed(faulty: Faulty) -> None:
    faulty.order("push", "away", times=2)
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as away:
            push(faulty, "q", b"a")
        assert not away.value.maybe_pushed
    assert faulty.counts("q").ready == 0


def test_a_duplicate_reaches_the_store_twice(faulty: Faulty) -> None:
    faulty.order("post", "twice")
    assert faulty.post("q", cancel=["x"]) == 1, "the second changed nothing, as promised"
    faulty.order("purge", "twice")
    push(faulty, "q", b"a")
    assert faulty.purge("q") == 0, "the first had purged"


def test_a_delay_comes_before_the_verb(faulty: Faulty) -> None:
    faulty.order("counts", "slow:0.2")
    start = time.monotonic()
    faulty.counts("q")
    assert time.monotonic() - start >= 0.2


def test_an_exchange_can_be_chosen_by_what_it_did(faulty: Faulty) -> None:
    worker = Consumer(faulty)
    faulty.order("exchange+", "lost")
    faulty.order("exchange-", "lost")
    assert not worker.exchange().deliveries
    push(faulty, "q", b"a")
    with pytest.raises(StoreUnavailable):
        worker.exchange()
    [delivery] = worker.repeat().deliveries
    worker.next += 1
    with pytest.raises(StoreUnavailable):
        worker.exchange(Done(delivery.receipt, delivery.receipt))
    assert not worker.repeat().lost
    assert [verb for verb, _ in faulty.obeyed] == ["exchange+", "exchange-"]


CHILD = """
import sys
from regiment.config import Use
from regiment.registry import registry
use = Use("regiment_testing.faults:Faulty", wrapped=sys.argv[1], orders=sys.argv[2])
connector = registry().build("connectors", use)
connector.open("push")
connector.push("q", [b"a"], priority=1, token="t")
"""


@pytest.mark.parametrize(("how", "arrived"), [("unsent", 0), ("killed", 1)])
def test_a_process_dies_between_two_steps_and_the_order_is_used_up(how: str, arrived: int, tmp_path: Path) -> None:
    url, orders = f"sqlite:///{tmp_path}/queue.db", tmp_path / "orders"
    path = order(orders, "push", how)
    command = [sys.executable, "-c", CHILD, url, str(orders)]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    assert not path.exists()
    connector = Faulty(url)
    connector.open("look")
    assert connector.counts("q").ready == arrived
    assert subprocess.run(command, timeout=60).returncode == 0
    assert connector.counts("q").ready == 1, "the same token"
    connector.close()
    assert not os.listdir(orders)


@pytest.mark.parametrize(
    ("verb", "how", "words"),
    [
        ("shove", "lost", "a connector has no verb 'shove'"),
        ("push", "gone", "how is 'gone'; expected one of lost, away, twice, slow, unsent, killed"),
        ("exchange+", "away", "so it can be lost or killed, not 'away'"),
    ],
)
def test_an_order_that_cannot_be_is_refused_in_words(faulty: Faulty, verb: str, how: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        faulty.order(verb, how)
