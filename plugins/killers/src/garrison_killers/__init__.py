"""Killers for garrison: what stops a task that hangs."""
