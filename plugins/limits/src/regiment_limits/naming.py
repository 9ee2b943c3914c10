"""From the options of a push to its tickets: names of pools, lanes and keys, made of a task's arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from string import Formatter
from typing import Any

from regiment.bounds import SECONDS, limit, seen
from regiment.contracts import LONGEST_NAME, Ticket
from regiment.errors import ArgumentsError, nearest

OPTIONS = {
    "pool": 'the pool whose budgets count: a name, "{parameter}", or a function of the arguments',
    "lane": 'the lane of that pool: "{parameter}", or a function of the arguments',
    "unique": "a key that only one task of the queue has at a time, given as a lane is",
    "until": '"done", "start" or seconds: when that key is free again',
    "clash": '"keep", "replace" or "later": what happens if the key is held',
    "longest": 'of clash="later": seconds beyond which nothing is put off',
}
NAMED = ("pool", "lane", "unique")
CLASHES = ("keep", "replace", "later")
KEPT_BYTES = 40
"""Of a name that is too long, so many bytes are kept, before a digest of all of it."""

Given = tuple[Any, ...]
"""The options of a push, in the order of `OPTIONS`; None where one is not given."""


class Name:
    """How a name is made: a text with {parameters}, or a function of the arguments."""

    def __init__(self, what: str, value: Any) -> None:
        self.what, self._made = what, value if callable(value) else None
        self.fields: list[str] = []
        self.plain = ""
        """The name, if it depends on no argument."""
        self._parts: list[tuple[str, str | None]] = []
        if self._made is not None:
            return
        if not isinstance(value, str) or not value:
            raise ArgumentsError(
                f'{what} is {seen(value)}; expected a text, such as "{{tenant}}", or a function of the arguments'
            )
        self._text = value
        try:
            found = list(Formatter().parse(value))
        except ValueError as error:
            raise ArgumentsError(
                f"{what} is {value!r}: {error}; a brace that is meant as such is written twice"
            ) from None
        for before, field, form, conversion in found:
            if field is not None and (form or conversion or not field.isidentifier()):
                raise ArgumentsError(
                    f"{what} is {value!r}; expected names of parameters in braces, with nothing else in them"
                )
            self._parts.append((before, field))
        self.fields = [field for _, field in self._parts if field is not None]
        self.plain = "" if self.fields else "".join(before for before, _ in self._parts)

    def problem(self, names: Collection[str]) -> str | None:
        """What is wrong with it for a task with these parameters."""
        for field in self.fields:
            if field not in names:
                there = ", ".join(sorted(names)) or "none"
                return f'{self.what} is {self._text!r}, and the task has no parameter "{field}".{nearest(field, names)} It has: {there}'
        return None

    def of(self, arguments: Mapping[str, Any]) -> str:
        """The name for these arguments; `ArgumentsError` if they make none."""
        if self._made is not None:
            return short(self._text_of(self._made(dict(arguments)), "what its function returned"))
        if self.plain:
            return short(self.plain)
        texts = []
        for before, field in self._parts:
            texts.append(before)
            if field is not None:
                if field not in arguments:
                    there = ", ".join(sorted(arguments)) or "none"
                    near = nearest(field, arguments)
                    raise ArgumentsError(
                        f'{self.what} is {self._text!r}, and this push has no argument "{field}".{near} It has: {there}'
                    )
                texts.append(self._text_of(arguments[field], f"the argument {field!r}"))
        return short("".join(texts))

    def _text_of(self, value: Any, whose: str) -> str:
        if type(value) is int:
            return str(value)
        if isinstance(value, str) and value.isprintable() and value:
            return value
        raise ArgumentsError(
            f"{self.what}: {whose} is {seen(value)}; expected an int, or a printable text that is not empty"
        )


def short(name: str) -> str:
    """The name, or what stands for it in a store if it is longer than `LONGEST_NAME` bytes."""
    data = name.encode()
    if len(data) <= LONGEST_NAME:
        return name
    digest = hashlib.blake2b(data, digest_size=11).hexdigest()
    return f"{data[:KEPT_BYTES].decode(errors='ignore')}~{digest}"


class Recipe:
    """How the tickets of a push are made; `ArgumentsError` for options that make none."""

    def __init__(self, given: Given) -> None:
        pool, lane, unique, until, clash, longest = given
        self.names = {
            what: Name(what, value)
            for what, value in zip(NAMED, (pool, lane, unique), strict=True)
            if value is not None
        }
        if unique is None:
            until = clash = longest = None
        self.until = "done" if until is None else until
        self.clash = "keep" if clash is None else clash
        self.longest = 0.0 if longest is None else longest
        if self.until not in ("done", "start") and not limit(self.until):
            raise ArgumentsError(f'until is {seen(until)}; expected "done", "start", or seconds above 0')
        if self.clash not in CLASHES:
            raise ArgumentsError(f"clash is {seen(clash)}; expected one of {', '.join(CLASHES)}")
        if longest is not None and not limit(longest):
            raise ArgumentsError(f"longest is {seen(longest)}; expected {SECONDS.partition(' or')[0]} above 0")
        if longest is not None and self.clash != "later":
            raise ArgumentsError(
                f'longest is {seen(longest)} and clash is "{self.clash}"; only "later" puts anything off'
            )
        if pool is not None and "/" in self.names["pool"].plain:
            raise ArgumentsError(f"pool is {pool!r}; expected a name without /")

    @property
    def unique(self) -> bool:
        """True if it makes keys."""
        return "unique" in self.names

    def ticket(self, arguments: Mapping[str, Any], id: str) -> Ticket:
        """The ticket of a task."""
        pool, lane, unique = (self.names[what].of(arguments) if what in self.names else "" for what in NAMED)
        if "/" in pool:
            raise ArgumentsError(f"pool comes out as {pool!r}; expected a name without /")
        if not unique:
            return Ticket(pool, lane, id=id)
        until: Any = self.until if isinstance(self.until, str) else float(self.until)
        clash: Any = self.clash
        return Ticket(pool, lane, unique, until, clash, float(self.longest), id)


def recipe(given: Given) -> Recipe:
    """The recipe of these options; those that were seen of late are kept."""
    try:
        return _recipe(given)
    except TypeError:  # an option that cannot be hashed, which is wrong in any case
        return Recipe(given)


_recipe = lru_cache(maxsize=1024)(Recipe)


def lonely(given: Given) -> str | None:
    """What is wrong with options that need a key, where there is none."""
    unique, rest = given[2], dict(zip(("until", "clash", "longest"), given[3:], strict=True))
    alone = [f"{name}={value!r}" for name, value in rest.items() if value is not None]
    return (
        f"{', '.join(alone)} without unique=: there is no key for which it would count"
        if alone and unique is None
        else None
    )


def chosen(options: Mapping[str, Any]) -> Given:
    """The options of a push, of those that are ours."""
    return tuple(map(options.get, OPTIONS))


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The values of parameters that a push need not name."""
    code: Any = function.__code__
    values: Sequence[Any] = function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    return {**dict(zip(names, values, strict=True)), **(function.__kwdefaults__ or {})}
