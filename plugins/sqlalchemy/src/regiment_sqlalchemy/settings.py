"""What an outbox may be given, and what is wrong with it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.bounds import seen
from regiment.masking import shown_url


def problems_of(options: Mapping[str, Any]) -> list[str]:
    """All problems of the options, one sentence each."""
    url = options.get("url")
    if url is None:
        return []
    if not isinstance(url, str):
        return [
            f"url is {seen(url)}; expected a URL of SQLAlchemy, such as postgresql+psycopg://user@host/name, or None"
        ]
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        dialect = make_url(url).get_dialect()
    except (SQLAlchemyError, ImportError) as error:
        return [f"url is {shown_url(url)}, which SQLAlchemy does not take: {str(error).splitlines()[0]}"]
    if dialect.is_async:
        return [
            f"url is {shown_url(url)}, with the async driver {dialect.driver}; the relay has no event loop: expected the same "
            "database with another driver (postgresql+psycopg, mysql+pymysql, sqlite). Your application keeps its own"
        ]
    if dialect.name == "sqlite" and make_url(url).database in (None, "", ":memory:"):
        return ["url is an SQLite database in memory, which no other process sees; expected a file: sqlite:///shop.db"]
    return []
