"""What this distribution offers. Loaded wherever regiment runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_serializers() -> Mapping[str, Offer]:
    target = "regiment_orjson.serializer:OrjsonSerializer"
    return {"orjson": Offer(target, contract=1, summary="JSON, by orjson")}
