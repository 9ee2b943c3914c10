"""What many queues, many dead letters and many viewers cost a store: what few do. The whole size is `python -m benchmark.dashboard_scale`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmark import dashboard_scale

from harness import servers

SIZE = dashboard_scale.Size(queues=40, ready=2000, dead=3000)


@pytest.fixture(params=["sqlite", "redis"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store with many queues, and their names."""
    if request.param == "redis":
        with servers.redis() as server:
            yield server.url, dashboard_scale.fill(server.url, SIZE)
    else:
        url = f"sqlite:///{tmp_path}/q.db"
        yield url, dashboard_scale.fill(url, SIZE)


def test_a_store_is_asked_three_times_a_second_at_most_whoever_looks(full: Any, tmp_path: Path) -> None:
    url, queues = full
    with dashboard_scale.dashboard(url, tmp_path) as served:
        dashboard_scale.known(served, SIZE.dead, 60)
        asked = dashboard_scale.looked(served, 20, dashboard_scale.pages_of(served, queues), window=6.0, looks=1)
        assert 1 < max(asked.verbs, asked.trips) <= 3, asked
