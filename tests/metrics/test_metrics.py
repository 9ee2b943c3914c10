"""`regiment metrics` and `regiment scale`: what Prometheus and autoscalers are told, over real HTTP, of real stores."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from harness import servers
from harness.store import connector
from harness.wait import eventually
from regiment.contracts import OUTCOMES, Counts, Tallied, Terms
from regiment_metrics.exposing import ENDS, OF_TREE
from regiment_metrics.sampling import Sampler, Standing
from regiment_metrics.scaling import Damped, wanted

ROOT = Path(__file__).parents[2]


class Exporter:
    """One `regiment metrics`."""

    def __init__(self, url: str, folder: Path, *more: str) -> None:
        self.port = servers.free_port()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "regiment",
                "metrics",
                "--connector",
                url,
                "--listen",
                f"127.0.0.1:{self.port}",
                *more,
            ],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        said = [self.process.stderr.readline()]
        assert said[0] == f"serving http://127.0.0.1:{self.port}/metrics\n", said[0] + self.process.stderr.read()

    def get(self, path: str, token: str | None = None, method: str = "GET") -> tuple[int, str]:
        """Status and body."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """(name, labels…) -> value."""
        status, text = self.get("/metrics")
        assert status == 200
        families = text_string_to_metric_families(text)
        return {(s.name, *s.labels.values()): s.value for one in families for s in one.samples}

    def scale(self, query: str) -> tuple[int, Any]:
        status, text = self.get(f"/scale?{query}")
        return status, json.loads(text)


@contextlib.contextmanager
def exporter(url: str, folder: Path, *more: str) -> Iterator[Exporter]:
    made = Exporter(url, folder, *more)
    try:
        yield made
    finally:
        made.process.terminate()
        assert made.process.wait(20) == 0, made.process.stderr and made.process.stderr.read()


def fill(url: str) -> None:
    """Three ready, one delayed, two leased, one dead; and a queue that is paused."""
    from regiment.contracts import Dead

    store = connector(url, "lease")
    with contextlib.closing(store):
        store.push("mail", [b"x"] * 6, priority=1, token="a")
        store.push("mail", [b"x"], priority=1, delay=600, token="b")
        store.join("mail", "c", Terms(lease=600))
        store.exchange("mail", "c", 1, 1, [], 3, 1 << 20)
        store.exchange("mail", "c", 2, 4, [Dead(1, "id", b"{}")], 0, 1 << 20)
        store.post("other", paused=True)
        counts = [{"success": 5, "retry": 2}.get(outcome, 0) for outcome in OUTCOMES]
        store.record("mail", "a tree", 1, [Tallied("send", counts, 2500)])  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_queues_of_a_store_are_served(kind: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/q.db" if kind == "sqlite" else stack.enter_context(servers.address())
        fill(url)
        served = stack.enter_context(exporter(url, tmp_path))
        eventually(lambda: served.metrics()["regiment_store_up",] == 1, 20, "a look")
        found = served.metrics()
    states = {state: found["regiment_queue_tasks", "mail", state] for state in ("ready", "delayed", "leased", "dead")}
    assert states == {"ready": 3, "delayed": 1, "leased": 2, "dead": 1}
    assert found["regiment_queue_oldest_seconds", "mail"] > 0
    assert (found["regiment_queue_paused", "mail"], found["regiment_queue_paused", "other"]) == (0, 1)
    assert found["regiment_queue_load", "mail"] == 5
    assert found["regiment_queue_workers", "mail"] == 0
    ended = {outcome: found.get(("regiment_tasks_total", outcome, "mail", "send")) for outcome in OUTCOMES}
    zeros = dict.fromkeys(("failure", "timeout", "dead"), 0)
    assert ended == {**dict.fromkeys(OUTCOMES), **zeros, "success": 5, "retry": 2}, "what is alerted on begins at 0"
    assert found["regiment_tasks_seconds_total", "mail", "send"] == 2.5


def test_a_store_that_is_away_is_said_and_comes_back(tmp_path: Path) -> None:
    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        fill(url)
        with exporter(url, tmp_path, "--every", "200ms") as served:
            eventually(lambda: served.metrics()["regiment_store_up",] == 1, 20, "a look")
            server.kill()
            eventually(lambda: served.metrics()["regiment_store_up",] == 0, 20, "that it is away")
            assert not any(name[0].startswith("regiment_queue") for name in served.metrics()), "nothing stale is said"
            assert served.scale("queue=mail") == (503, {"error": "the store does not answer"})
            server.start()
            eventually(lambda: served.metrics()["regiment_store_up",] == 1, 30, "that it is back")


def test_an_autoscaler_is_told_a_number_and_what_it_comes_from(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    fill(url)
    with exporter(url, tmp_path) as served:
        eventually(lambda: served.metrics()["regiment_store_up",] == 1, 20, "a look")
        status, found = served.scale("queue=mail&target=60")
        assert status == 200
        assert {**found, "oldest": 0} == {
            "queue": "mail",
            "load": 5,
            "oldest": 0,
            "running": 2,
            "workers": 0,
            "wanted": 5,
        }
        assert served.scale("queue=nowhere") == (404, {"error": "no queue named 'nowhere'"})
        for bad in ("", "queue=mail&target=0", "queue=mail&target=nan", "queue=mail&target=x"):
            assert served.scale(bad)[0] == 400, bad


def test_who_has_no_token_reads_nothing_but_whether_it_lives(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery\n")
    with exporter(f"sqlite:///{tmp_path}/q.db", tmp_path, "--token-file", str(tmp_path / "token")) as served:
        for path in ("/metrics", "/scale?queue=mail", "/nothing"):
            assert served.get(path)[0] == 401, path
            assert served.get(path, "correct-horse-batterz")[0] == 401, path
        assert served.get("/metrics", "correct-horse-battery")[0] == 200
        assert served.get("/health")[0] == 200
        assert served.get("/metrics", "correct-horse-battery", method="POST")[0] == 405


def told(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and the last line of a command that ends by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "regiment", *words], cwd=folder, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.stdout.strip()


def test_what_cannot_be_served_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("abc")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for words, text in (
            (
                ("--listen", address),
                f"cannot serve at {address}: Address already in use; name another: --listen HOST:PORT",
            ),
            (
                ("--listen", "0.0.0.0:9464"),
                "--listen 0.0.0.0:9464 is open to other hosts, and there is no token; expected ",
            ),
            (("--listen", "9464"), '--listen is "9464"; expected HOST:PORT, such as 127.0.0.1:9464'),
            (("--every", "0"), "--every is 0 s; expected at least 0.1"),
            (("--token-file", "short"), "--token-file short holds 3 characters; expected 16 at least"),
        ):
            code, said = told(tmp_path, "metrics", *words)
            assert code == 5 and text in said, said


def test_a_person_is_told_the_number_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    fill(url)
    assert told(tmp_path, "scale", "mail", "--connector", url) == (0, "5")
    code, said = told(tmp_path, "scale", "male", "--connector", url)
    assert (code, said) == (1, 'error: no queue named "male". Did you mean "mail"? There are: mail, other')


def test_a_stop_ends_it_at_once_though_a_client_holds_a_connection(tmp_path: Path) -> None:
    with (
        exporter(f"sqlite:///{tmp_path}/q.db", tmp_path) as served,
        socket.create_connection(("127.0.0.1", served.port)),
    ):
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0


def test_of_a_client_that_sends_nothing_nothing_is_said(tmp_path: Path) -> None:
    with exporter(f"sqlite:///{tmp_path}/q.db", tmp_path) as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as idle:
            assert idle.recv(1) == b"", "it is given up"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.stderr is not None and served.process.stderr.read() == ""


@pytest.mark.parametrize(
    ("ready", "leased", "workers", "rate", "number"),
    [
        (0, 0, 4, 1.0, 0),
        (7, 0, 0, 0.0, 7),  # nobody has ended anything: a worker for each
        (600, 4, 4, 2.0, 41),  # half a task a second each, 604 within 30 s
        (1, 0, 4, 100.0, 1),
        (0, 4, 4, 400.0, 4),  # what runs is not cut off
        (7, 0, 1, float("nan"), 7),  # a record of a worker that makes no sense
    ],
)
def test_the_number_of_workers_follows_load_and_rate(
    ready: int, leased: int, workers: int, rate: float, number: int
) -> None:
    standing = Standing(Counts(ready=ready, leased=leased), workers, rate)
    assert wanted(standing, standing.load, 30.0) == number


def test_a_target_that_is_hardly_a_time_at_all_is_answered() -> None:
    assert wanted(Standing(Counts(ready=7), 1, 0.5), 7, 5e-324) == 7


def test_the_number_rises_at_once_and_falls_by_one_a_minute() -> None:
    now = [0.0]
    damped = Damped(lambda: now[0])
    assert damped.of("q", 10) == 10
    now[0] = 59.0
    assert damped.of("q", 0) == 10
    now[0] = 61.0
    assert damped.of("q", 0) == 9
    now[0] = 190.0
    assert damped.of("q", 0) == 7
    assert damped.of("q", 12) == 12


def test_the_load_is_the_most_of_two_minutes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    sampler = Sampler(lambda role: connector(url, role), 5.0)
    fill(url)
    sampler.sample()
    with contextlib.closing(connector(url, "push")) as store:
        store.purge("mail")
    sampler.sample()
    assert sampler.last.queues["mail"].load == 2
    assert sampler.most("mail") == 5


# What is shipped


def test_the_page_tells_each_metric_and_no_other(tmp_path: Path) -> None:
    table = re.findall(r"^\| `(regiment_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    url = f"sqlite:///{tmp_path}/q.db"
    fill(url)
    with exporter(url, tmp_path) as served:
        eventually(lambda: served.metrics()["regiment_store_up",] == 1, 20, "a look")
        of_tree = {*OF_TREE, *ENDS}
        assert sorted(table) == sorted({name[0] for name in served.metrics()} | of_tree)


def test_keda_reads_a_field_that_is_there(tmp_path: Path) -> None:
    objects = list(yaml.safe_load_all((ROOT / "examples/deploy/keda.yaml").read_text()))
    trigger = objects[1]["spec"]["triggers"][0]["metadata"]
    url = f"sqlite:///{tmp_path}/q.db"
    fill(url)
    with exporter(url, tmp_path) as served:
        eventually(lambda: served.metrics()["regiment_store_up",] == 1, 20, "a look")
        status, found = served.scale(trigger["url"].partition("?")[2])
    assert status == 200 and isinstance(found[trigger["valueLocation"]], int)
    assert os.path.basename(trigger["url"].partition("?")[0]) == "scale"
