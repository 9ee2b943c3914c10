"""Sergeant's `killer`, of which nothing can be had here."""

from __future__ import annotations

from regiment_sergeant.refusing import refusing

__getattr__ = refusing(
    "killer", 'write Timeouts(timeout=…, grace_period=…) in WorkerConfig; regiment={"killer": …} chooses another one'
)
