"""`regiment claims`: what a place keeps, and removing what is over."""

from __future__ import annotations

import time

import click

from regiment.errors import ConfigError, RegimentError
from regiment.masking import shown_url
from regiment_claims.choosing import place_of
from regiment_claims.places import Bucket, Place
from regiment_claims.references import human
from regiment_claims.settings import STORE, problems_of
from regiment_claims.values import in_words
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import many, table
from regiment_cli.verbs import Group


@click.group("claims", cls=Group)
def command() -> None:
    """Claims: list, sweep (without a verb: list). PLACE is that of Claims(…), file:///srv/claims."""


@command.command("list")
@click.argument("place")
@json_option
def list_all(place: str, as_json: bool) -> None:
    """List what a place keeps, by the moment until which it does; nothing is read."""
    _show(place, _asked(place, sweep=False), as_json, "keeps nothing")


@command.command("sweep")
@click.argument("place")
@json_option
def sweep(place: str, as_json: bool) -> None:
    """Remove what is over, as trees of workers do by themselves."""
    _show(place, _asked(place, sweep=True), as_json, "has nothing that is over")


def _asked(url: str, *, sweep: bool) -> list[Bucket]:
    problems = problems_of({"place": url})
    if url == STORE:
        problems = ['place is "store": what a store keeps ends by itself, and there is nothing to list or to sweep']
    if problems:
        raise ConfigError(problems)
    try:
        place: Place = place_of(url)
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
