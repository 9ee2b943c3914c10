"""`regiment run --metrics` and `--dashboard`: servers of real trees, which end, are replaced and are closed as the pages say."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.servers import free_port
from harness.tree import Tree
from harness.wait import alive, children, eventually
from metrics.scraping import scraped, value
from regiment.errors import ConfigError, PluginError
from regiment_runner.verbs import beside
from regiment_runner.verbs.beside import Asked, as_data, with_addresses

APP = """
import sys, time
from regiment import Queue
q = Queue("q", connector="sqlite:///{folder}/q.db", max_retries=0)
@q.task
def work(seconds: float = 0.0, what: str = ""):
    if what == "modules":
        print("modules", *(name for name in ("prometheus_client", "uvicorn", "starlette") if name in sys.modules), "end", flush=True)
    if what == "fail":
        raise ValueError("no")
    time.sleep(seconds)
"""
TOKEN = "correct-horse-battery"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    trees: list[Tree] = []

    def start(**options: Any) -> Tree:
        (tmp_path / "app.py").write_text(APP.format(folder=tmp_path))
        (tmp_path / "run").mkdir(mode=0o700, exist_ok=True)
        trees.append(Tree(tmp_path, tmp_path / "run", ["app:q"], tmp_path / "log", **options))
        return trees[-1]

    yield start
    for tree in trees:
        if tree.process.poll() is None:
            tree.kill()


def push(folder: Path, *words: str) -> None:
    line = [sys.executable, "-m", "regiment", "push", "app:work", *words]
    subprocess.run(line, cwd=folder, check=True, capture_output=True, timeout=60)


def listens(pid: int) -> set[int]:
    """The TCP ports at which a process has a socket that listens."""
    sockets = set[str]()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
            found.add(int(words[1].rpartition(":")[2], 16))
    return found


def page(port: int, path: str = "/", **headers: str) -> int:
    """The status of a page of the dashboard."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_a_tree_serves_what_it_counts_at_once_and_how_its_workers_ended(start: Any, tmp_path: Path) -> None:
    port = free_port()
    tree = start(metrics=f"127.0.0.1:{port}", workers=2)
    push(tmp_path)
    push(tmp_path, "what=fail")
    (worker, _) = tree.ready(2)
    eventually(
        lambda: value(port, "regiment_tasks_total", queue="q", task="work", outcome="success") == 1.0, 20, tree.text
    )
    eventually(
        lambda: value(port, "regiment_tasks_total", queue="q", task="work", outcome="dead") == 1.0, 20, tree.text
    )
    assert value(port, "regiment_workers", queue="q", state="idle") == 2
    eventually(lambda: value(port, "regiment_queue_tasks", queue="q", state="dead") == 1.0, 20, tree.text)
    memory = value(port, "regiment_worker_memory_bytes", queue="q")
    assert memory is not None and memory > 5e6
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: value(port, "regiment_worker_ends_total", queue="q", kind="crash") == 1.0, 20, tree.text)
    push(tmp_path, "seconds:=30")
    eventually(lambda: value(port, "regiment_tasks_running", queue="q") == 1.0, 20, tree.text)
    assert value(port, "regiment_workers", queue="q", state="busy") == 1


def test_no_worker_and_no_keeper_has_the_port_or_the_libraries_of_a_server(start: Any, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    tree = start(metrics=f"127.0.0.1:{ports[0]}", dashboard=f"127.0.0.1:{ports[1]}", preload=True)
    tree.ready()
    eventually(lambda: scraped(ports[0]) and page(ports[1]) == 200, 20, tree.text)
    (worker,) = tree.workers()
    os.kill(worker, signal.SIGKILL)  # the next one is forked after the servers
    eventually(lambda: tree.workers() not in ([], [worker]), 20, tree.text)
    held = {pid: listens(pid) for pid in [tree.pid, *children(tree.pid)] if alive(pid)}
    assert sorted(ports) == sorted(port for found in held.values() for port in found), "each in one process"
    assert not held[tree.pid] and not held[json.loads((tree.folder / "tree.json").read_text())["keeper"]]
    assert not any(held[pid] for pid in tree.workers())
    push(tmp_path, "what=modules")
    eventually(lambda: "modules end" in tree.text(), 20, tree.text)


def test_a_server_that_is_killed_is_replaced_and_a_task_does_not_notice(start: Any, tmp_path: Path) -> None:
    port = free_port()
    tree = start(metrics=f"127.0.0.1:{port}")
    tree.ready()
    push(tmp_path)
    eventually(
        lambda: value(port, "regiment_tasks_total", queue="q", task="work", outcome="success") == 1.0, 20, tree.text
    )
    push(tmp_path, "seconds:=4")
    (server,) = (pid for pid in children(tree.pid) if alive(pid) and listens(pid) == {port})
    os.kill(server, signal.SIGKILL)
    assert tree.event("service.replaced")["pid"] == server
    eventually(
        lambda: value(port, "regiment_tasks_total", queue="q", task="work", outcome="success") == 2.0, 30, tree.text
    )
    assert not tree.events("worker.crashed") and not tree.events("keeper.replaced")


def test_servers_end_with_their_tree_though_streams_are_open(start: Any, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    tree = start(metrics=f"127.0.0.1:{ports[0]}", dashboard=f"127.0.0.1:{ports[1]}")
    tree.ready()
    eventually(lambda: scraped(ports[0]) and page(ports[1]) == 200, 20, tree.text)
    with contextlib.ExitStack() as open_ones:
        held = open_ones.enter_context(socket.create_connection(("127.0.0.1", ports[0])))
        held.sendall(b"GET /metrics HTTP/1.1\r\n")
        stream = open_ones.enter_context(socket.create_connection(("127.0.0.1", ports[1])))
        stream.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{ports[1]}\r\n\r\n".encode())
        stream.recv(1)
        began = time.monotonic()
        assert tree.stop() == 0
        assert time.monotonic() - began < 5, "about half a second, and more on a busy machine"
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_servers_die_with_a_supervisor_that_is_killed(start: Any) -> None:
    port = free_port()
    tree = start(metrics=f"127.0.0.1:{port}")
    tree.ready()
    eventually(lambda: scraped(port), 20, tree.text)
    (server,) = (pid for pid in children(tree.pid) if alive(pid) and listens(pid) == {port})
    tree.kill()
    eventually(lambda: not alive(server), 10, "the kernel ends it")


def test_with_a_token_nobody_reads_or_acts_without_it(start: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    ports = free_port(), free_port()
    tree = start(
        metrics=f"0.0.0.0:{ports[0]}",
        metrics_token=tmp_path / "token",
        dashboard=f"0.0.0.0:{ports[1]}",
        dashboard_token=tmp_path / "token",
    )
    tree.ready()
    eventually(lambda: scraped(ports[0], TOKEN), 20, tree.text)
    assert scraped(ports[0]) is None and scraped(ports[0], TOKEN[:-1] + "z") is None
    eventually(lambda: page(ports[1], "/sign-in") or None, 20, tree.text)
    assert page(ports[1], "/static/style.css") == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/", timeout=20) as answer:
        assert "sign" in answer.url, "a stranger is asked to sign in"
    assert page(ports[1], "/", Host="evil.example") in (400, 403, 421)


def test_the_stores_queues_are_served_by_one_of_two_trees(start: Any, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    trees = [start(metrics=f"127.0.0.1:{port}") for port in ports]
    for tree in trees:
        tree.ready()
    push(tmp_path)
    for port, tree in zip(ports, trees, strict=True):
        eventually(lambda: value(port, "regiment_store_up") == 1.0, 20, tree.text)
    each = [value(port, "regiment_queue_tasks", queue="q", state="ready") for port in ports]
    assert sorted(one is None for one in each) == [False, True], "a sum over all trees is right"
    for port in ports:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/scale?queue=q", timeout=20) as answer:
            assert json.load(answer)["queue"] == "q", "an autoscaler may ask any"

    def success() -> float:
        return sum(
            value(port, "regiment_tasks_total", queue="q", task="work", outcome="success") or 0.0 for port in ports
        )

    eventually(lambda: success() == 1.0, 20, trees[0].text)


# What is refused


def run(folder: Path, *words: str, **variables: str) -> tuple[int, str]:
    """Exit code and what it says, of a `regiment run` that is refused."""
    (folder / "app.py").write_text(APP.format(folder=folder))
    done = subprocess.run(
        [sys.executable, "-m", "regiment", "run", *words, "app"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["metrics", "dashboard"])
def test_what_cannot_be_served_ends_the_start_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / "short").write_text("abc")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for words, code, text in [
            (
                [f"--{name}", address],
                5,
                f"cannot serve at {address}: Address already in use; name another: --{name} HO",
            ),
            (
                [f"--{name}", "0.0.0.0:9464"],
                5,
                f"--{name} 0.0.0.0:9464 is open to other hosts, and there is no token; ",
            ),
            ([f"--{name}=9464"], 5, f'--{name} is "9464"; expected HOST:PORT, such as {beside.SERVERS[name]}'),
            (
                [f"--{name}=127.0.0.1:0", f"--{name}-token", "short"],
                5,
                f"--{name}-token {tmp_path}/short holds 3 characters; expected 16 at least",
            ),
            ([f"--{name}-token", "short"], 2, f"--{name}-token is the token of --{name}, which is not there"),
            (["--solo", f"--{name}"], 2, f"--{name} is a supervisor's, and --solo has none"),
        ]:
            found, said = run(tmp_path, *words)
            assert (found, text in said) == (code, True), said
            assert "worker.ready" not in said
    code, said = run(tmp_path, f"--{name}", REGIMENT_NO_PLUGINS=name)
    assert code == 6 and f"--{name} is served by regiment-{name}, which is blocked: " in said


def test_without_the_distribution_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "registry", lambda: Nothing)
    with pytest.raises(PluginError) as refused:
        as_data([Asked("metrics", "127.0.0.1:9464", None)])
    text = "--metrics is served by regiment-metrics, which is not installed: pip install regiment-metrics"
    assert (str(refused.value), refused.value.exit_code) == (text, 6)


class Nothing:
    """An installation without plugins."""

    plugins = ()

    @staticmethod
    def offers(kind: str) -> dict[str, Any]:
        return {}


def test_an_address_that_is_no_address_of_this_host_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with pytest.raises(
        ConfigError, match=r"cannot serve at 192\.0\.2\.1:9464: Cannot assign requested address; name another"
    ):
        as_data([Asked("metrics", "192.0.2.1:9464", str(tmp_path / "token"))])


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("app --dashboard", "app --dashboard=127.0.0.1:8420"),
        ("--dashboard app:q --metrics", "--dashboard=127.0.0.1:8420 app:q --metrics=127.0.0.1:9464"),
        ("--dashboard [::1]:80 app", "--dashboard [::1]:80 app"),
        ("--metrics=host:1 app", "--metrics=host:1 app"),
        ("--metrics-token file app", "--metrics-token file app"),
    ],
)
def test_an_option_without_an_address_takes_no_target_for_one(line: str, read: str) -> None:
    assert with_addresses(line.split()) == read.split()
