"""The offers of this distribution; a target is imported only when it is chosen."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_serializers() -> Mapping[str, Offer]:
    home = "regiment_serializers"
    return {
        "msgpack": Offer(f"{home}.msgpack:MsgpackSerializer", summary="small and fast; plain data"),
        "json": Offer(f"{home}.json:JsonSerializer", summary="readable; plain data"),
        "pickle": Offer(
            f"{home}.pickle:PickleSerializer",
            summary="any object; signed, by name",
            trial={"key": "no secret, for checks only"},
        ),
        "signed": Offer(
            f"{home}.signed:SignedSerializer",
            summary="msgpack, json or your own, signed with its queue and id",
            trial={"keys": ("no secret, for checks only",)},
        ),
    }
