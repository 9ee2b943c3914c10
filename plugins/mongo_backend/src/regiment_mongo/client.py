"""The driver's client, made from a URL."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient


def make_client(url: str, timeout: float) -> MongoClient[dict[str, Any]]:
    """A client that has spoken to no server yet. `timeout`: seconds to find one, and to connect.

    What the URL says wins over `usual`. It does not win over what the connector is not correct without: how dates and
    UUIDs are read is set here, and read preference and concerns are named by every operation.
    """
    ms = int(timeout * 1000)
    usual: dict[str, Any] = {
        "serverSelectionTimeoutMS": ms,
        "connectTimeoutMS": ms,
        "maxPoolSize": 8,
        # A stream of the server's state would take a thread more for each server. Whoever meets an error asks for that
        # state at once, as he would with a stream.
        "serverMonitoringMode": "poll",
    }
    said = {pair.partition("=")[0].lower() for pair in url.partition("?")[2].split("&")}
    return MongoClient(
        url,
        appname="regiment",
        tz_aware=True,
        datetime_conversion="DATETIME",
        uuidRepresentation="unspecified",
        **{name: value for name, value in usual.items() if name.lower() not in said},
    )
