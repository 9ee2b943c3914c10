"""Sergeant's `executor`, of which nothing can be had here."""

from __future__ import annotations

from regiment_sergeant.refusing import refusing

__getattr__ = refusing(
    "executor", 'write number_of_threads in WorkerConfig, or regiment={"executor": …} for another one'
)
