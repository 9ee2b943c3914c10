"""One cluster and one tree for all tests of a module: what they do to it, they put right."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from dask_cluster.cluster import Cluster
from harness.site import Site
from harness.tree import Tree

APP = Path(__file__).with_name("far.py.txt")


class Ground(NamedTuple):
    """The application as its producer imports it, the cluster, the site and the tree."""

    app: ModuleType
    cluster: Cluster
    site: Site
    tree: Tree


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start_worker()
        made.start_worker()
        made.ready()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def ground(cluster: Cluster) -> Iterator[Ground]:
    folder = cluster.folder
    url = f"sqlite:///{folder}/queue.db"
    source = APP.read_text().replace("@URL@", url).replace("@DASK@", cluster.address)
    (folder / "far.py").write_text(source.replace("@LEDGER@", str(folder / "notes")))
    sys.path.insert(0, str(folder))
    try:
        with Site(folder, url, "rows") as site:
            app = importlib.import_module("far")
            yield Ground(app, cluster, site, site.tree("far:rows"))
            app.rows.broker.close()
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("far", None)
