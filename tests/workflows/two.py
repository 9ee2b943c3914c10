"""An application on two queues; `STORE` says where its tasks live."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from regiment_workflows import FlowQueue, Workflows, group

how: dict[str, Any] = {"connector": os.environ["STORE"], "lease": 3.0, "push_timeout": 30}
one = FlowQueue("one", plugins=[Workflows(ttl=600)], **how)
two = FlowQueue("two", plugins=[Workflows(ttl=600)], **how)


@one.task
def square(n: int) -> int:
    return n * n


@two.task
def total(values: Sequence[int]) -> int:
    return sum(values)


@two.task
def grow(n: int) -> Any:
    return group(square.s(n=each) for each in range(n)) | total.s()


@one.task
def after(value: Any) -> Any:
    return value


@two.task
def broken() -> None:
    raise LookupError("no")
