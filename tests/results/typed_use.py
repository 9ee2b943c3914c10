"""What type checkers are asked (`test_types.py`); nothing runs it."""

from __future__ import annotations

from typing import assert_type

from regiment import Pushed, Queue
from regiment_results import (
    Handle,
    ResultError,
    ResultQueue,
    Results,
    aas_completed,
    as_completed,
    await_all,
    handle,
    wait_all,
)

math = ResultQueue("math", plugins=[Results(ttl=60, by="queue")])


@math.task
def add(x: int, y: int) -> int:
    return x + y


@math.task(timeout=30, name="say")
def say(word: str, loud: bool = False) -> str:
    return word.upper() if loud else word


assert_type(add(1, 2), int)
assert_type(add.push(x=1, y=2), Handle[int])
assert_type(add.push(x=1, y=2).result(timeout=5), int)
assert_type(say.push("x", loud=True).result(), str)
assert_type(add.options(delay=3, result=600).push(x=1, y=2).result(), int)
pushed: Pushed = add.push(x=1, y=2)
assert_type(wait_all([add.push(x=1, y=2)]), list[int])
assert_type(wait_all([add.push(x=1, y=2)], errors="return"), list[int | ResultError])
for done in as_completed(add.push(x=n, y=n) for n in range(3)):
    assert_type(done, Handle[int])


async def later() -> None:
    assert_type(await add.push(x=1, y=2).aresult(timeout=5), int)
    assert_type((await add.apush(x=1, y=2)).result(5), int)
    assert_type((await add.options(delay=1).apush(x=1, y=2)).result(5), int)
    assert_type(await await_all([say.push("x")]), list[str])
    async for one in aas_completed([say.push("x")]):
        assert_type(one, Handle[str])


plain = Queue("plain", plugins=[Results()])


@plain.task
def twice(x: int) -> int:
    return 2 * x


assert_type(twice.push(x=1), Pushed)
handle(plain, "id").result(timeout=1)
math.handle("id").result(timeout=1)
