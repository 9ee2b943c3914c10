"""Logging in to Redis: a password, a user with few rights, and TLS that the server itself speaks."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import pytest
import trustme

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer, free_port, redis
from regiment.contracts import Dead, Done, Terms
from regiment.errors import StoreError, StoreUnavailable
from regiment_redis.connector import RedisConnector

FEW = "~regiment:* +@all -@dangerous +info +role +client|id +client|unblock +script|load +evalsha +config|get"
"""Suffices for everything; docs/redis.md has less for each kind of user (`test_redis_rights`)."""


def one_journey(url: str) -> None:
    """Every kind of verb once."""
    store = RedisConnector(url)
    store.open("lease")
    queue = secrets.token_hex(4)
    store.push(queue, [b"1", b"2"], priority=1, token=queue, ids=["a", "b"])
    store.push(queue, [b"3"], priority=1, delay=60, token=queue + "d")
    store.join(queue, "w", Terms())
    assert len(store.exchange(queue, "w", 1, 1, [], 5, 1 << 20).deliveries) == 2
    store.exchange(queue, "w", 2, 3, [Done(1, 1), Dead(2, "t", b"{}")], 5, 1 << 20)
    assert store.wait([(queue, "w")], 0.05) == []
    assert store.renew([(queue, "w")], 30.0) == []
    assert len(store.dead(queue)) == 1 and store.revive(queue, {store.dead(queue)[0].id: None}) == 1
    assert (store.counts(queue).ready, store.counts(queue).delayed) == (1, 1)
    assert queue in store.queues() and len(store.peek(queue, "ready")) == 1
    store.post(queue, paused=True)
    assert store.board(queue).paused
    store.set("k", b"v", 5)
    assert store.get("k") == b"v" and store.delete("k")
    assert store.lock_take("l", "me", 5) and store.lock_free("l", "me")
    store.announce("here", b"x", 5)
    assert store.presence() == {"here": b"x"}
    store.release(queue, "w", [], {}, close=True)
    assert store.purge(queue) == 2
    store.warnings()
    store.close()


def test_a_user_with_few_rights_can_do_everything_and_one_without_is_told() -> None:
    with redis() as server:
        server.ask("ACL", "SETUSER", "worker", "on", ">pass-1", *FEW.split())
        server.ask("ACL", "SETUSER", "reader", "on", ">pass-2", "~regiment:*", "+@read", "+info")
        one_journey(f"redis://worker:pass-1@127.0.0.1:{server.port}/0")
        reader = RedisConnector(f"redis://reader:pass-2@127.0.0.1:{server.port}/0")
        with pytest.raises(StoreError, match="this user may not do that") as caught:
            reader.open("push")
        assert not isinstance(caught.value, StoreUnavailable)
        assert "pass-2" not in str(caught.value)


def test_a_password_alone_is_enough_where_the_server_asks_for_one() -> None:
    with redis() as server:
        server.ask("CONFIG", "SET", "requirepass", "pass-1")
        one_journey(f"redis://:pass-1@127.0.0.1:{server.port}/0")


def test_a_server_that_speaks_tls_itself_is_reached_with_a_certificate_of_ours(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    for name, host in (("server", "localhost"), ("worker", "worker.example")):
        made = authority.issue_cert(host)
        made.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    port = free_port()
    server = RedisServer(
        "--tls-port",
        str(port),
        "--tls-cert-file",
        f"{tmp_path}/server.pem",
        "--tls-key-file",
        f"{tmp_path}/server.key",
        "--tls-ca-cert-file",
        f"{tmp_path}/ca.pem",
    )
    try:
        try:
            server.start()
        except RuntimeError as error:
            if "tls-port" not in str(error):
                raise
            pytest.skip("SKIPPED WITHOUT PROOF: this redis-server was built without TLS")
        own = f"certificate={tmp_path}/worker.pem&key={tmp_path}/worker.key&ca={tmp_path}/ca.pem"
        one_journey(f"rediss://localhost:{port}/0?{own}")
        with pytest.raises(StoreUnavailable):
            RedisConnector(f"rediss://localhost:{port}/0?ca={tmp_path}/ca.pem").open("push")
    finally:
        server.remove()
