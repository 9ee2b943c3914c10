"""What type checkers are asked (`test_flow_types.py`); nothing runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from regiment import Queue, Worker
from regiment_workflows import FlowQueue, Piece, Run, Step, Workflows, chain, flow, group, prev, s

shop = FlowQueue("shop", plugins=[Workflows(ttl=60)])
plain = Queue("plain", plugins=[Workflows()])


@shop.task
def size(path: str) -> int:
    return len(path)


@shop.task(timeout=30)
def say(number: int, word: str = "") -> str:
    return word * number


@plain.task
def other(word: str) -> bytes:
    return word.encode()


class Crawl(Worker):
    pass


def uses() -> None:
    assert_type(size.s(path="x"), Step[int])
    assert_type(size.s(path="x") | say.s(word="a"), Piece[str])
    assert_type((size.s(path="x") | say.s()).start(), Run[str])
    assert_type((size.s(path="x") | say.s()).start().result(timeout=5), str)
    assert_type(s(other, word="x").start().result(), bytes)
    assert_type(s(Crawl, url=prev), Step[Any])
    assert_type(size.map(["a", "b"], chunk=10), Piece[Sequence[int]])
    assert_type(size.map(["a"]).then(say.s(number=3)).start(), Run[str])
    assert_type(chain(size.s(path="x")), Piece[int])
    assert_type(group(size.s(path="x"), say.s(number=1)).start(), Run[Sequence[Any]])
    assert_type(size("x"), int)
    assert_type(shop.flow("x"), Run[Any])
    with flow("f") as f:
        page = f.add(size.s(path="x"))
        f.add(say.s(number=page), after=[page])
    f.start().cancel()
