"""Sergeant's `broker`, of which nothing can be had here."""

from __future__ import annotations

from regiment_sergeant.refusing import refusing

__getattr__ = refusing(
    "broker",
    "a program pushes by its worker class, Crawl.push(url=…), or by a queue: regiment.Queue(name, connector=…)",
)
