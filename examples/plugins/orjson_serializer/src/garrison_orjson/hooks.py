"""What this distribution offers. Loaded wherever garrison runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_serializers() -> Mapping[str, Offer]:
    target = "garrison_orjson.serializer:OrjsonSerializer"
    return {"orjson": Offer(target, contract=1, summary="JSON, by orjson")}
