"""How long after its time a tick starts, with an idle worker: a tick a second, on each store.

    python -m benchmark.ticks [--seconds 60] [sqlite redis mongo]

The task writes its own clock, which is the store's here: one machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import mongod, servers

APP = """
import os, time
from regiment import Queue
from regiment_schedules import schedule, tick

q = Queue("ticks", connector={url!r})

@q.task(schedules=[schedule(every=1.0)])
def note() -> None:
    late = time.time() - tick().timestamp()
    os.write(1, b"%.6f\\n" % late)
"""


@contextmanager
def _store(name: str, folder: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{folder}/q.db"
    elif name == "redis":
        with servers.address() as url:
            yield url
    else:
        with mongod.address() as url:
            mongod.empty(url, "ticks")
            yield mongod.with_database(url, "ticks")


def measured(name: str, seconds: float) -> list[float]:
    """Milliseconds after its time of each tick but the first five, which come while the tree starts."""
    with tempfile.TemporaryDirectory() as place, _store(name, Path(place)) as url:
        Path(place, "app.py").write_text(APP.format(url=url))
        command = [sys.executable, "-m", "regiment", "--log-format", "off", "run", "app"]
        with open(Path(place, "seen"), "wb") as seen:
            tree = subprocess.Popen(command, cwd=place, stdout=seen, env={**os.environ, "PYTHONUNBUFFERED": "1"})
            time.sleep(seconds + 5)
            tree.terminate()
            tree.wait(60)
        return [float(line) * 1000 for line in Path(place, "seen").read_text().split()][5:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", default=["sqlite", "redis", "mongo"], metavar="STORE")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    for name in given.stores:
        found = sorted(measured(name, given.seconds))
        if not found:
            raise SystemExit(f"{name}: no tick has come")
        late = found[int(len(found) * 0.99)]
        print(
            f"{name:<8}{len(found):>4} ticks  median {statistics.median(found):6.2f} ms  p99 {late:6.2f}  worst {found[-1]:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
