"""The application of these tests; `STORE` says where its tasks live, `LEDGER` where they write what they did."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from regiment import Backoff, Fail, current
from regiment_workflows import Failed, FlowQueue, Piece, Workflows, group

shop = FlowQueue(
    "shop",
    plugins=[Workflows(ttl=600, limit=10_000)],
    connector=os.environ["STORE"],
    backoff=Backoff(first=0.05),
    lease=3.0,
    tasks_per_transaction=int(os.environ.get("BATCH", "1")),
    push_timeout=30,
    max_deliveries=int(os.environ.get("DELIVERIES", "5")),
)


def note(word: str) -> None:
    """Write a line that outlives this process."""
    path = os.environ.get("LEDGER")
    if path:
        out = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(out, f"{word}\n".encode())
        os.close(out)


@shop.task
def fetch(url: str) -> dict[str, Any]:
    return {"url": url, "words": url.split("/")}


@shop.task
def count(page: dict[str, Any]) -> int:
    return len(page["words"])


@shop.task
def join(words: Sequence[str], by: str) -> str:
    return by.join(words)


@shop.task
def square(n: int) -> int:
    return n * n


@shop.task
def patient(seconds: float) -> int:
    note("patient began")
    try:
        time.sleep(seconds)
    except BaseException as error:
        note(f"patient {type(error).__name__}")
        raise
    return 1


@shop.task(max_retries=20)
def counted(n: int) -> int:
    time.sleep(float(os.environ.get("NAP", "0")))
    note(f"run {n}")
    return n * n


@shop.task
def add(x: int, y: int) -> int:
    return x + y


@shop.task(max_retries=20)
def total(values: Sequence[int]) -> int:
    note(f"total {os.getpid()}")
    return sum(values)


@shop.task
def kinds(values: Sequence[Any]) -> list[Any]:
    note("kinds")
    return [value.kind if isinstance(value, Failed) else value for value in values]


@shop.task
def broken(word: str = "no") -> None:
    raise LookupError(word)


@shop.task
def gives_up() -> None:
    raise Fail(reason="no way")


@shop.task(timeout=0.3)
def hangs() -> None:
    time.sleep(60)


@shop.task
def dies() -> None:
    os.kill(os.getpid(), 9)


@shop.task
def moody(path: str, n: int = 0) -> int:
    """Fails as long as there is no file."""
    if not os.path.exists(path):
        raise LookupError(path)
    return n


@shop.task
def large(size: int) -> str:
    return "x" * size


@shop.task
def tell(failure: Any) -> None:
    note(f"told {failure.type}")


@shop.task
def grow(n: int) -> Piece[Any]:
    return group(square.s(n=one) for one in range(n)) | total.s()


@shop.task
def down(n: int) -> Any:
    return down.s(n=n - 1) if n else "landed"


@shop.task
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"


@shop.task
def after(value: Any) -> Any:
    note("after")
    return value


@shop.task(max_retries=20)
def page(at: int, size: int, last: int) -> Piece[Any]:
    """One page of a source; it dies the first time at each page."""
    seen = os.environ.get("SEEN", "")
    if seen and not os.path.exists(f"{seen}.{at}"):
        open(f"{seen}.{at}", "w").close()
        os.kill(os.getpid(), 9)
    part = group(counted.s(n=n) for n in range(at, min(at + size, last)))
    return part if at + size >= last else group(part, page.s(at=at + size, size=size, last=last))


@shop.task
def flat(values: Sequence[Any]) -> list[int]:
    found: list[int] = []
    while True:
        if values and isinstance(values[0], int):
            return [*found, *values]
        part, values = values
        found += part


@shop.task
def wraps(path: str, n: int) -> Any:
    return moody.s(path=path, n=n) if n else moody.s(path=path, n=0)


@shop.task
def takes() -> int:
    with current().take(10) as tasks:
        return len(tasks)
