"""`regiment plugins check`: which promises hold, on the command line; a fault is found and told, and the exit code says so."""

from __future__ import annotations

import pytest

GREEDY = """
import zlib
from regiment.hooks import Offer, hookimpl

@hookimpl
def regiment_compressors():
    return {"greedy": Offer("greedy:Greedy"), "lazy": Offer("greedy:Lazy", trial={"level": 1})}

class Greedy:
    def compress(self, data):
        return zlib.compress(data)

    def decompress(self, data, limit):
        return zlib.decompress(data)

class Lazy:
    def __init__(self, level: int):
        self.level = level

    def compress(self, data):
        return zlib.compress(data, self.level)
"""

SHORT = """
from regiment.hooks import Offer, hookimpl
from regiment_local.memory import MemoryConnector

@hookimpl
def regiment_connectors():
    return {"short": Offer("short:Short")}

@hookimpl
def regiment_commands():
    return {"shorten": Offer("short:NOTHING")}

NOTHING = 1

class Short(MemoryConnector):
    capabilities = MemoryConnector.capabilities._replace(extras=frozenset())
"""

OBSERVER = """
from regiment.hooks import hookimpl

@hookimpl
def regiment_task_started(task):
    pass
"""


def test_a_sound_part_has_a_card_with_its_promises_and_figures(cli):
    answer = cli("plugins", "check", "zlib")
    assert answer.code == 0, answer.err
    assert "compressor zlib (compressors, regiment-compressors" in answer.out
    assert "12 of 12 promises hold" in answer.out
    assert "what is left of them:" in answer.out and "CPU of this process" in answer.out
    assert "gzip" not in answer.out, "one offer was asked for"


def test_a_fault_is_named_with_its_promise_and_why_and_exits_1(cli):
    cli.write("greedy.py", GREEDY)
    answer = cli("--plugin", "greedy", "plugins", "check", "greedy", "--json")
    assert answer.code == 1
    greedy, lazy = answer.document["parts"]
    failed = {one["check"]: one for one in greedy["promises"] if one["outcome"] == "fails"}
    bomb = failed["test_one_byte_more_than_the_limit_is_refused"]
    assert (
        bomb["promise"] == "A limit of one byte less than the data is refused, a limit of exactly their length is not."
    )
    assert "DID NOT RAISE" in bomb["why"]
    assert greedy["holds"] >= 3 and greedy["fails"] == len(failed)
    assert lazy["options"] == {"level": 1}
    assert lazy["fails"], "it has no decompress"
    text = cli("--plugin", "greedy", "plugins", "check", "greedy").out
    assert "fails: one byte more than the limit is refused. A limit of one byte less" in text


def test_a_connector_is_examined_on_a_store_of_its_own_only(cli):
    cli.write("short.py", SHORT)
    refused = cli("--plugin", "short", "plugins", "check", "short")
    assert refused.code == 6
    assert "connector 'short' is examined on a real store" in refused.err
    assert "{fresh}" in refused.err and "Never name a store that is in use" in refused.err


@pytest.mark.slow
def test_a_connector_is_examined_with_an_address_and_what_it_does_not_declare_is_not_asked(cli):
    cli.write("short.py", SHORT)
    checked = cli("--plugin", "short", "plugins", "check", "short", "--address", "memory:{fresh}", "--json")
    connector, command = checked.document["parts"]
    assert connector["fails"] == 0 and connector["holds"] > 100
    assert connector["capabilities"]["shared"] == {"declared": False, "shown_by": 0, "refuted_by": 0}
    assert {one["outcome"] for one in connector["promises"]} == {"holds"}
    assert command["name"] == "shorten" and command["fails"] == 1
    assert checked.code == 1, "the command is none"


def test_a_plugin_that_offers_no_part_says_where_to_look(cli):
    cli.write("watching.py", OBSERVER)
    answer = cli("--plugin", "watching", "plugins", "check", "watching")
    assert answer.code == 0
    assert "regiment plugins show watching" in answer.err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("nonesuch",), 6, 'no plugin, distribution or offer named "nonesuch"'),
        (("zlib", "--option", "color=red"), 2, "none of the parts has the option 'color'"),
        (("zlib", "--option", "level=many"), 5, "option level is 'many'; expected int"),
        (("zlib", "--option", "level"), 2, "'level' is no option; expected K=V"),
    ],
)
def test_what_cannot_be_examined_is_told_in_words(cli, args, code, words):
    answer = cli("plugins", "check", *args)
    assert answer.code == code
    assert words in answer.err


def test_without_pytest_it_says_what_to_install(cli):
    cli.write("site/pytest.py", "raise ImportError('not here')\n")
    answer = cli("plugins", "check", "zlib", PYTHONPATH=str(cli.folder / "site"))
    assert answer.code == 6
    assert "needs pytest: pip install 'regiment-testing[pytest]'" in answer.err


def test_options_of_a_part_are_given_by_hand(cli):
    card = cli("plugins", "check", "zlib", "--option", "level=1", "--json").document["parts"][0]
    assert card["options"] == {"level": 1} and card["fails"] == 0
