"""Executors for garrison: where attempts run, and how many at once."""
