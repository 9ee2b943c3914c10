"""Sergeant's `objects.Task`: regiment's task has the same fields, `kwargs`, `trace_id`, `date` and `run_count`, and more."""

from __future__ import annotations

from regiment import Task

__all__ = ["Task"]
