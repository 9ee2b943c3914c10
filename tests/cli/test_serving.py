"""Which trees live, as their keepers say it in the store."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from harness.store import connector
from regiment_cli.serving import serving, trees


def test_two_records_of_one_host_and_process_hide_nothing(tmp_path: Path) -> None:
    with contextlib.closing(connector(f"sqlite:///{tmp_path}/q.db", "keep")) as store:
        for key, queue in (("a", "mail"), ("b", "crawl")):
            worker = {"pid": 7, "queue": queue, "tasks": 1, "rate": 2.0}
            record = {"host": os.uname().nodename, "pid": os.getpid(), "workers": [worker]}
            store.announce(key, json.dumps(record).encode(), 60)
        assert [tree.pid for tree in trees(store)] == [os.getpid()] * 2
        assert serving(store) == {"mail": (1, 2.0), "crawl": (1, 2.0)}
