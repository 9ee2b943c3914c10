"""A nightly import as a flow: a map over a table in chunks, a gate for a person, a member that fails and is run again.

    python examples/nightly.py

starts two workers, draws how far the flow is, opens its gate, shows the failure, retries it, and prints the sum and the picture.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from regiment_workflows import FlowFailed, FlowQueue, Run, flow

imports = FlowQueue("imports")
ROWS, CHUNK = 5000, 250
READY = Path("prices.ready")


@imports.task
def amount(row: int) -> float:
    return row * 0.01


@imports.task
def prices() -> float:
    if not READY.exists():
        raise FileNotFoundError("the prices of today are not there yet")
    return 2.0


@imports.task
def report(amounts: Sequence[float], price: float) -> str:
    return f"{sum(amounts) * price:,.2f}"


def build(name: str) -> Run[str]:
    """One flow a night: started twice under one name, it is one flow."""
    with flow("nightly", deadline=3600) as f:
        amounts = f.add(amount.map(range(ROWS), chunk=CHUNK), name="amounts")
        price = f.add(prices.s(), name="prices")
        approved = f.gate("approval", timeout=1800)
        f.add(report.s(amounts=amounts, price=price), after=[approved], name="report")
    return f.start(id=name)


def watch(run: Run[str]) -> None:
    """Draw the progress until all chunks are there, or the flow has ended."""
    while True:
        at = run.progress()
        print(f"{at.arrived} of {at.members} chunks, {at.done} of {at.steps} steps, {at.failed} failed", flush=True)
        if at.arrived == at.members and at.failed:
            return
        time.sleep(0.3)


def main() -> None:
    READY.unlink(missing_ok=True)
    workers = subprocess.Popen(
        [sys.executable, "-m", "regiment", "run", "nightly:imports=2", "--app-dir", str(Path(__file__).parent)]
    )
    try:
        run = build(f"nightly-{time.time():.0f}")
        watch(run)
        try:
            run.result(timeout=30)
        except FlowFailed as failed:
            print(f"failed: {failed.step}: {failed.type}: {failed.message}")
        READY.touch()
        run.open("approval", "yes")
        print("the sum:", run.retry().result(timeout=60))
        print(run.mermaid())
    finally:
        workers.terminate()
        workers.wait()


if __name__ == "__main__":
    main()
