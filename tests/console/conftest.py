"""An operator's desk: a store with a queue in it, and the command line in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from regiment import Queue
from regiment.build import make_connector
from regiment.config import WorkerConfig
from regiment.contracts import Delivery, Settlement, Terms
from regiment_cli.main import main


class Answer(NamedTuple):
    """What a command said; without the line that names the store."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def send(to: str = "", password: str = "", user: dict[str, Any] | None = None) -> None: ...
def bill(number: int = 0) -> None: ...


class Desk:
    """A store under a URL, its queue "mail" with the tasks `send` and `bill`, and what an operator types."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self._capsys, self._opened = url, capsys, list[Any]()
        self.mail = Queue("mail", connector=url)
        self.send, self.bill = self.mail.task(send), self.mail.task(bill)
        self.store = self.open("lease")
        self._turns: dict[str, int] = {}
        self.killed = 0
        """How many were made dead letters."""

    def __call__(self, line: str, *more: str) -> Answer:
        """Run `regiment LINE MORE` here; stdin is no terminal."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*line.split(), *more, "--connector", self.url])
        said = self._capsys.readouterr()
        err = "\n".join(text for text in said.err.splitlines() if not text.startswith("store: "))
        return Answer(int(ended.value.code or 0), said.out, err)

    def open(self, role: Any) -> Any:
        """A connector of its own."""
        made = make_connector(WorkerConfig(name="mail", connector=self.url))()
        made.open(role)
        self._opened.append(made)
        return made

    def lease(self, consumer: str, limit: int = 1, *settlements: Settlement) -> list[Delivery]:
        """What a worker of this name is given."""
        if consumer not in self._turns:
            self.store.join("mail", consumer, Terms(poison_delays=(0.0, 60.0)))
        turn = self._turns[consumer] = self._turns.get(consumer, 0) + 1
        taken = self.store.exchange("mail", consumer, turn, turn * 100, settlements, limit, 1 << 20)
        return list(taken.deliveries)

    def serve(
        self,
        host: str = "web1",
        pid: int = 7,
        workers: int = 2,
        rate: float = 0.0,
        queue: str = "mail",
        worker: int = 0,
        **more: Any,
    ) -> None:
        """Say that a tree serves a queue, as its keeper would."""
        each = [
            {"worker": f"w{n}", "pid": (worker or pid + 1) + n, "queue": queue, "tasks": 0, "rate": rate}
            for n in range(workers)
        ]
        record = {"host": host, "pid": pid, "release": "", "workers": each, **more}
        self.store.announce(f"{host}:{pid}", json.dumps(record).encode(), 600.0)

    def states(self) -> dict[str, str]:
        """Id -> state of all tasks."""
        return {one["id"]: one["state"] for one in self("tasks --json").document["tasks"]}

    def acts(self) -> list[dict[str, Any]]:
        """What was kept of acts, newest first."""
        return [{k: v for k, v in one.items() if k != "at"} for one in self("audit mail --json").document["acts"]]

    def close(self) -> None:
        """Close all that is open."""
        for one in self._opened:
            one.close()
        self.mail.broker.close()


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk on SQLite, with a user and a host of known names."""
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    made = Desk(f"sqlite:///{tmp_path}/queue.db", capsys)
    yield made
    made.close()


@pytest.fixture
def me() -> str:
    """Who types here."""
    return f"ada@{os.uname().nodename}"
