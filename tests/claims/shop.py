"""The application of these tests: its store and its place of claims come from the environment."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from regiment import Backoff, Retry, current
from regiment_claims import Claims
from regiment_results import Results
from regiment_workflows import FlowQueue, Workflows

PLACE = os.environ.get("CLAIMS", "memory://shop")
TTL, LETTER_TTL = float(os.environ.get("CLAIMS_TTL", "3600")), float(os.environ.get("CLAIMS_LETTER_TTL", "7200"))
PLUGINS = [
    Claims(
        PLACE,
        above=10_000,
        ttl=TTL,
        letter_ttl=LETTER_TTL,
        options=json.loads(os.environ["CLAIMS_OPTIONS"]) if "CLAIMS_OPTIONS" in os.environ else None,
    ),
    Results(),
    Workflows(),
]
if os.environ.get("CLAIMS_OFF"):
    PLUGINS = PLUGINS[1:]

shop = FlowQueue(
    "claims-shop", connector=os.environ["STORE"], lease=3.0, max_retries=2, backoff=Backoff(0.1), plugins=PLUGINS
)


@shop.task
def measure(data: bytes, label: str = "") -> list[object]:
    return [len(data), label, data[:1]]


@shop.task
def doubled(data: bytes) -> bytes:
    return data + data


@shop.task
def flaky(data: bytes, folder: str) -> int:
    if current().task.run_count == 0:
        (Path(folder) / "failed").touch()
        raise Retry(delay=0.5)
    return len(data)


@shop.task
def broken(data: bytes) -> None:
    raise ValueError(f"{len(data)} bytes are no good")


@shop.task
def slow(data: bytes, folder: str) -> int:
    (Path(folder) / f"started-{os.getpid()}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return len(data)
