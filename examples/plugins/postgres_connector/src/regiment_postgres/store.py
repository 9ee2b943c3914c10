"""The layout of a store: made at the first use, refused if it is of another release."""

from __future__ import annotations

from importlib.resources import files

import psycopg

from regiment.errors import StoreError
from regiment_postgres.link import Link

LAYOUT = 3


def present(link: Link) -> bool:
    """Whether there is a store of this layout; one of another is an error."""
    # From the catalog and not by to_regclass, which may answer from before the lock that `make` has just waited for.
    known = link.ask(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = %(schema)s AND relname = 'layout'",
        schema=link.schema,
    )
    if not known:
        return False
    [(version,)] = link.ask("SELECT version FROM layout")
    if version != LAYOUT:
        newer = "newer" if version > LAYOUT else "older"
        raise StoreError(
            f"{link.address}, schema {link.schema}, has layout {version}; expected {LAYOUT}: "
            f"use a {newer} regiment-postgres, or another schema"
        )
    return True


def make(link: Link) -> None:
    """Make the schema with all that is in it, once, whoever comes first."""
    home = files("regiment_postgres")
    name = '"' + link.schema.replace('"', '""') + '"'
    connection = link.connection()
    link.ask("SELECT 1")
    try:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('regiment'))")
            if present(link):
                return
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}".encode())
            for part in ("tables.sql", "steps.sql", "effects.sql", "steer.sql"):
                connection.execute(home.joinpath(part).read_bytes())
    except psycopg.Error as error:
        link.failed(error)
