"""The ways to a Redis: TLS with a client certificate, a Unix socket, and with or without hiredis."""

from __future__ import annotations

import secrets
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer, redis
from regiment.contracts import Done, Terms
from regiment.errors import StoreError, StoreUnavailable
from regiment_redis.connector import RedisConnector


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_release: str) -> Iterator[RedisServer]:
    path = tmp_path_factory.mktemp("redis") / "redis.sock"
    with redis("--unixsocket", str(path)) as server:
        yield server


def one_journey(url: str) -> None:
    """Push, lease, settle, wait and look."""
    store = RedisConnector(url)
    store.open("push")
    queue = secrets.token_hex(4)
    store.push(queue, [b"1", b"2" * 100_000], priority=1, token=queue)
    store.join(queue, "w", Terms())
    taken = store.exchange(queue, "w", 1, 1, [], 5, 1 << 20)
    assert [len(d.payload) for d in taken.deliveries] == [1, 100_000]
    assert store.exchange(queue, "w", 2, 3, [Done(1, 2)], 5, 1 << 20).deliveries == ()
    store.wait([(queue, "w")], 0.01)
    assert store.counts(queue).consumers == 1
    store.close()


def test_a_unix_socket_is_an_address(server: RedisServer) -> None:
    path = server.ask("CONFIG", "GET", "unixsocket")
    assert isinstance(path, list)
    one_journey(f"unix://{path[1].decode()}?db=1")
    with pytest.raises(StoreUnavailable, match="No such file"):
        RedisConnector("unix:///nowhere/redis.sock").open("push")


@contextmanager
def guarded(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """A port that speaks TLS and hands on what it hears to `port`."""
    listening = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listening.accept()
                try:
                    front = context.wrap_socket(plain, server_side=True)
                except OSError:
                    continue  # the client did not like us, or we not the client
                back = socket.create_connection(("127.0.0.1", port))
                for pair in ((front, back), (back, front)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def test_tls_asks_for_a_known_server_and_shows_its_own_certificate(server: RedisServer, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    ours = authority.issue_cert("worker.example")
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    shown = f"certificate={tmp_path}/cert.pem&key={tmp_path}/key.pem"
    with guarded(server.port, context) as port:
        one_journey(f"rediss://localhost:{port}/0?ca={tmp_path}/ca.pem&{shown}")
        for url, words in (
            (f"rediss://localhost:{port}/0?ca={tmp_path}/stranger.pem&{shown}", "certificate"),
            (f"rediss://127.0.0.1:{port}/0?ca={tmp_path}/ca.pem&{shown}", "certificate|127"),
            (f"rediss://localhost:{port}/0?ca={tmp_path}/ca.pem", "localhost"),
        ):
            with pytest.raises(StoreUnavailable, match=words):
                RedisConnector(url).open("push")
        with pytest.raises(StoreError, match=r"TLS files for .* cannot be read") as caught:
            RedisConnector(f"rediss://localhost:{port}/0?ca=/nowhere.pem").open("push")
        assert not isinstance(caught.value, StoreUnavailable)


def test_a_plain_address_needs_no_redis_py_which_would_slow_the_start_and_cost_each_tree_memory(
    server: RedisServer,
) -> None:
    """Unless hiredis is not here."""
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from regiment_redis.connector import RedisConnector
from regiment.contracts import Terms
connector = RedisConnector({server.url!r})
connector.open("push")
connector.join("q", "me", Terms(lease=30))
connector.push("q", [b"x"], priority=1, token="t")
assert connector.exchange("q", "me", 1, 1, [], 1, 1 << 20).deliveries
assert "redis" not in sys.modules, sorted(name for name in sys.modules if name.startswith("redis"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_without_hiredis_everything_goes_over_redis_py(server: RedisServer) -> None:
    script = f"""
import sys
sys.modules["hiredis"] = None
sys.path[:0] = {sys.path!r}
import test_redis_addresses
from regiment_redis import wire
assert wire.hiredis is None
test_redis_addresses.one_journey({server.url!r})
"""
    folder = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr
