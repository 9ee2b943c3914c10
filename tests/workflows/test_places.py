"""A flow over two queues whose slots are on different nodes of a cluster: what goes to another place comes by the outbox."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.servers import cluster
from regiment_workflows import FlowFailed, flow, group

from .conftest import HERE


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with cluster(3) as members:
        url = members[0].url.replace("redis://", "redis+cluster://").rpartition("/")[0]
        monkeypatch.setenv("STORE", url)
        spec = importlib.util.spec_from_file_location("two", HERE / "two.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        runtime = tmp_path / "runtime"
        runtime.mkdir(mode=0o700)
        with (tmp_path / "log").open("wb") as out:
            tree = subprocess.Popen(
                [sys.executable, "-m", "regiment", "run", "two:one=1", "two:two=1", "--app-dir", str(HERE)],
                stdout=out,
                stderr=out,
                env={**os.environ, "STORE": url, "XDG_RUNTIME_DIR": str(runtime), "REGIMENT_TEST_LEASES": "1"},
            )
        deadline = time.monotonic() + 60
        while (tmp_path / "log").read_bytes().count(b"worker.ready") < 2:
            assert tree.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        try:
            yield module
        finally:
            tree.terminate()
            tree.wait(40)
            module.one.broker.close()
            module.two.broker.close()


@pytest.mark.slow
def test_a_flow_goes_from_place_to_place(app: Any) -> None:
    chord = group(app.square.s(n=n) for n in range(100)) | app.total.s() | app.after.s()
    run = chord.start()
    assert run.result(timeout=60) == sum(n * n for n in range(100))
    assert (app.grow.s(n=5) | app.after.s()).start().result(timeout=60) == 30
    large = (group(app.square.s(n=1) for n in range(2500)) | app.total.s()).start()
    assert large.result(timeout=120) == 2500
    with flow(on_error="skip") as f:
        bad = f.add(app.broken.s(), name="bad")
        f.add(app.after.s(value=bad), name="skipped")
        f.add(app.after.s(value=1), name="beside")
    skipped = f.start()
    assert skipped.result(timeout=60) == {"skipped": None, "beside": 1} and skipped.state() == "partly"
    with pytest.raises(FlowFailed, match="LookupError"):
        (group(app.broken.s(), app.square.s(n=2)) | app.after.s()).start().result(timeout=60)
