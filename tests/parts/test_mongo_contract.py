"""The connector examination on MongoDB: stand-alone, a replica set of one, a set of three, two independent sets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from regiment.contracts import FLOW, Connector, Role
from regiment_mongo.connector import MongoConnector
from regiment_testing.contracts import ConnectorContract

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod

DATABASE = "examination"


@pytest.fixture(scope="module")
def three() -> Iterator[list[str]]:
    with mongod.cluster(3, replica_set="three") as made:
        yield [made.url]


@pytest.fixture(scope="module")
def two() -> Iterator[list[str]]:
    with ExitStack() as stack:
        made = [stack.enter_context(mongod.cluster(replica_set=name)) for name in ("left", "right")]
        yield [one.url for one in made]


class OnMongo(ConnectorContract):
    """What all layouts of servers share."""

    lanes_in_order = False

    @pytest.fixture
    def connect(self, urls: list[str]) -> Callable[[Role], Connector]:
        for url in urls:
            mongod.empty(url, DATABASE)
        nodes = [mongod.with_database(url, DATABASE) for url in urls]

        def connect(role: Role) -> Connector:
            made = (
                MongoConnector(nodes[0], timeout=10)
                if len(nodes) == 1
                else MongoConnector(nodes=nodes, spread="queue", timeout=10)
            )
            made.open(role)
            return made

        return connect


class TestStandAlone(OnMongo):
    capabilities = MongoConnector.capabilities

    @pytest.fixture
    def urls(self, mongo_alone: mongod.Cluster) -> list[str]:
        return [mongo_alone.url]


class TestSetOfOne(OnMongo):
    capabilities = MongoConnector.capabilities

    @pytest.fixture
    def urls(self, mongo_url: str) -> list[str]:
        return [mongo_url]


@pytest.mark.long
class TestSetOfThree(OnMongo):
    capabilities = MongoConnector.capabilities

    @pytest.fixture
    def urls(self, three: list[str]) -> list[str]:
        return three


@pytest.mark.long
class TestTwoClusters(OnMongo):
    """With `spread="queue"`: independent clusters cannot keep one order between them, nor count together."""

    capabilities = MongoConnector.capabilities._replace(extras=MongoConnector.capabilities.extras - {FLOW})

    @pytest.fixture
    def urls(self, two: list[str]) -> list[str]:
        return two
