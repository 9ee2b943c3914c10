"""One cluster with all its verbs."""

from __future__ import annotations

from garrison_mongo.keep import Keeps
from garrison_mongo.lease import Leases
from garrison_mongo.look import Looks
from garrison_mongo.push import Pushes
from garrison_mongo.releasing import Releases
from garrison_mongo.wake import Waits


class Node(Pushes, Waits, Leases, Releases, Looks, Keeps):
    """Tasks on one stand-alone server or replica set."""
