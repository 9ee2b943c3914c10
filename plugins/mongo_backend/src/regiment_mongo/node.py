"""One cluster with all its verbs."""

from __future__ import annotations

from regiment_mongo.board import Boards
from regiment_mongo.enters import Enters
from regiment_mongo.glance import Glances
from regiment_mongo.keep import Keeps
from regiment_mongo.lease import Leases
from regiment_mongo.look import Looks
from regiment_mongo.marks import Marks
from regiment_mongo.releasing import Releases
from regiment_mongo.reviving import Revives
from regiment_mongo.slices import Histories


class Node(Revives, Marks, Leases, Releases, Looks, Glances, Boards, Keeps, Histories, Enters):
    """Tasks on one stand-alone server or replica set."""
