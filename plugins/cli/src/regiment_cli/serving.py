"""How many workers serve a queue, according to their keepers' records in the store."""

from __future__ import annotations

import json
import os

from regiment.contracts import Connector


def serving(connector: Connector) -> dict[str, tuple[int, float]]:
    """Queue -> how many workers serve it now and how many tasks a second they end, from their keepers' records."""
    found: dict[str, tuple[int, float]] = {}
    here = os.uname().nodename
    for data in connector.presence().values():
        try:
            record = json.loads(data)
            if record["host"] == here and not os.path.exists(f"/proc/{int(record['pid'])}"):
                continue  # a record outlives its tree by up to one lease
            for worker in record["workers"]:
                workers, rate = found.get(worker["queue"], (0, 0.0))
                found[worker["queue"]] = workers + 1, rate + float(worker.get("rate", 0.0))
        except Exception:
            continue  # a record of another release, or a foreign one: it must not hide the others
    return found
