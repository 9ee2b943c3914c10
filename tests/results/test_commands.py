"""`regiment results`: show, wait and forget, with real workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

from .conftest import HERE, Shop


def regiment(
    shop: Shop, *words: str, connector: bool = True, verb: str = "results"
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REGIMENT")} | {"STORE": shop.url}
    if connector:
        environment["REGIMENT_CONNECTOR"] = shop.url
    command = [sys.executable, "-m", "regiment", verb, *words]
    return subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_results_are_shown_waited_for_and_forgotten(local: Shop) -> None:
    app = local.app
    done, failed = app.add.push(x=1, y=2), app.broken.push(word="nowhere")
    told = regiment(local, "show", done.id, "-q", "shop", "--json")
    assert json.loads(told.stdout)["state"] == "waiting", told.stderr

    local.run()
    told = regiment(local, "wait", done.id, "-q", "shop", "--timeout", "30s", "--json")
    document = json.loads(told.stdout)
    assert told.returncode == 0 and document["value"] == 3 and document["state"] == "success"
    assert set(document) >= {"id", "queue", "kind", "runs", "started", "ended", "seconds", "worker", "error"}

    told = regiment(local, "wait", failed.id, "-A", "shop:shop", connector=False)
    assert told.returncode == 1, told.stderr
    assert "LookupError: nowhere" in told.stdout and "in broken" in told.stdout and "failure" in told.stdout

    told = regiment(local, failed.id, "-q", "shop", verb="why")
    assert told.returncode == 0 and 'ended as failure at "shop"' in told.stdout, told.stderr
    assert f"LookupError: nowhere: regiment results show {failed.id} -q shop" in told.stdout

    late = threading.Timer(0.5, lambda: app.add.options(id="late").push(x=5, y=5))
    early = app.add.options(id="late2", delay=1.5).push(x=2, y=2)
    late.start()
    told = regiment(local, "wait", early.id, "-q", "shop")
    assert told.returncode == 0 and "value     4" in told.stdout
    late.join()

    told = regiment(local, "forget", done.id, "-q", "shop")
    assert told.returncode == 0 and "forgot" in told.stderr
    told = regiment(local, "show", done.id, "-q", "shop")
    assert told.returncode == 1 and "nothing is known of a task" in told.stderr


def test_a_wait_that_is_too_short_says_so(local: Shop) -> None:
    waiting = local.app.add.push(x=1, y=2)
    told = regiment(local, "wait", waiting.id, "--timeout", "200ms")
    assert told.returncode == 1 and "no outcome within 0.2 s" in told.stderr


def test_a_store_that_keeps_no_effects_is_refused_in_words(local: Shop) -> None:
    (local.folder / "bare.py").write_text(
        "from regiment import Queue, Use\n"
        "from regiment_local.memory.connector import MemoryConnector\n"
        "class Without(MemoryConnector):\n"
        "    capabilities = MemoryConnector.capabilities._replace(extras=frozenset())\n"
        "bare = Queue('bare', connector=Use('bare:Without'))\n"
        "@bare.task\ndef work() -> None: ...\n"
    )
    told = regiment(local, "show", "x", "-A", "bare:bare", "--app-dir", str(local.folder), connector=False)
    assert told.returncode == 5 and 'does not keep "effects", which regiment results needs' in told.stderr
