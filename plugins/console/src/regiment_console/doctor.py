"""`regiment doctor`: what is wrong, or soon will be, with a store, its queues, this host and the targets that are named."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import click

from regiment import exits
from regiment.contracts import Application, Examined, Finding
from regiment.errors import RegimentError, StoreError, nearest
from regiment.registry import registry
from regiment_cli import targets
from regiment_cli.options import json_option, settings
from regiment_cli.printing import put
from regiment_cli.terminal import show_json
from regiment_cli.text import many
from regiment_console import fleet
from regiment_console.store import Store, choose, store_options

LEVELS = ("fail", "warn", "unknown", "ok")
"""Worst first, as they are shown."""


@click.command("doctor")
@click.argument("names", nargs=-1, metavar="[TARGET]...")
@click.option("--only", metavar="RULE", multiple=True, help="Only this rule; may be repeated.")
@click.option("--skip", metavar="RULE", multiple=True, help="Not this rule; may be repeated.")
@click.option("--strict", is_flag=True, help="Exit with 1 for a warning, too.")
@click.option("--deep", is_flag=True, help="Look also where it takes long.")
@store_options
@json_option
def command(
    names: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    strict: bool,
    deep: bool,
    app: str | None,
    connector: str | None,
    as_json: bool,
) -> int:
    """Say what is wrong, or soon will be: with the store, its queues, this host, and each TARGET.

    Exit codes: 0 nothing failed, 1 a rule failed (--strict: or warns), 4 the store does not answer.
    """
    where, found = examined(names, app, connector, deep)
    found = _chosen(found, only, skip)
    found.sort(key=lambda one: LEVELS.index(one.level))
    code = _code(found, strict)
    if as_json:
        shown = [one._asdict() for one in found]
        show_json({"exit_code": code, "store": where, "findings": shown})
        return code
    for one in found:
        if one.level != "ok":
            put(f"{one.level:<8}{one.rule}  {one.text}" + (f"\n        → {one.remedy}" if one.remedy else ""))
    bad = {one.rule for one in found if one.level != "ok"}
    well = f"{many(len({one.rule for one in found} - bad), 'rule')} found nothing"
    counted = {level: sum(1 for one in found if one.level == level) for level in LEVELS[:-1]}
    words = [f"{number} {level}" for level, number in counted.items() if number]
    put(f"{', '.join(words)}; {well}" if words else f"all is well: {well}")
    return code


def examined(
    names: Sequence[str], app: str | None, connector: str | None, deep: bool
) -> tuple[str | None, list[Finding]]:
    """Which store was looked at, and what all rules say."""
    settings().reach_application()
    store, found = None, list[Finding]()
    applications, sound = dict[str, Application](), list[str]()
    for name in names:
        try:
            applications |= {label: targets.application(face) for label, face in targets.find(name).items()}
            sound.append(name)
        except RegimentError as error:
            found.append(Finding("C01", "fail", str(error), f"regiment check {name} says all of its problems at once"))
    if app is None and connector is None and sound:
        app = sound[0].partition(":")[0] if len(applications) > 1 else sound[0]
    try:
        store = Store(*choose(app, connector))
        found += fleet.answers(store.looking)
    except StoreError as error:
        found.append(_store_fails(error))
    try:
        away = any(one.rule == "ST01" and one.level == "fail" for one in found)
        looking = None if store is None or away else store.looking
        asked = Examined(looking, applications, deep)
        found += said(asked)
    finally:
        if store is not None:
            store.looking.close()
    found = [one._replace(remedy=_there(one.remedy, app, connector)) for one in found]
    return (store.where if store else None), found


def _store_fails(error: StoreError) -> Finding:
    if rule := getattr(error, "rule", None):  # it could be looked at, and is refused for what is there
        return Finding(rule, "fail", str(error), "another place: --connector URL, REGIMENT_CONNECTOR")
    return Finding("ST01", "fail", f"the store does not answer: {error}", "start it, or name another: --connector URL")


def said(asked: Examined) -> Iterator[Finding]:
    """What the rules of all plugins say. One that raises is a finding, and hides no other."""
    for name, check in registry().hooks("regiment_checks"):
        try:
            yield from map(_sound, check(examined=asked))
        except Exception as error:
            why = f"the plugin {name} could not look: {type(error).__name__}: {error}"
            yield Finding(name, "unknown", why, "report it to who has written the plugin")


def _sound(one: Any) -> Finding:
    if not isinstance(one, Finding) or one.level not in LEVELS:
        raise TypeError(f"regiment_checks gave {one!r:.80}; expected a Finding with a level of {', '.join(LEVELS)}")
    return one


_COMMAND = re.compile(
    r"\bregiment (?:queues|dead|tasks|workers|limits|flows|schedules|results|why|audit)\b"
    r"(?: (?:list|show|find|cancel|move|pause|resume|drain|purge|replay|try|quiet|clear|recount|tend|open|retry)\b)?"
)


def _there(remedy: str, app: str | None, connector: str | None) -> str:
    """A remedy whose commands look at the store that was chosen by an option; a URL that may have a password is not repeated."""
    if connector is not None:
        option = f"--connector {shlex.quote(connector) if '@' not in connector else 'URL'}"
    elif app is not None:
        option = f"-A {shlex.quote(app)}"
    else:
        return remedy
    return _COMMAND.sub(lambda found: f"{found[0]} {option}", remedy)


def _chosen(found: list[Finding], only: Sequence[str], skip: Sequence[str]) -> list[Finding]:
    rules = sorted({one.rule for one in found})
    only, skip = [name.upper() for name in only], [name.upper() for name in skip]
    for name in (*only, *skip):
        if name not in rules:
            raise click.UsageError(
                f'no rule "{name}" applies here.{nearest(name, rules)} Rules that do: {", ".join(rules)}'
            )
    return [one for one in found if (not only or one.rule in only) and one.rule not in skip]


def _code(found: Sequence[Finding], strict: bool) -> int:
    if any(one.rule == "ST01" and one.level == "fail" for one in found):
        return exits.STORE
    bad = ("fail", "warn") if strict else ("fail",)
    return exits.BAD if any(one.level in bad for one in found) else exits.OK
