"""What a message may name: an offer that its queue reads, and nothing else. No name out of data reaches an import."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from architecture import house
from regiment import Queue
from regiment.build import make_codec
from regiment.codec import Codec
from regiment.config import Use, WorkerConfig
from regiment.errors import DecodeError
from regiment.hooks import Offer, hookimpl
from regiment.registry import Registry, registry
from regiment.task import Task
from regiment_runner.parts import check

KEY = "a secret of some length"
PICKLE = Use("pickle", key=KEY)


def codec(**settings: Any) -> Codec:
    config = WorkerConfig(name="q", **settings)
    return make_codec(config, registry().scope(config.plugins))


def envelope(serializer: str, compressor: str = "", body: bytes = b"x") -> bytes:
    data = bytes([0xA9, 1])
    for text in (serializer, compressor, "evil"):
        data += bytes([len(text)]) + text.encode()
    data += body
    return data + crc32(data).to_bytes(4, "little")


def refused(reader: Codec, payload: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        reader.decode(payload, "q")
    return caught.value


NO_OFFERS = (
    "os:abort",
    "trap_of_names:Trap",
    "trap_of_names:",
    "redis://x",
    "Msgpack",
    "../x",
    "x" * 33,
    "a.b",
    "a b",
    "\x1b[2J",
)


@pytest.mark.parametrize("name", NO_OFFERS)
@pytest.mark.parametrize("place", ["serializer", "compressor"])
@pytest.mark.parametrize("accept", [None, ("msgpack", PICKLE)], ids=["default", "listed"])
def test_a_name_out_of_a_message_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str, accept: Any
) -> None:
    (tmp_path / "trap_of_names.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    payload = envelope(name) if place == "serializer" else envelope("msgpack", name)
    error = refused(codec(accept=accept), payload)
    assert not error.parkable and "refused unread" in str(error) and "\x1b" not in str(error)
    assert "trap_of_names" not in sys.modules


def test_the_registry_looks_up_a_name_out_of_data_among_offers_only() -> None:
    reg = registry()
    assert reg.offered("serializers", "json").executes is False
    for name in (*NO_OFFERS, "unheard-of"):
        with pytest.raises(LookupError, match="is installed"):
            reg.offered("serializers", name)


def test_a_plugin_whose_name_no_message_can_bear_is_refused() -> None:
    class Plugin:
        @staticmethod
        @hookimpl
        def regiment_serializers() -> dict[str, Offer]:
            return {"My.Serializer": Offer("json:loads")}

    plugin = Registry([Plugin]).plugins[-1]
    assert (plugin.state, plugin.reason) == (
        "refused",
        "serializer 'My.Serializer' has a name that no message can bear; expected 1 to 32 of a-z, 0-9, _ and -",
    )


def message(**settings: Any) -> bytes:
    return codec(**settings).encode(Task("id-1", "q", "send", {"a": 1}, 1.5))


def test_a_queue_that_lists_only_pickle_reads_nothing_unsigned() -> None:
    reader = codec(serializer=PICKLE, accept=("pickle",))
    assert reader.decode(message(serializer=PICKLE), "q").kwargs == {"a": 1}
    for other in ("msgpack", "json"):
        error = refused(reader, message(serializer=other))
        assert not error.parkable
        assert str(error) == (
            f"the message was serialized by '{other}', and this queue accepts pickle; it was refused unread. Add it to "
            "accept if it may be read here"
        )


def test_without_accept_every_safe_serializer_is_read_and_pickle_only_where_it_is_configured() -> None:
    for reader in (codec(), codec(serializer="json"), codec(serializer=PICKLE)):
        for other in ("msgpack", "json"):
            assert reader.decode(message(serializer=other), "q").kwargs == {"a": 1}
    error = refused(codec(), message(serializer=PICKLE))
    assert not error.parkable and "which can execute code when it reads" in str(error)


def test_accept_may_name_a_serializer_with_its_options_for_a_queue_that_changes_over() -> None:
    reader = codec(accept=("msgpack", PICKLE))
    assert reader.decode(message(serializer=PICKLE), "q").kwargs == {"a": 1}
    assert reader.decode(message(), "q").kwargs == {"a": 1}
    assert not refused(reader, message(serializer="json")).parkable


def test_what_accept_lists_wrongly_is_said_before_a_worker_starts() -> None:
    def problems(**settings: Any) -> list[str]:
        return [problem.text for problem in check(Queue("q", **settings))]

    assert problems(accept=("msgpack", "json")) == []
    assert problems(accept=()) == [
        'accept is (); expected None or a tuple of serializers, each a name or Use("name", option=…)'
    ]
    assert problems(accept="msgpack")[0].startswith("accept is 'msgpack'; expected None or a tuple")
    assert problems(accept=("json",)) == [
        "accept is ('json',) and serializer is 'msgpack'; expected accept to list 'msgpack', or what this queue pushes "
        "is not read"
    ]
    assert 'no serializer named "jsom"' in problems(accept=("msgpack", "jsom"))[0]
    assert problems(accept=("msgpack", "pickle")) == ["serializer 'pickle' needs the option \"key\""]


def test_a_codec_like_a_message_is_made_of_what_the_queue_reads() -> None:
    from regiment.codec import read_head

    mine = codec()
    json = message(serializer="json")
    assert mine.like(read_head(json)).encode(mine.decode(json, "q")) == json
    for payload in (envelope("os:abort"), message(serializer=PICKLE)):
        with pytest.raises(DecodeError):
            mine.like(read_head(payload))


# The guard: `resolve`, `build` and `Use` import what they are told. Each place that calls them with anything else than a constant is
# listed here with the reason why no data can be behind it. Names out of data go through `Registry.offered`.
TRUSTED = {
    "regiment_runner.shared.scopes": "the connector of a target, as its worker or its supervisor has said",
    "regiment.registry": "itself",
    "regiment_cli.verbs": "a verb that the user typed",
    "regiment.build": "the configuration",
    "regiment_runner.parts": "the configuration",
    "regiment_runner.supervisor.hearing": "what the workers of its own configuration report",
    "regiment_console.config": "the configuration",
    "regiment_schedules.declared": "the configuration",
    "regiment_schedules.duty": "the connector of a target, as its worker has said",
    "regiment_console.plugins_show": "offers by the registry's own list",
    "regiment_testing.faults": "the configuration",
    "regiment_testing.bench": "the configuration",
    "regiment_testing.plugins_check": "offers by the registry's own list",
}


def callers() -> set[str]:
    found = set()
    for name, path in house.modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("resolve", "build", "_attribute"):
                found.add(name)
    return found


def test_only_places_that_hold_no_data_resolve_what_may_import() -> None:
    new = callers() - set(TRUSTED)
    assert not new, f"{new}: a name out of data goes through Registry.offered; if none is, list it"
    gone = set(TRUSTED) - callers()
    assert not gone, f"{gone}: resolve nothing any more; take them off the list"


@pytest.mark.parametrize(
    "module",
    [
        "regiment.codec",
        "regiment_console.store",
        "regiment_console.letters",
        "regiment_console.dead",
        "regiment_runner.verbs.trees",
        "regiment_runner.worker.taking",
    ],
)
def test_what_reads_data_can_import_nothing_by_name(module: str) -> None:
    tree = ast.parse(house.modules()[module].read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"import_module", "__import__", "resolve", "build", "Use", "as_use", "eval", "exec"}


def test_a_class_of_your_own_is_used_where_the_configuration_names_it_and_nowhere_else() -> None:
    mine = "regiment_serializers.json:JsonSerializer"
    payload = message(serializer=mine)
    assert codec(serializer=mine).decode(payload, "q").kwargs == {"a": 1}
    assert codec(accept=("msgpack", mine)).decode(payload, "q").kwargs == {"a": 1}
    assert "no name of an offer" in str(refused(codec(), payload))
