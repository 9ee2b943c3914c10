"""`Use("harness.tags:Flows")`: an extension that understands the tags "flows", and does nothing else."""

from __future__ import annotations


class Flows:
    """See the module."""

    understands = frozenset({"flows"})
