"""What this distribution offers. Loaded wherever garrison runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_connectors() -> Mapping[str, Offer]:
    return {
        "file": Offer(
            "garrison_file.connector:FileConnector",
            contract=1,
            summary="a folder, shared by the processes of one machine",
            schemes=("file",),
            trial={"path": "{folder}/store"},
        ),
    }
