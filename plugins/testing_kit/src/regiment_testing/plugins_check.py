"""`regiment plugins check`: examines the offers of a distribution and prints a card."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from regiment import exits
from regiment.config import Use
from regiment.errors import ConfigError, PluginError, nearest
from regiment.hooks import Offer
from regiment.options import check_options, is_secret
from regiment.registry import Plugin, Registry, registry
from regiment_cli.options import json_option
from regiment_cli.printing import draw, put, say
from regiment_cli.terminal import show_json

if TYPE_CHECKING:
    from regiment_testing.examining import Result

EXAMINED = ("connectors", "serializers", "compressors", "executors", "killers", "extensions")


class Part(NamedTuple):
    """One thing to examine: an offer, and the options with which it is made."""

    kind: str
    name: str
    plugin: Plugin
    cls: Any
    options: dict[str, Any]


@click.command("check")
@click.argument("name")
@click.option("--address", metavar="URL", help="Where a connector's store is; for the option `url`.")
@click.option(
    "--option",
    "pairs",
    multiple=True,
    metavar="K=V",
    help="An option of the part; may be repeated.",
)
@click.option("--all", "every", is_flag=True, help="Name every promise, not only those that do not hold.")
@json_option
def command(name: str, address: str | None, pairs: tuple[str, ...], every: bool, as_json: bool) -> int:
    """Examine what an installed plugin offers, and print which promises hold.

    NAME is a distribution, a plugin, or one name that it offers. A connector is examined on a real store, empty for
    each check: write {fresh} where the store's own name stands (a database, a prefix), or {folder} for a file.
    """
    try:
        import pytest  # noqa: F401
    except ImportError:
        raise PluginError(
            "regiment plugins check runs tests and needs pytest: pip install 'regiment-testing[pytest]'"
        ) from None
    reg = registry()
    found = list(_offers(reg, name))
    given = dict(_pair(pair) for pair in pairs) | ({"url": address} if address else {})
    parts = [_part(reg, kind, offer, plugin, given) for kind, offer, plugin in found if kind in EXAMINED]
    _all_options_are_used(parts, given)
    cards = [_card(part, every=every, quiet=as_json) for part in parts]
    cards += [_command_card(reg, offer, plugin) for kind, offer, plugin in found if kind == "commands"]
    if as_json:
        show_json({"parts": cards})
    elif not cards:
        say(f"{name} offers no part; what its hooks are told: regiment plugins show {name}")
    return exits.BAD if any(card["fails"] for card in cards) else exits.OK


def _offers(reg: Registry, name: str) -> Iterator[tuple[str, tuple[str, Offer], Plugin]]:
    plugins = [one for one in reg.plugins if name in (one.name, one.distribution)]
    if not plugins:
        plugins = [one for one in reg.plugins if any(name in named for named in one.offers.values())]
    if not plugins:
        known = [word for one in reg.plugins for word in (one.distribution, one.name) if word]
        raise PluginError(
            f'no plugin, distribution or offer named "{name}".{nearest(name, known)} '
            f"There are: {', '.join(dict.fromkeys(known)) or 'none'}"
        )
    for plugin in plugins:
        if plugin.state != "ok":
            raise PluginError(f"the plugin {plugin.name} of {plugin.source} is {plugin.state}: {plugin.reason}")
        whole = name in (plugin.name, plugin.distribution)
        for kind, named in plugin.offers.items():
            yield from ((kind, (n, offer), plugin) for n, offer in named.items() if whole or n == name)


def _pair(pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{pair!r} is no option; expected K=V, as in prefix={{fresh}}", param_hint="--option")
    try:
        return key, json.loads(text)
    except ValueError:
        return key, text


def _part(reg: Registry, kind: str, named: tuple[str, Offer], plugin: Plugin, given: Mapping[str, Any]) -> Part:
    import inspect

    name, offer = named
    _, cls = reg.resolve(kind, Use(name))
    known = inspect.signature(cls).parameters
    asked = {option: value for option, value in given.items() if option in known}
    options = asked if "url" in asked else {**offer.trial, **asked}
    if kind == "connectors":
        _refuse_a_store_in_use(name, options)
    problems = check_options(f"{kind[:-1]} {name!r}", cls, options)
    if problems:
        raise ConfigError(problems)
    return Part(kind[:-1], name, plugin, cls, options)


def _refuse_a_store_in_use(name: str, options: Mapping[str, Any]) -> None:
    texts = [value for value in options.values() if isinstance(value, str)]
    if any("{fresh}" in text or "{folder}" in text for text in texts):
        return
    raise PluginError(
        f"connector {name!r} is examined on a real store, which has to be empty for each check, and nothing says where: "
        f"give --address or --option with {{fresh}} in the place of the store's own name, such as "
        f"--address '{name}://localhost/{{fresh}}' or --option 'prefix={{fresh}}', or --option 'path={{folder}}/store'. "
        f"Never name a store that is in use"
    )


def _all_options_are_used(parts: list[Part], given: Mapping[str, Any]) -> None:
    used = {option for part in parts for option in part.options}
    for option in given:
        if option not in used:
            what = "--address" if option == "url" else f"--option {option}"
            raise click.BadParameter(f"none of the parts has the option {option!r}", param_hint=what)


def _card(part: Part, *, every: bool, quiet: bool) -> dict[str, Any]:
    from regiment_testing.examining import examine
    from regiment_testing.figures import figures

    what = f"{part.kind} {part.name}"
    live = not quiet and sys.stderr.isatty()

    def told(done: int, total: int) -> None:
        if live:
            draw(f"{what}: {done} of {total}", "\r", "\n" * (done == total), stream=sys.stderr)

    results = examine(part.kind, part.cls, part.options, told)
    fails = [one for one in results if one.outcome == "fails"]
    # A part that breaks promises may raise or hang here, and its figures would mean nothing.
    measured = [] if fails else figures(part.kind, part.cls, part.options)
    card: dict[str, Any] = {
        "kind": part.kind,
        "name": part.name,
        "plugin": part.plugin.name,
        "source": part.plugin.source,
        "options": {key: "***" if is_secret(part.cls, key) else value for key, value in part.options.items()},
        "holds": sum(one.outcome == "holds" for one in results),
        "fails": len(fails),
        "not_asked": sum(one.outcome == "not asked" for one in results),
        "seconds": round(sum(one.seconds for one in results), 1),
        "capabilities": _capabilities(part, results),
        "figures": [{"what": one.what, "value": one.value, "unit": one.unit, "cpu": one.cpu} for one in measured],
        "promises": [one._asdict() for one in results],
    }
    if not quiet:
        put("\n".join([*_lines(card, results, every), *(f"  {one}" for one in measured)]) + "\n")
    return card


def _capabilities(part: Part, results: list[Result]) -> dict[str, Any]:
    """What it declares, and whether the checks for that hold."""
    from regiment_testing.examining import CONTRACTS

    if part.kind != "connector":
        told = {"serializer": ["executes"], "executor": ["place", "is_async", "slots"], "killer": ["softens", "ends"]}
        values = {one: getattr(part.cls, one, None) for one in told.get(part.kind, [])}
        return {
            one: sorted(value) if isinstance(value, frozenset) else value
            for one, value in values.items()
            if value is not None
        }
    outcomes = {one.check: one.outcome for one in results}
    found: dict[str, Any] = {}
    known = part.cls.capabilities._asdict()
    for capability, declared in known.items():
        asked = [
            outcomes.get(check)
            for check, function in _checks(CONTRACTS["connector"])
            for wanted in getattr(function, "_asks_for", ())
            if capability == (wanted if wanted in known else "extras")
        ]
        held = Counter(one for one in asked if one is not None)
        if isinstance(declared, frozenset):
            declared = sorted(declared)
        found[capability] = {"declared": declared, "shown_by": held["holds"], "refuted_by": held["fails"]}
    return found


def _checks(cls: type[Any]) -> list[tuple[str, Any]]:
    """Every check of a contract, from all its themes."""
    return [(name, getattr(cls, name)) for name in dir(cls) if name.startswith("test_")]


def _lines(card: Mapping[str, Any], results: list[Result], every: bool) -> Iterator[str]:
    asked = card["holds"] + card["fails"]
    rest = f", {card['not_asked']} not asked" if card["not_asked"] else ""
    yield (
        f"{card['kind']} {card['name']} ({card['plugin']}, {card['source']}): "
        f"{card['holds']} of {asked} promises hold{rest}, in {card['seconds']:g} s"
    )
    for capability, value in card["capabilities"].items():
        if isinstance(value, dict):
            shown = f", shown by {value['shown_by']}" if value["shown_by"] else ""
            shown += f", refuted by {value['refuted_by']}" if value["refuted_by"] else ""
            nobody = ", believed" if value["declared"] else ", so nothing is asked"
            value = f"{value['declared']}{shown or nobody}"
        yield f"  {capability}: {value}"
    for theme in dict.fromkeys(one.theme for one in results if one.theme != "examination"):
        mine = Counter(one.outcome for one in results if one.theme == theme)
        yield f"  {theme}: {mine['holds']} of {mine['holds'] + mine['fails']}"
    for one in results:
        if every or one.outcome == "fails":
            words = one.check.removeprefix("test_").replace("_", " ")
            yield f"  {one.outcome}: {words}. {one.promise}"
            if one.why:
                yield f"    {one.why}"


def _command_card(reg: Registry, named: tuple[str, Offer], plugin: Plugin) -> dict[str, Any]:
    """A command is examined by loading it: it has to be one of click's."""
    name = named[0]
    try:
        _, found = reg.resolve("commands", Use(name))
        why = "" if isinstance(found, click.Command) else f"it is {found!r}; expected a click command"
    except PluginError as error:
        why = str(error)
    outcome = "fails" if why else "holds"
    say(f"command {name} ({plugin.name}, {plugin.source}): {why or 'loads, and is a click command'}")
    promise = {"check": "test_it_is_a_click_command", "theme": "command", "outcome": outcome, "why": why}
    return {
        "kind": "command",
        "name": name,
        "plugin": plugin.name,
        "source": plugin.source,
        "holds": int(not why),
        "fails": int(bool(why)),
        "not_asked": 0,
        "promises": [promise],
    }
