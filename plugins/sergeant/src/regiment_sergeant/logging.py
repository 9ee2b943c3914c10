"""Sergeant's `logging`, of which nothing can be had here."""

from __future__ import annotations

from regiment_sergeant.refusing import refusing

__getattr__ = refusing(
    "logging",
    "give Logging(handlers=[…]) any handler of Python, such as one for Logstash; regiment run writes JSON to stderr",
)
