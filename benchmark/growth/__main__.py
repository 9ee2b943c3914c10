"""One subject on one store, in the process that is measured: a line of JSON for each figure. `benchmark.measure.growth` starts it.

python -m benchmark.growth waiting redis://127.0.0.1:6379/0 PID '{"tasks": 10000}'
"""

from __future__ import annotations

import gc
import json
import sys

from benchmark.growth.meter import Meter
from benchmark.growth.sizes import Sizes
from benchmark.growth.subjects import SUBJECTS


def main(subject: str, url: str, pid: str, sizes: str) -> None:
    """Print what is found as soon as it is known."""
    meter = Meter(url, int(pid), Sizes(**json.loads(sizes)))
    gc.freeze()
    for what, size, figures in SUBJECTS[subject](meter):
        for name, value in figures.items():
            print(json.dumps([f"{what}|{size}|{name}", value]), flush=True)
    meter.store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
