"""A table in chunks: a map over its parts and a reduction, with progress, on regiment; and the same on Dask beside it.

    python examples/table.py

makes a table with pandas, starts two workers, draws how many chunks are there, and prints the mean of each shop; then the same by Dask, if its
`distributed` is installed. It needs pandas: `pip install pandas "regiment[dask]"`.

No table travels in a message: a task gets the number of its first row, reads its chunk itself, and returns what that comes to.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy
import pandas

from regiment_workflows import FlowQueue, Run

tables = FlowQueue("tables", max_retries=2)
ROWS, CHUNK = 200_000, 10_000
STARTS = range(0, ROWS, CHUNK)
TABLE = Path("sales.pickle")
Part = dict[str, list[float]]
"""Shop -> [sum, count]: plain data, as every argument and result of a task."""


def make() -> None:
    """The table. In earnest it is a Parquet file, of which each task reads a row group."""
    dice = numpy.random.default_rng(7)
    shops = numpy.array(["north", "south", "west"])[dice.integers(0, 3, ROWS)]
    pandas.DataFrame({"shop": shops, "amount": dice.gamma(2.0, 50.0, ROWS)}).to_pickle(TABLE)


def part_of(start: int) -> Part:
    """What one chunk comes to."""
    chunk = pandas.read_pickle(TABLE).iloc[start : start + CHUNK]  # noqa: S301  we have just written it
    sums = chunk.groupby("shop")["amount"].agg(["sum", "count"])
    return {str(shop): [float(row["sum"]), float(row["count"])] for shop, row in sums.iterrows()}


def means_of(parts: Sequence[Part]) -> dict[str, float]:
    """What all of them come to: the mean of each shop."""
    sums = pandas.concat([pandas.DataFrame(part, index=["sum", "count"]).T for part in parts]).groupby(level=0).sum()
    return {str(shop): round(float(row["sum"] / row["count"]), 6) for shop, row in sums.iterrows()}


@tables.task(timeout=60)
def summed(start: int) -> Part:
    return part_of(start)


@tables.task
def means(parts: Sequence[Part]) -> dict[str, float]:
    return means_of(parts)


def watch(run: Run[dict[str, float]]) -> dict[str, float]:
    """Draw how many chunks are there, until all are."""
    while (at := run.progress()).arrived < at.members:
        print(f"{at.arrived} of {at.members} chunks", flush=True)
        time.sleep(0.3)
    return run.result(timeout=60)


def on_regiment() -> dict[str, float]:
    """Whatever is killed meanwhile, the flow ends; it is there under its id for every process that asks."""
    here = str(Path(__file__).parent)
    workers = subprocess.Popen([sys.executable, "-m", "regiment", "run", "table:tables=2", "--app-dir", here])
    try:
        return watch((summed.map(STARTS, chunk=1).then(means.s())).start())
    finally:
        workers.terminate()
        workers.wait()


def on_dask() -> dict[str, float] | None:
    """The graph lives in the scheduler, and in this process."""
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError:
        return None
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        parts = client.map(part_of, STARTS)
        for number, _ in enumerate(as_completed(parts), start=1):  # type: ignore[no-untyped-call]
            if number % 5 == 0:
                print(f"{number} of {len(parts)} chunks on Dask", flush=True)
        answer: dict[str, float] = client.submit(means_of, parts).result()
        return answer


def main() -> None:
    make()
    print("regiment:", on_regiment(), flush=True)
    print("Dask:", on_dask() or "not installed")


if __name__ == "__main__":
    main()
