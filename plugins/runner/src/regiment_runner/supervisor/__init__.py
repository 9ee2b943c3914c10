"""The supervisor: it forks workers, reaps, strikes and signals; it holds no thread, no store, no application code."""

from __future__ import annotations

from regiment_runner.supervisor.supervisor import Supervisor

__all__ = ["Supervisor"]
