"""The connector examination on MongoDB: stand-alone, a replica set of one, a set of three, two independent sets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from garrison.contracts import Connector, Role
from garrison.testing.contracts import ConnectorContract
from garrison_mongo.connector import MongoConnector

sys.path.insert(0, str(Path(__file__).parent.parent))
import mongod

DATABASE = "examination"


def emptied(url: str) -> None:
    """Nothing of an earlier check is left; the collections and their indexes stay, they take a second to make."""
    with MongoClient(url) as client:
        database: Any = client[DATABASE]
        for name in database.list_collection_names():
            if not name.endswith((".meta", ".wakes")):
                database[name].delete_many({})


@pytest.fixture(scope="module")
def alone() -> Iterator[list[str]]:
    with mongod.cluster() as made:
        yield [made.url]


@pytest.fixture(scope="module")
def one() -> Iterator[list[str]]:
    with mongod.cluster(replica_set="one") as made:
        yield [made.url]


@pytest.fixture(scope="module")
def three() -> Iterator[list[str]]:
    with mongod.cluster(3, replica_set="three") as made:
        yield [made.url]


@pytest.fixture(scope="module")
def two() -> Iterator[list[str]]:
    with ExitStack() as stack:
        made = [stack.enter_context(mongod.cluster(replica_set=name)) for name in ("left", "right")]
        yield [one.url for one in made]


ACROSS = {
    "test_a_revived_letter_is_ready_at_the_tail_of_its_priority",
    "test_again_with_a_priority_changes_it",
    "test_dead_makes_a_letter",
    "test_a_lower_priority_number_comes_first",
    "test_due_tasks_join_the_tail_of_their_priority_in_due_order",
    "test_processes_that_push_at_once_lose_nothing_and_keep_their_own_order",
    "test_letters_are_listed_newest_first_in_pages",
}
"""Checks that see an order over several pushes: independent clusters keep it each for itself, and not together."""


class OnMongo(ConnectorContract):
    """What all layouts of servers share."""

    @pytest.fixture
    def connect(self, urls: list[str]) -> Callable[[Role], Connector]:
        for url in urls:
            emptied(url)
        nodes = [
            url.replace("/?", f"/{DATABASE}?") if "/?" in url else url + DATABASE for url in urls
        ]

        def connect(role: Role) -> Connector:
            made = (
                MongoConnector(nodes[0], timeout=10)
                if len(nodes) == 1
                else MongoConnector(nodes=nodes, timeout=10)
            )
            made.open(role)
            return made

        return connect


class TestStandAlone(OnMongo):
    capabilities = MongoConnector.capabilities

    @pytest.fixture
    def urls(self, alone: list[str]) -> list[str]:
        return alone


class TestSetOfOne(OnMongo):
    capabilities = MongoConnector.capabilities

    @pytest.fixture
    def urls(self, one: list[str]) -> list[str]:
        return one


@pytest.mark.slow
class TestSetOfThree(OnMongo):
    capabilities = MongoConnector.capabilities

    @pytest.fixture
    def urls(self, three: list[str]) -> list[str]:
        return three


@pytest.mark.slow
class TestTwoClusters(OnMongo):
    capabilities = MongoConnector.capabilities

    @pytest.fixture
    def urls(self, two: list[str], request: pytest.FixtureRequest) -> list[str]:
        if request.node.originalname in ACROSS:
            pytest.skip("independent clusters keep an order each for itself")
        return two
