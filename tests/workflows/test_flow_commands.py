"""`regiment flows`: what people see and do, with real workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from regiment_workflows import flow, group

from .conftest import HERE, Shop
from .test_flows import until


def regiment(shop: Shop, *words: str, verb: str = "flows") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REGIMENT")} | {"STORE": shop.url}
    command = [sys.executable, "-m", "regiment", verb, *words]
    environment["REGIMENT_CONNECTOR"] = shop.url
    return subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_flows_are_listed_shown_opened_watched_retried_cancelled_tended_and_purged(local: Shop, tmp_path: Path) -> None:
    app, there = local.app, tmp_path / "there"
    with flow("nightly") as f:
        rows = f.add(app.square.map(range(30), chunk=10), name="rows")
        ok = f.gate("approval")
        f.add(app.moody.s(path=str(there)), name="import", after=[ok])
        f.add(app.total.s(values=rows), name="total")
    f.start(id="n-1")
    other = (group(app.square.s(n=n) for n in range(3)) | app.total.s()).start(id="other")
    local.run(1)
    until(lambda: other.state() == "success")
    told = regiment(local, "list")
    assert told.returncode == 0, told.stderr
    assert "n-1" in told.stdout and "nightly" in told.stdout and "other" in told.stdout
    listed = json.loads(regiment(local, "list", "--state", "running", "--json", "-q", "shop").stdout)
    assert [one["id"] for one in listed] == ["n-1"]
    shown = regiment(local, "show", "n-1", "-q", "shop")
    assert "waits for `regiment flows open n-1 approval`" in shown.stdout, shown.stderr
    assert "3 of 3" in shown.stdout and "import           waits for approval" in shown.stdout
    why = regiment(local, "n-1.import", "-q", "shop", verb="why")
    assert why.returncode == 0, why.stderr
    assert (
        "step import of the flow n-1, which is running: waits for approval (running); regiment flows show n-1"
        in why.stdout
    )
    assert why.stdout.startswith('task n-1.import of "shop" is not waiting there'), "the queue that is home of the flow"
    assert regiment(local, "show", "n-1", "-q", "shop", "--mermaid").stdout.startswith("flowchart LR")
    assert regiment(local, "show", "n-1", "-q", "shop", "--svg").stdout.startswith("<svg")
    assert "0 done again" in regiment(local, "tend", "n-1", "-q", "shop").stderr
    assert "opened" in regiment(local, "open", "n-1", "approval", "yes", "-q", "shop").stderr
    watched = regiment(local, "watch", "n-1", "-q", "shop", "--timeout", "30s")
    assert watched.returncode == 1 and "failed" in watched.stdout, watched.stderr
    document = json.loads(regiment(local, "show", "n-1", "-q", "shop", "--json").stdout)
    assert {one["name"]: one["state"] for one in document["steps"]}["import"] == "failed"
    there.touch()
    assert "runs again" in regiment(local, "retry", "n-1", "import", "-q", "shop").stderr
    until(lambda: app.shop.flow("n-1").state() == "success")
    assert "has ended already" in regiment(local, "cancel", "n-1", "-A", "shop:shop").stderr
    assert "forgot 0" in regiment(local, "purge", "--older", "1d").stderr
    assert "forgot 2" in regiment(local, "purge", "--older", "0s", "-q", "shop").stderr
    gone = regiment(local, "show", "n-1", "-q", "shop")
    assert gone.returncode != 0 and "nothing is known of a flow n-1" in gone.stderr
