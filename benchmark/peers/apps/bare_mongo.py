"""The limit on MongoDB: pymongo; one by one a claim and a delete, in batches one lease document for all of them. Low-water
mark in the query; majority and journal for pushes, w:1 for workers. It polls while it waits: a limit of work, not of waiting.
"""

from __future__ import annotations

import time
from typing import Any

import bare
import tasks
from pymongo import MongoClient, WriteConcern

ORDER = [("p", 1), ("s", 1)]
_pusher: Any = None
_pushed = 0


def collections(concern: WriteConcern) -> tuple[Any, Any]:
    """Of tasks and of leases."""
    client: MongoClient[dict[str, Any]] = MongoClient(tasks.STORE)
    database = client.get_database("bare", write_concern=concern)
    database.tasks.create_index([("q", 1), *ORDER], partialFilterExpression={"s": {"$exists": True}})
    return database.tasks, database.leases


def _documents(task: str, numbers: range, body: str) -> list[dict[str, Any]]:
    global _pusher, _pushed
    if _pusher is None:
        _pusher = collections(WriteConcern(w="majority", j=True))[0]
    first, _pushed = _pushed, _pushed + len(numbers)
    return [{"q": "q", "p": 1, "s": first + i, "b": bare.record(task, n, body)} for i, n in enumerate(numbers)]


def push(task: str, numbers: range, body: str) -> None:
    for document in _documents(task, numbers, body):
        _pusher.insert_one(document)


def push_many(task: str, numbers: range, body: str) -> None:
    documents = _documents(task, numbers, body)
    _pusher.insert_many(documents, ordered=False)


def work() -> None:
    """Until it is killed."""
    found, leases = collections(WriteConcern(w=1))
    mark, number = -1, 0
    while True:
        query = {"q": "q", "p": 1, "s": {"$gt": mark}}
        if bare.BATCH == 1:
            change = {"$set": {"o": "me"}, "$unset": {"s": 1}}
            one = found.find_one_and_update(query, change, sort=ORDER)
            got = [one] if one else []
            lease = None
        else:
            got = list(found.find(query, sort=ORDER, limit=-bare.BATCH, batch_size=bare.BATCH))
            if got:
                lease = leases.insert_one({"tasks": got}).inserted_id
                found.delete_many({"_id": {"$in": [task["_id"] for task in got]}})
        for task in got:
            number += 1
            bare.run_one(number, task["b"])
        if not got:
            time.sleep(0.001)
            continue
        mark = got[-1]["s"]
        if bare.BATCH == 1:
            found.delete_one({"_id": got[0]["_id"]})
        else:
            leases.delete_one({"_id": lease})


if __name__ == "__main__":
    work()
