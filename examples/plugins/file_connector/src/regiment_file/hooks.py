"""What this distribution offers. Loaded wherever regiment runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_connectors() -> Mapping[str, Offer]:
    return {
        "file": Offer(
            "regiment_file.connector:FileConnector",
            contract=1,
            summary="a folder, shared by the processes of one machine",
            schemes=("file",),
            trial={"path": "{folder}/store"},
        ),
    }
