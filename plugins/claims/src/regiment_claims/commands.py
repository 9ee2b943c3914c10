"""`regiment claims`: what a place keeps, and removing what is over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from regiment.config import Use
from regiment.errors import ConfigError, RegimentError
from regiment.masking import shown_url
from regiment_claims.choosing import place_of
from regiment_claims.places import Bucket, Place
from regiment_claims.references import human
from regiment_claims.settings import STORE, problems_of
from regiment_claims.values import in_words
from regiment_cli import targets
from regiment_cli.options import json_option, settings
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import many, table
from regiment_cli.verbs import Group

NAME = "claims"
"""Of the extension that names a place."""


@click.group("claims", cls=Group)
def command() -> None:
    """Claims: list, sweep (without a verb: list). PLACE is that of Claims(…), file:///srv/claims; -A MODULE knows it."""


_app = click.option(
    "-A", "--app", metavar="MODULE[:NAME]", help="Look at the place that the queues of this application name."
)


@command.command("list")
@click.argument("place", required=False)
@_app
@json_option
def list_all(place: str | None, app: str | None, as_json: bool) -> None:
    """List what a place keeps, by the moment until which it does; nothing is read."""
    url, options = _chosen("list", place, app)
    _show(url, _asked(url, options, sweep=False), as_json, "keeps nothing")


@command.command("sweep")
@click.argument("place", required=False)
@_app
@json_option
def sweep(place: str | None, app: str | None, as_json: bool) -> None:
    """Remove what is over, as trees of workers do by themselves."""
    url, options = _chosen("sweep", place, app)
    _show(url, _asked(url, options, sweep=True), as_json, "has nothing that is over")


def _chosen(verb: str, place: str | None, app: str | None) -> tuple[str, Mapping[str, Any] | None]:
    """The place that is meant, and what its file system is given; `RegimentError` with those there are where that is not one."""
    there: dict[str, Mapping[str, Any] | None] = {}
    if app:
        settings().reach_application()
        for face in targets.find(app).values():
            for one in face.outlet.config().plugins:
                if isinstance(one, Use) and one.name == NAME and "place" in one.options:
                    there.setdefault(str(one.options["place"]), one.options.get("options"))
    if place:
        return place, there.get(place)
    if len(there) == 1:
        return next(iter(there.items()))
    if there:
        raise RegimentError(
            f"the queues of {app} have {len(there)} places; name one of them: {', '.join(map(shown_url, there))}"
        )
    if app:
        raise RegimentError(f"no queue of {app} names a place of claims, plugins=[Claims(…)]")
    raise RegimentError(
        f"which place? Name that of Claims(…): regiment claims {verb} file:///srv/claims. Or name the application, which "
        f"knows it: regiment claims {verb} -A MODULE"
    )


def _asked(url: str, options: Mapping[str, Any] | None, *, sweep: bool) -> list[Bucket]:
    problems = problems_of({"place": url})
    if url == STORE:
        problems = ['place is "store": what a store keeps ends by itself, and there is nothing to list or to sweep']
    if problems:
        raise ConfigError(problems)
    try:
        place: Place = place_of(url, options)
        if not place.there():
            raise RegimentError(
                f"{shown_url(url)} is no place of claims: nobody has put any there, or it is not mounted"
            )
        return place.sweep(time.time()) if sweep else place.buckets()
    except RegimentError:
        raise
    except Exception as error:
        raise RegimentError(f"{shown_url(url)} cannot be reached: {in_words(error)}") from error


def _show(url: str, found: list[Bucket], as_json: bool, nothing: str) -> None:
    if as_json:
        show_json([one._asdict() for one in found])
    elif not found:
        say(f"{shown_url(url)} {nothing}")
    else:
        rows = [(_moment(one.until), one.blobs, human(one.size)) for one in found]
        put(table(rows, ("until", "blobs", "size"), right=("blobs", "size")))
        say(f"{many(sum(one.blobs for one in found), 'blob')}, {human(sum(one.size for one in found))}")


def _moment(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
