"""A supervisor and its keepers, one after another: who is told of an end whose keeper was taken down by a hook."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.wait import eventually
from regiment_runner.supervisor.keeping import Keeping

Body = Callable[[socket.socket, Path], None]
SPEC: dict[str, Any] = {"queue": "q"}


def say(channel: socket.socket, *messages: dict[str, Any]) -> None:
    for message in messages:
        channel.send(json.dumps(message).encode())


def untold(name: str, left: int = 1) -> dict[str, Any]:
    return {"untold": name, "end": {"worker": name}, "spec": SPEC, "left": left}


def released(name: str, left: int = 1) -> dict[str, Any]:
    return {"released": name, "untold": untold(name, left)}


def bodies(folder: Path, *each: Body) -> Keeping:
    """What supervises a keeper that does the first of these, then one that does the next."""
    left = folder / "keepers"

    def body(channel: socket.socket, parent: int, poke: int, tag: int | None) -> None:
        number = left.stat().st_size if left.exists() else 0
        with left.open("ab") as file:
            file.write(b".")
        channel.setblocking(True)
        each[number](channel, folder)

    return Keeping(lambda: (), body=body)


def hears(channel: socket.socket, folder: Path) -> None:
    """Writes down what it hears, until it is to end."""
    while (heard := channel.recv(65536)) and b"bye" not in heard:
        with (folder / "heard").open("ab") as file:
            file.write(heard + b"\n")


def heard(folder: Path) -> list[dict[str, Any]]:
    path = folder / "heard"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_keeper_that_follows_is_told_of_the_ends_that_none_has_begun_to_tell(tmp_path: Path) -> None:
    def first(channel: socket.socket, folder: Path) -> None:
        say(channel, released("w1"), released("w2", 2), released("w3", 2))
        say(channel, {"telling": "w1", "left": 0}, {"telling": "w2", "left": 1})
        select.select([channel], [], [])  # and the hook ends the process, which has not read what it was told

    keeping = bodies(tmp_path, first, hears)
    keeping.start()
    keeping.doze(False)
    select.select([keeping.pidfd], [], [], 20)
    keeping.look(time.monotonic())
    assert sorted(keeping.receive()) == ["w1", "w2", "w3"], "its last words were heard"
    eventually(lambda: len(heard(tmp_path)) >= 2, 20, "the successor hears of them")
    assert heard(tmp_path) == [untold("w2", 1), untold("w3", 2)]
    keeping.stop(20)


@pytest.mark.parametrize("told", [False, True])
def test_at_the_end_a_keeper_that_a_hook_holds_up_has_one_successor_if_some_are_still_to_be_told(
    tmp_path: Path, told: bool
) -> None:
    def held(channel: socket.socket, folder: Path) -> None:
        say(channel, released("w1"), *([{"telling": "w1", "left": 0}] if told else []))
        (folder / "held").touch()
        time.sleep(600)

    keeping = bodies(tmp_path, held, hears)
    keeping.start()
    eventually(lambda: (tmp_path / "held").exists(), 20)
    keeping.receive()
    keeping.stop(2.0)
    assert (tmp_path / "keepers").stat().st_size == (1 if told else 2)
    assert heard(tmp_path) == ([] if told else [untold("w1")])
    os.close(keeping.poke)
