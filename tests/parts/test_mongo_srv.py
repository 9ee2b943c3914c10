"""`mongodb+srv://`: the driver asks a name server, which is a thread here, for the members of a real set."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import Done, Terms
from regiment.errors import StoreError
from regiment_mongo.connector import MongoConnector

CLUSTER = "tasks.regiment.test"
MEMBER = "member.regiment.test"


class NameServer(threading.Thread):
    """Answers SRV and TXT questions for one cluster, over UDP; other names do not exist. A context manager."""

    def __init__(self, port: int, options: str) -> None:
        super().__init__(daemon=True)
        self._records = {
            (f"_mongodb._tcp.{CLUSTER}.", "SRV"): f"0 0 {port} {MEMBER}.",
            (f"{CLUSTER}.", "TXT"): f'"{options}"',
        }
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                return
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question)
            name, kind = question.question[0].name, question.question[0].rdtype
            record = self._records.get((name.to_text(), kind.name))
            if record is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            else:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind.name, record))
            self._socket.sendto(answer.to_wire(), client)

    def __enter__(self) -> NameServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self.join()
        self._socket.close()


@pytest.fixture(scope="module")
def one() -> Iterator[mongod.Cluster]:
    with mongod.cluster(replica_set="one") as made:
        yield made


@pytest.fixture
def names(one: mongod.Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process asks our name server, and finds the members' names on this machine."""
    ask: Any = socket.getaddrinfo

    def found(host: Any, *more: Any, **options: Any) -> Any:
        return ask("127.0.0.1" if host == MEMBER else host, *more, **options)

    with NameServer(one.members[0].port, "authSource=admin&replicaSet=one") as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        monkeypatch.setattr(socket, "getaddrinfo", found)
        yield


@pytest.mark.usefixtures("names")
def test_a_cluster_is_found_by_the_records_of_its_name() -> None:
    connector = MongoConnector(f"mongodb+srv://{CLUSTER}/srv?tls=false", timeout=5)
    connector.open("lease")
    assert connector.describe() == f"mongodb+srv://{CLUSTER}/srv"
    connector.push("q", [b"one", b"two"], priority=1, token=os.urandom(8).hex())
    connector.join("q", "me", Terms())
    taken = connector.exchange("q", "me", 1, 1, [], 10, 1 << 20)
    assert [delivery.payload for delivery in taken.deliveries] == [b"one", b"two"]
    assert not connector.exchange("q", "me", 2, 3, [Done(1, 2)], 10, 1 << 20).lost
    assert connector.counts("q")[:3] == (0, 0, 0)
    connector.close()


@pytest.mark.usefixtures("names")
def test_a_name_without_records_is_an_error_with_the_name() -> None:
    connector = MongoConnector("mongodb+srv://me:secret@nobody.regiment.test/srv", timeout=2)
    with pytest.raises(StoreError, match=r"nobody\.regiment\.test") as raised:
        connector.open("lease")
    assert "secret" not in str(raised.value)
    connector.close()
